//! What the registry is given.

use std::fmt;

use ductape_store::registry::QueueUrl;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::secrets;

/// A kind of broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum BrokerType {
    /// Kafka.
    #[serde(rename = "KAFKA")]
    Kafka,
    /// RabbitMQ.
    #[serde(rename = "RABBITMQ")]
    RabbitMq,
    /// Redis.
    #[serde(rename = "REDIS")]
    Redis,
    /// AWS SQS.
    #[serde(rename = "AWS_SQS")]
    AwsSqs,
    /// Google Pub/Sub.
    #[serde(rename = "GOOGLE_PUBSUB")]
    GooglePubSub,
    /// NATS.
    #[serde(rename = "NATS")]
    Nats,
    /// The embedded broker, which needs no server.
    #[serde(rename = "EMBEDDED")]
    Embedded,
}

impl BrokerType {
    /// As `type` in `ductape.toml`: `KAFKA`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kafka => "KAFKA",
            Self::RabbitMq => "RABBITMQ",
            Self::Redis => "REDIS",
            Self::AwsSqs => "AWS_SQS",
            Self::GooglePubSub => "GOOGLE_PUBSUB",
            Self::Nats => "NATS",
            Self::Embedded => "EMBEDDED",
        }
    }
}

impl fmt::Display for BrokerType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a broker is to be in an environment.
///
/// It prints its configuration without secrets.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerEnv {
    /// The environment: `prd`.
    pub slug: String,
    /// The kind of broker.
    #[serde(rename = "type")]
    pub kind: BrokerType,
    /// The fields of that kind, as in `ductape.toml`; see [`ProviderConfig`](crate::providers::config::ProviderConfig).
    pub config: Value,
}

impl BrokerEnv {
    /// `slug` as `kind`, with the fields of that kind.
    pub fn new(slug: impl Into<String>, kind: BrokerType, config: Value) -> Self {
        Self {
            slug: slug.into(),
            kind,
            config,
        }
    }
}

impl fmt::Debug for BrokerEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerEnv")
            .field("slug", &self.slug)
            .field("kind", &self.kind)
            .field("config", &secrets::split(&self.config).0)
            .finish()
    }
}

/// A broker to create.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewBroker {
    /// What stands before the `:` of its events' names: 1 to 64 of `a-z`, `0-9` and `-`.
    pub tag: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Its environments; at least one.
    pub envs: Vec<BrokerEnv>,
}

/// What is to be different about a broker; what is `None`, or empty, stays.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BrokerChange {
    /// What people call it.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Environments to add, or to put in place of those of the same name. A secret that is `***` stays what it is.
    pub envs: Vec<BrokerEnv>,
    /// Environments to take out.
    pub without_envs: Vec<String>,
}

/// A topic to create.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NewTopic {
    /// The event's name: `broker:topic`.
    pub tag: String,
    /// What people call it.
    pub name: String,
    /// What it is about.
    pub description: Option<String>,
    /// An example of the event.
    pub sample: Option<Value>,
    /// The JSON Schema of the event; what is produced by the topic's name is checked against it.
    pub schema: Option<Value>,
    /// The version of its contract, from 1; 1 by default.
    pub version: Option<u32>,
    /// On AWS SQS, the URLs of its queues, an environment each.
    pub queue_urls: Vec<QueueUrl>,
}

/// What is to be different about a topic; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TopicChange {
    /// What people call it.
    pub name: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// An example of the event.
    pub sample: Option<Value>,
    /// The JSON Schema of the event.
    pub schema: Option<Value>,
    /// Which version of its contract it is about; the newest by default.
    pub version: Option<u32>,
    /// On AWS SQS, the URLs of its queues, an environment each.
    pub queue_urls: Option<Vec<QueueUrl>>,
}
