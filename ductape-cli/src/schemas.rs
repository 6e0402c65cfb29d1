//! The topics' JSON Schemas as files.

use std::fs;
use std::path::Path;

use ductape_events::registry::Messaging;

use crate::{Outcome, print};

/// Writes the schema of each topic into `out`: `BROKER/TOPIC.vN.schema.json`. Each stands for itself, and its `title` is the name of
/// the type, which generators of types go by.
pub(crate) async fn write(messaging: &Messaging<'_>, out: &Path) -> Outcome<()> {
    let mut written = 0;
    for broker in messaging.list().await? {
        for topic in messaging.topics().list(&broker.tag).await? {
            let Some(mut schema) = topic.schema else {
                continue;
            };
            if let Some(schema) = schema.as_object_mut() {
                schema
                    .entry("title")
                    .or_insert_with(|| topic.name.as_str().into());
                if let Some(description) = &topic.description {
                    schema
                        .entry("description")
                        .or_insert_with(|| description.as_str().into());
                }
            }
            let folder = out.join(&topic.broker_tag);
            let file = folder.join(format!("{}.v{}.schema.json", topic.topic_tag, topic.version));
            let text = format!("{}\n", serde_json::to_string_pretty(&schema)?);
            let put = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, text));
            put.map_err(|error| format!("{} can't be written: {error}", file.display()))?;
            print(&format!("{}\n", file.display()))?;
            written += 1;
        }
    }
    if written == 0 {
        return Err("the product has no topic with a schema; is `--product` right?".into());
    }
    Ok(())
}
