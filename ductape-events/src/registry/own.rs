//! What a program consists of, as the registry takes it.

use std::collections::BTreeMap;

use ductape_providers::EventName;
use ductape_schema::compatibility::Mode;
use ductape_store::registry::{
    BrokerEntry, ConsumerEntry, EnvironmentEntry, Own, QueueUrl, Source, TopicChange, TopicEntry,
};
use serde_json::{Map, Value};

use super::secrets;
use crate::config::{Config, WrittenEnvironment};
use crate::topic::TopicDescriptor;

/// What a program consists of, as it is known when it is built.
pub(crate) struct Parts {
    pub(crate) environment: String,
    pub(crate) config: Option<Config>,
    pub(crate) topics: Vec<&'static TopicDescriptor>,
    /// The brokers of the program's topics, with the kind of their provider.
    pub(crate) implied: BTreeMap<String, &'static str>,
    pub(crate) consumers: Vec<ConsumerEntry>,
}

/// Makes the entries; the schemas and samples of many topics take their time.
pub(crate) fn of(parts: Parts) -> Own {
    let config = parts.config.as_ref();
    let mut brokers: Vec<BrokerEntry> = config.into_iter().flat_map(of_file).collect();
    for (tag, kind) in parts.implied {
        if brokers.iter().any(|broker| broker.tag == tag) {
            continue;
        }
        let environment = EnvironmentEntry {
            slug: parts.environment.clone(),
            kind: kind.to_ascii_uppercase(),
            config: Map::new().into(),
            secrets: secrets::split(&Value::Null).1,
        };
        brokers.push(BrokerEntry {
            tag,
            name: None,
            description: None,
            envs: vec![environment],
            source: Source::Program,
        });
    }
    let mut topics: Vec<TopicEntry> = Vec::new();
    for descriptor in &parts.topics {
        let Ok(event) = descriptor.event.parse::<EventName>() else {
            continue;
        };
        let description = Some(descriptor.description.to_owned()).filter(|text| !text.is_empty());
        let mut says = of_topic(config, &event);
        says.name = Some(descriptor.name.to_owned());
        says.description = says.description.or(description);
        says.sample = Some((descriptor.sample)());
        says.schema = Some((descriptor.schema)());
        let mut entry = topic(&event, descriptor.version, says, Source::Program);
        let chosen = descriptor.compatibility.and_then(|mode| mode.parse().ok());
        entry.compatibility = chosen.unwrap_or_default();
        topics.push(entry);
    }
    for event in config.into_iter().flat_map(Config::events) {
        if !parts.topics.iter().any(|topic| topic.event == event.as_str()) {
            topics.push(topic(&event, 1, of_topic(config, &event), Source::File));
        }
    }
    Own {
        brokers,
        topics,
        consumers: parts.consumers,
        takes_incompatible: false,
    }
}

fn of_file(config: &Config) -> Vec<BrokerEntry> {
    let environment = |written: WrittenEnvironment| {
        let (shown, secrets) = secrets::split(&written.config);
        EnvironmentEntry {
            slug: written.slug,
            kind: written.kind,
            config: shown,
            secrets,
        }
    };
    let broker = |tag: &str| {
        let broker = config.broker(tag)?;
        Some(BrokerEntry {
            tag: tag.to_owned(),
            name: broker.name().map(str::to_owned),
            description: broker.description().map(str::to_owned),
            envs: broker
                .written()
                .environments()
                .into_iter()
                .map(environment)
                .collect(),
            source: Source::File,
        })
    };
    config.brokers().filter_map(broker).collect()
}

/// What the file says of a topic.
fn of_topic(config: Option<&Config>, event: &EventName) -> TopicChange {
    let Some((config, broker)) = config.and_then(|config| Some((config, config.broker(event.broker())?)))
    else {
        return TopicChange::default();
    };
    let urls = broker.written().queue_urls(event.topic()).into_iter();
    let urls: Vec<QueueUrl> = urls.map(|(env_slug, url)| QueueUrl { env_slug, url }).collect();
    TopicChange {
        description: config.topic(event).and_then(|topic| topic.description.clone()),
        queue_urls: Some(urls).filter(|urls| !urls.is_empty()),
        ..TopicChange::default()
    }
}

fn topic(event: &EventName, version: u32, says: TopicChange, source: Source) -> TopicEntry {
    TopicEntry {
        broker: event.broker().to_owned(),
        topic: event.topic().to_owned(),
        version,
        says,
        compatibility: Mode::None,
        source,
    }
}
