//! Whether what the registry is given can be used: everything that is wrong at once.

use std::collections::BTreeSet;

use ductape_providers::EventName;
use ductape_providers::config::redact_url;
use ductape_store::registry::QueueUrl;
use serde_json::Value;

use super::input::BrokerEnv;
use crate::config::check_value;
use crate::error::{BrokerError, ErrorCode, Finding};

/// The longest name of a broker or a topic, in characters.
const NAME_CHARS_MAX: usize = 256;
/// The longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 10_000;
/// The largest sample or schema, in bytes of JSON.
const JSON_BYTES_MAX: usize = 1024 * 1024;

/// What is wrong with what was given.
#[derive(Default)]
pub(super) struct Check(Vec<Finding>);

impl Check {
    pub(super) fn find(&mut self, message: impl Into<String>) {
        self.0
            .push(Finding::new(ErrorCode::ConfigInvalid, message.into()));
    }

    /// All that was found, as one error: `what` begins its text.
    pub(super) fn end(self, what: &str) -> Result<(), BrokerError> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(BrokerError::invalid(what, self.0))
    }

    /// A tag, or the name of an environment.
    pub(super) fn tag(&mut self, field: &str, tag: &str) {
        // The grammar is that of the halves of an event's name.
        if EventName::check(&format!("{tag}:{tag}")).is_err() {
            let cut: String = tag.chars().take(32).collect();
            self.find(format!(
                "{field}: `{}` is none; write 1 to {} of a-z, 0-9 and `-`, and begin and end with a letter or a digit",
                cut.escape_debug(),
                EventName::TAG_LEN_MAX
            ));
        }
    }

    pub(super) fn name(&mut self, name: &str) {
        if name.trim().is_empty() {
            self.find("name: is empty; write what people call it");
        }
        self.chars("name", name, NAME_CHARS_MAX);
    }

    pub(super) fn description(&mut self, description: Option<&str>) {
        self.chars(
            "description",
            description.unwrap_or_default(),
            DESCRIPTION_CHARS_MAX,
        );
    }

    fn chars(&mut self, field: &str, text: &str, most: usize) {
        let chars = text.chars().count();
        if chars > most {
            self.find(format!(
                "{field}: has {chars} characters; at most {most} are kept"
            ));
        }
    }

    /// The environments of a broker, each as `ductape.toml` would have it.
    pub(super) fn environments(&mut self, envs: &[BrokerEnv]) {
        let mut slugs = BTreeSet::new();
        for env in envs {
            let place = format!("envs.{}", env.slug.escape_debug());
            self.tag("envs.slug", &env.slug);
            if !slugs.insert(env.slug.as_str()) {
                self.find(format!("{place}: is there twice"));
            }
            let checked = check_value(env.kind.as_str(), &env.config, &|name| std::env::var(name).ok());
            for found in checked.findings {
                let dot = if found.pointer.is_empty() { ": " } else { "." };
                self.find(format!("{place}.config{dot}{found}"));
            }
        }
    }

    /// A sample and a schema, which belong together.
    pub(super) fn sample(&mut self, sample: Option<&Value>, schema: Option<&Value>) {
        for (field, value) in [("sample", sample), ("schema", schema)] {
            let bytes = value.map_or(0, |value| value.to_string().len());
            if bytes > JSON_BYTES_MAX {
                self.find(format!(
                    "{field}: has {bytes} bytes; at most {JSON_BYTES_MAX} are kept"
                ));
            }
        }
        let Some(schema) = schema else { return };
        match jsonschema::validator_for(schema) {
            Err(error) => self.find(format!("schema: is no JSON Schema: {error}")),
            Ok(validator) => {
                for error in sample
                    .iter()
                    .flat_map(|sample| validator.iter_errors(sample))
                    .take(5)
                {
                    let at = error.instance_path().to_string();
                    self.find(format!("sample: at `{at}`: {error}, which the schema asks for"));
                }
            }
        }
    }

    /// The URLs of a topic's queues; `slugs` are the environments of its broker.
    pub(super) fn queue_urls(&mut self, urls: &[QueueUrl], slugs: &[&str]) {
        for url in urls {
            if !slugs.contains(&url.env_slug.as_str()) {
                self.find(format!(
                    "queueUrls: `{}` is no environment of the broker; its environments are `{}`",
                    url.env_slug.escape_debug(),
                    slugs.join("`, `")
                ));
            }
            let shown = redact_url(&url.url);
            let is_url = ["https://", "http://", "${"]
                .iter()
                .any(|start| url.url.starts_with(start));
            if !is_url || shown != url.url {
                self.find(format!(
                    "queueUrls.{}: is no URL of a queue; write for example `https://sqs.us-east-1.amazonaws.com/123456789012/orders`",
                    url.env_slug.escape_debug()
                ));
            }
        }
    }
}
