//! A typed topic, written as the macro would.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::topic::{KeyWriter, Topic, TopicDescriptor};

/// An event with a number. All runs share its topic, so it says of which one it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Numbered {
    pub(super) run: String,
    pub(super) n: u32,
}

impl Topic for Numbered {
    const EVENT: &'static str = "conformance:numbered";
    const VERSION: u32 = 1;

    fn descriptor() -> &'static TopicDescriptor {
        static DESCRIPTOR: TopicDescriptor = TopicDescriptor {
            event: Numbered::EVENT,
            version: Numbered::VERSION,
            type_name: "Numbered",
            name: "Numbered",
            description: "An event with a number.",
            key: None,
            compatibility: None,
            portable: false,
            location: concat!(file!(), ":", line!()),
            schema: || {
                json!({
                    "type": "object",
                    "properties": { "run": { "type": "string" }, "n": { "type": "integer", "minimum": 0 } },
                    "required": ["run", "n"],
                })
            },
            sample: || json!({ "run": "a", "n": 1 }),
            key_of: |_| None,
        };
        &DESCRIPTOR
    }

    fn write_key(&self, _: &mut KeyWriter<'_>) {}
}
