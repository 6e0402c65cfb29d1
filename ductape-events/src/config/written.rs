//! Brokers as they stand in a file, for the registry.

use std::fmt;

use serde_json::{Map, Value};

/// A broker's table, variables as they are written. It does not print what is in it, which may be secrets.
#[derive(Clone, Default)]
pub(crate) struct WrittenBroker(Map<String, Value>);

/// An environment of a broker.
pub(crate) struct WrittenEnvironment {
    pub(crate) slug: String,
    pub(crate) kind: String,
    pub(crate) config: Value,
}

impl WrittenBroker {
    pub(super) const fn new(table: Map<String, Value>) -> Self {
        Self(table)
    }

    /// Its environments.
    pub(crate) fn environments(&self) -> Vec<WrittenEnvironment> {
        let environments = self.0.get("environments").and_then(Value::as_object);
        let environment = |(slug, table): (&String, &Value)| {
            let table = table.as_object()?;
            let config = table.get("config").cloned().unwrap_or_else(|| {
                let of_provider = |name: &str| !matches!(name, "type" | "slug" | "allow");
                let fields = table.iter().filter(|(name, _)| of_provider(name));
                Value::Object(
                    fields
                        .map(|(name, value)| (name.clone(), value.clone()))
                        .collect(),
                )
            });
            Some(WrittenEnvironment {
                slug: slug.clone(),
                kind: table.get("type")?.as_str()?.to_owned(),
                config,
            })
        };
        environments
            .into_iter()
            .flatten()
            .filter_map(environment)
            .collect()
    }

    /// The URLs of a topic's queues, each with its environment.
    pub(crate) fn queue_urls(&self, topic: &str) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let topic = self.0.get("topics").and_then(|topics| topics.get(topic));
        match topic.and_then(|topic| topic.get("queueUrls")) {
            Some(Value::Object(urls)) => urls
                .iter()
                .filter_map(|(slug, url)| Some((slug.clone(), text(url)?)))
                .collect(),
            Some(Value::Array(urls)) => urls
                .iter()
                .filter_map(|url| Some((text(url.get("env_slug")?)?, text(url.get("url")?)?)))
                .collect(),
            _ => Vec::new(),
        }
    }
}

impl fmt::Debug for WrittenBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrittenBroker")
    }
}
