//! What only an administrator's client can: topics are created, settings are read.

use std::collections::HashMap;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::config;
use super::error::{of_client, of_code};
use super::watch::Watch;
use crate::config::KafkaConfig;
use crate::error::{Error, Result};

/// A client for a few questions. It is dropped on a thread of its own, since that blocks.
pub(super) struct Admin(Option<AdminClient<Watch>>);

/// A topic to create.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) partitions: usize,
    /// How long its messages are kept, in milliseconds; -1 for ever; as the cluster has it when `None`.
    pub(super) retention_millis: Option<i64>,
}

/// The settings of a topic or a broker.
pub(super) type Settings = HashMap<String, String>;

impl Admin {
    pub(super) fn new(config: &KafkaConfig) -> Result<Self> {
        let client = config::common(config);
        let admin = AdminClient::from_config_and_context(&client, Watch::default());
        Ok(Self(Some(admin.map_err(|error| of_client(&error, "connect"))?)))
    }

    fn client(&self) -> Result<&AdminClient<Watch>> {
        self.0.as_ref().ok_or_else(super::error::closed)
    }

    /// Creates topics; one that exists is success.
    pub(super) async fn create(&self, config: &KafkaConfig, wanted: &[Wanted]) -> Result<()> {
        let retention: Vec<String> = wanted
            .iter()
            .map(|topic| topic.retention_millis.unwrap_or_default().to_string())
            .collect();
        let copies = config.replication.map_or(-1, i32::from);
        let topics: Vec<NewTopic<'_>> = wanted
            .iter()
            .zip(&retention)
            .map(|(topic, retention)| {
                let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
                let new = NewTopic::new(&topic.name, partitions, TopicReplication::Fixed(copies));
                match topic.retention_millis {
                    Some(_) => new.set("retention.ms", retention),
                    None => new,
                }
            })
            .collect();
        let options = options().operation_timeout(Some(config::ASK_TIMEOUT));
        let created = self.client()?.create_topics(&topics, &options).await;
        for result in created.map_err(|error| of_client(&error, "create topics"))? {
            match result {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((name, code)) => return Err(of_code(code, "create a topic").with("topic", name)),
            }
        }
        Ok(())
    }

    /// The settings of topics, in the same order.
    pub(super) async fn topics(&self, names: &[&str]) -> Result<Vec<Settings>> {
        let resources: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        self.settings(&resources).await
    }

    /// The settings of a broker.
    pub(super) async fn broker(&self, id: i32) -> Result<Settings> {
        let all = self.settings(&[ResourceSpecifier::Broker(id)]).await?;
        Ok(all.into_iter().next().unwrap_or_default())
    }

    async fn settings(&self, resources: &[ResourceSpecifier<'_>]) -> Result<Vec<Settings>> {
        let described = self.client()?.describe_configs(resources, &options()).await;
        let described = described.map_err(|error| of_client(&error, "read settings"))?;
        let read = |resource: std::result::Result<rdkafka::admin::ConfigResource, Code>| {
            let resource = resource.map_err(|code| of_code(code, "read settings"))?;
            let entries = resource.entries.into_iter();
            Ok::<Settings, Error>(
                entries
                    .filter_map(|entry| Some((entry.name, entry.value?)))
                    .collect(),
            )
        };
        described.into_iter().map(read).collect()
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(config::ASK_TIMEOUT))
}

impl Drop for Admin {
    fn drop(&mut self) {
        let client = self.0.take();
        // Without a thread it is dropped here, which takes a moment.
        let _ = std::thread::Builder::new()
            .name("ductape-kafka-end".to_owned())
            .spawn(move || drop(client));
    }
}
