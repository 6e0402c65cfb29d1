//! From a file's content to brokers, their environments and topics.

mod store;

use std::collections::BTreeMap;

use ductape_providers::EventName;
use ductape_providers::config::{ConfigFinding, ProviderConfig, Secret, closest};
use serde_json::{Map, Value};

use super::document::{Document, pointer_to};
use super::expand::Lookup;
use super::file::{BrokerConfig, EnvironmentConfig, TopicConfig, instead};
use super::problem::ConfigProblem;
#[cfg(feature = "store")]
use crate::tracking::Asked;
#[cfg(feature = "store")]
use ductape_store::tracking::Retention;

type Table = Map<String, Value>;

/// The URLs of one topic's queues by environment, each with its pointer.
type QueueUrls<'a> = BTreeMap<&'a str, (String, &'a Value)>;

const TOPIC_KEYS: [&str; 5] = ["name", "description", "queueUrls", "tracking", "payloads"];

/// What a file says.
pub(super) struct Top {
    pub(super) product: Option<String>,
    pub(super) environment: Option<String>,
    pub(super) store: Option<Secret>,
    pub(super) brokers: BTreeMap<String, BrokerConfig>,
    #[cfg(feature = "store")]
    pub(super) tracking: Asked,
    #[cfg(feature = "store")]
    pub(super) retention: Retention,
}

/// What the file says; what is wrong goes to `problems`.
pub(super) fn read(document: &Document<'_>, lookup: Lookup<'_>, problems: &mut Vec<ConfigProblem>) -> Top {
    let content = document.content(lookup);
    let mut reader = Reader {
        document,
        unset: content.unset,
        malformed: content
            .malformed
            .iter()
            .map(|finding| finding.pointer.clone())
            .collect(),
        problems,
    };
    for finding in content.malformed {
        reader.find(&finding.pointer, finding.message);
    }
    let root = &content.root;
    reader.unknown_keys(
        root,
        "",
        "ductape.toml",
        &[
            "product",
            "environment",
            "store",
            "brokers",
            "tracking",
            "payloads",
        ],
    );
    let product = reader.tag_value(root, "product");
    let environment = reader.tag_value(root, "environment");
    let store = reader.store(root).map(Secret::new);
    #[cfg(feature = "store")]
    let retention = reader.retention(root);
    #[cfg(feature = "store")]
    let tracking = reader.tracking(root, "");
    let mut brokers = BTreeMap::new();
    for (tag, pointer, broker) in reader.tables(root, "", "brokers") {
        reader.check_tag(tag, &pointer, "a broker's tag");
        brokers.insert(tag.to_owned(), reader.broker(broker, &pointer));
    }
    // What no environment has claimed is needed in all of them.
    for finding in std::mem::take(&mut reader.unset) {
        reader.find(&finding.pointer, finding.message);
    }
    Top {
        product,
        environment,
        store,
        brokers,
        #[cfg(feature = "store")]
        tracking,
        #[cfg(feature = "store")]
        retention,
    }
}

struct Reader<'a> {
    document: &'a Document<'a>,
    /// The variables that are not set; an environment takes those that stand in it.
    unset: Vec<ConfigFinding>,
    /// Where texts are malformed, which is a problem already.
    malformed: Vec<String>,
    problems: &'a mut Vec<ConfigProblem>,
}

impl Reader<'_> {
    fn broker(&mut self, table: &Table, pointer: &str) -> BrokerConfig {
        self.unknown_keys(
            table,
            pointer,
            "a broker",
            &["name", "description", "environments", "topics"],
        );
        let mut topics = BTreeMap::new();
        #[cfg(feature = "store")]
        let mut tracking = BTreeMap::new();
        let mut queue_urls = BTreeMap::new();
        for (tag, pointer, topic) in self.tables(table, pointer, "topics") {
            self.check_tag(tag, &pointer, "a topic's tag");
            self.unknown_keys(topic, &pointer, "a topic", &TOPIC_KEYS);
            #[cfg(feature = "store")]
            tracking.insert(tag.to_owned(), self.tracking(topic, &pointer));
            queue_urls.insert(tag, self.queue_urls(topic, &pointer));
            let config = TopicConfig {
                name: self.text(topic, &pointer, "name"),
                description: self.text(topic, &pointer, "description"),
            };
            topics.insert(tag.to_owned(), config);
        }
        let mut environments = BTreeMap::new();
        for (slug, pointer, environment) in self.tables(table, pointer, "environments") {
            self.check_tag(slug, &pointer, "an environment");
            if let Some(config) = self.environment(slug, environment, &pointer, &queue_urls) {
                environments.insert(slug.to_owned(), config);
            }
        }
        let known = table.get("environments").and_then(Value::as_object);
        if known.is_none_or(Map::is_empty) && table.get("environments").is_none_or(Value::is_object) {
            let message = "is missing; write at least one environment, for example `environments.dev.type = \"EMBEDDED\"`";
            self.find(&pointer_to(pointer, "environments"), message);
        }
        let known: Vec<&str> = known
            .into_iter()
            .flat_map(Map::keys)
            .map(String::as_str)
            .collect();
        for (slug, (pointer, _)) in queue_urls.values().flatten() {
            if !known.contains(slug) {
                let instead = instead(slug, known.iter().copied(), "environments of this broker");
                self.find(pointer, format!("is of no environment; {instead}"));
            }
        }
        BrokerConfig {
            name: self.text(table, pointer, "name"),
            description: self.text(table, pointer, "description"),
            environments,
            topics,
            #[cfg(feature = "store")]
            tracking,
            #[cfg(feature = "store")]
            written: self.document.written(pointer),
        }
    }

    /// An environment; `None` when something is wrong with it.
    fn environment(
        &mut self,
        slug: &str,
        table: &Table,
        pointer: &str,
        queue_urls: &BTreeMap<&str, QueueUrls<'_>>,
    ) -> Option<EnvironmentConfig> {
        if let Some(Value::String(other)) = table.get("slug")
            && other != slug
        {
            let message = format!("is not the key of its table; write `{slug}`, or leave it out");
            self.find(&pointer_to(pointer, "slug"), message);
        }
        let mut table = table.clone();
        let allow = table.remove("allow");
        let allow = self.names(allow.as_ref(), &pointer_to(pointer, "allow"));
        // Where each URL that a topic gives for this environment stands, by the pointer that it gets in the table.
        let mut moved: BTreeMap<String, String> = BTreeMap::new();
        if table.get("type").and_then(Value::as_str) == Some("AWS_SQS") {
            let (fields, prefix) = match table.get_mut("config") {
                Some(Value::Object(nested)) => (nested, "/config/queueUrls"),
                _ => (&mut table, "/queueUrls"),
            };
            let urls = fields.entry("queueUrls").or_insert_with(|| Table::new().into());
            for (topic, by_slug) in queue_urls {
                if let (Some((from, url)), Some(urls)) = (by_slug.get(slug), urls.as_object_mut())
                    && !urls.contains_key(*topic)
                {
                    urls.insert((*topic).to_owned(), (*url).clone());
                    moved.insert(pointer_to(prefix, topic), from.clone());
                }
            }
        }
        let inside = |at: &str| at.strip_prefix(pointer).is_some_and(|rest| rest.starts_with('/'));
        let of_topics: Vec<&String> = queue_urls
            .values()
            .filter_map(|urls| urls.get(slug))
            .map(|(at, _)| at)
            .collect();
        let (unset, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.unset)
            .into_iter()
            .partition(|finding| inside(&finding.pointer) || of_topics.contains(&&finding.pointer));
        self.unset = rest;

        let config = ProviderConfig::from_value(&Value::Object(table));
        if let Err(error) = &config {
            for finding in error.findings() {
                let at = match moved.get(&finding.pointer) {
                    Some(from) => from.clone(),
                    None => format!("{pointer}{}", finding.pointer),
                };
                // What is wrong only because a text is not known yet is not wrong yet.
                let mut unknown = unset.iter().map(|unset| &unset.pointer).chain(&self.malformed);
                if !unknown.any(|unknown| overlap(unknown, &at)) {
                    self.find(&at, finding.message.clone());
                }
            }
        }
        if !unset.is_empty() {
            let problem = |finding: ConfigFinding| self.document.problem(&finding.pointer, finding.message);
            return Some(EnvironmentConfig::Unset(unset.into_iter().map(problem).collect()));
        }
        config.ok().map(|config| EnvironmentConfig::Ready {
            config: Box::new(config),
            allow,
        })
    }

    /// A list of names.
    fn names(&mut self, value: Option<&Value>, pointer: &str) -> Vec<String> {
        let Some(value) = value else { return Vec::new() };
        let names = value.as_array().and_then(|items| {
            items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect()
        });
        names.unwrap_or_else(|| {
            self.find(
                pointer,
                "must be a list of names, for example `[\"redis-evicts\"]`",
            );
            Vec::new()
        })
    }

    /// The `queueUrls` of a topic: a table, or a list of `{ env_slug, url }`.
    fn queue_urls<'t>(&mut self, topic: &'t Table, pointer: &str) -> QueueUrls<'t> {
        let at = pointer_to(pointer, "queueUrls");
        let mut urls = QueueUrls::new();
        match topic.get("queueUrls") {
            None => {}
            Some(Value::Object(table)) => {
                for (slug, url) in table {
                    let at = pointer_to(&at, slug);
                    self.check_text(&at, url);
                    urls.insert(slug, (at, url));
                }
            }
            Some(Value::Array(items)) => {
                for (i, item) in items.iter().enumerate() {
                    let at = format!("{at}/{i}");
                    let slug = item.get("env_slug").and_then(Value::as_str);
                    let (Some(item), Some(slug), Some(url)) = (item.as_object(), slug, item.get("url"))
                    else {
                        self.find(&at, "must be `{ env_slug = \"…\", url = \"…\" }`");
                        continue;
                    };
                    self.unknown_keys(item, &at, "a queue's URL", &["env_slug", "url"]);
                    let at = pointer_to(&at, "url");
                    self.check_text(&at, url);
                    urls.insert(slug, (at, url));
                }
            }
            Some(other) => {
                let message = format!("is {}; write a table of URLs by environment", kind_of(other));
                self.find(&at, message);
            }
        }
        urls
    }

    /// The tables in the table `name`, each with its key and pointer.
    fn tables<'t>(
        &mut self,
        table: &'t Table,
        pointer: &str,
        name: &str,
    ) -> Vec<(&'t str, String, &'t Table)> {
        let pointer = pointer_to(pointer, name);
        let tables = match table.get(name) {
            None => return Vec::new(),
            Some(Value::Object(tables)) => tables,
            Some(other) => {
                self.find(&pointer, format!("is {}; write a table", kind_of(other)));
                return Vec::new();
            }
        };
        let mut found = Vec::new();
        for (key, value) in tables {
            let pointer = pointer_to(&pointer, key);
            match value {
                Value::Object(table) => found.push((key.as_str(), pointer, table)),
                other => self.find(&pointer, format!("is {}; write a table", kind_of(other))),
            }
        }
        found
    }

    fn text(&mut self, table: &Table, pointer: &str, name: &str) -> Option<String> {
        let value = table.get(name)?;
        self.check_text(&pointer_to(pointer, name), value)
            .then(|| value.as_str().map(str::to_owned))?
    }

    /// A text at the top that is a tag.
    fn tag_value(&mut self, root: &Table, name: &'static str) -> Option<String> {
        let text = self.text(root, "", name)?;
        let pointer = pointer_to("", name);
        let unset = self.unset.iter().any(|finding| finding.pointer == pointer);
        if !unset && !self.malformed.contains(&pointer) {
            self.check_tag(&text, &pointer, "a tag");
        }
        Some(text)
    }

    fn check_text(&mut self, pointer: &str, value: &Value) -> bool {
        let message = match value {
            Value::String(text) if text.trim().is_empty() => {
                "is empty; write a text, or leave it out".to_owned()
            }
            Value::String(_) => return true,
            other => format!("is {}; write a text", kind_of(other)),
        };
        self.find(pointer, message);
        false
    }

    fn check_tag(&mut self, tag: &str, pointer: &str, what: &str) {
        // The grammar is that of the halves of an event's name.
        if EventName::check(&format!("{tag}:{tag}")).is_err() {
            let cut: String = tag.chars().take(32).collect();
            let message = format!(
                "`{}` can't be {what}; write 1 to {} of a-z, 0-9 and `-`, and begin and end with a letter or a digit",
                cut.escape_debug(),
                EventName::TAG_LEN_MAX
            );
            self.find(pointer, message);
        }
    }

    fn unknown_keys(&mut self, table: &Table, pointer: &str, of: &str, known: &[&str]) {
        for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
            let message = match closest(key, known.iter().copied()) {
                Some(near) => format!("is not a key of {of}; did you mean `{near}`?"),
                None => format!("is not a key of {of}; its keys are `{}`", known.join("`, `")),
            };
            self.find(&pointer_to(pointer, key), message);
        }
    }

    fn find(&mut self, pointer: &str, message: impl Into<String>) {
        self.problems.push(self.document.problem(pointer, message));
    }
}

/// Whether one of two pointers is at or in the other.
pub(super) fn overlap(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    long.strip_prefix(short)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What kind of value this is in TOML's words, without showing it.
const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}
