//! What the registry holds, and what it is given.

use std::time::SystemTime;

use ductape_schema::compatibility::Mode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::secrets::Secrets;
use crate::tracking::serial::rfc3339;

/// Who put something into the registry. What comes later here wins over what comes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Source {
    /// A program that has topics of a broker, and no configuration of it.
    Program,
    /// A call.
    Call,
    /// A program's configuration file.
    File,
}

impl Source {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Call => "call",
            Self::File => "file",
        }
    }

    pub(super) fn read(text: &str) -> Self {
        match text {
            "call" => Self::Call,
            "file" => Self::File,
            _ => Self::Program,
        }
    }
}

/// A broker.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Broker {
    /// The product.
    pub product: String,
    /// What stands before the `:` of its events' names.
    pub tag: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Who put it in.
    pub source: Source,
    /// Its environments, in alphabetical order.
    pub envs: Vec<Environment>,
    /// When it was put in.
    #[serde(serialize_with = "rfc3339")]
    pub created_at: SystemTime,
    /// When it, or one of its environments, was changed last.
    #[serde(serialize_with = "rfc3339")]
    pub updated_at: SystemTime,
}

/// What a broker is in an environment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Environment {
    /// The environment.
    pub slug: String,
    /// The kind of broker: `KAFKA`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The fields of that kind. Variables stand as they were written; other secrets are [`HIDDEN`](super::HIDDEN).
    pub config: Value,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Topic {
    /// The product.
    pub product: String,
    /// The event's name: `broker:topic`.
    pub tag: String,
    /// What stands before its `:`.
    pub broker_tag: String,
    /// What stands after it.
    pub topic_tag: String,
    /// The version of its contract, from 1.
    pub version: u32,
    /// What people call it.
    pub name: String,
    /// What it is about.
    pub description: Option<String>,
    /// An example.
    pub sample: Option<Value>,
    /// The JSON Schema of its events.
    pub schema: Option<Value>,
    /// The URLs of its queues on AWS SQS, an environment each.
    pub queue_urls: Vec<QueueUrl>,
    /// Who put it in.
    pub source: Source,
    /// When it was put in.
    #[serde(serialize_with = "rfc3339")]
    pub created_at: SystemTime,
    /// When it was changed last.
    #[serde(serialize_with = "rfc3339")]
    pub updated_at: SystemTime,
}

/// Where a topic's queue is in an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueUrl {
    /// The environment.
    pub env_slug: String,
    /// The queue's URL.
    pub url: String,
}

/// A group that consumes a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Consumer {
    /// The product.
    pub product: String,
    /// The environment.
    pub env: String,
    /// The event's name: `broker:topic`.
    pub event: String,
    /// The version of its contract.
    pub version: u32,
    /// The group.
    pub tag: String,
    /// The handler's name.
    pub name: String,
    /// What the handler does.
    pub description: Option<String>,
    /// When a program first had it.
    #[serde(serialize_with = "rfc3339")]
    pub created_at: SystemTime,
    /// When a program that has it last started; to the hour.
    #[serde(serialize_with = "rfc3339")]
    pub last_seen: SystemTime,
}

/// A broker to put in.
#[derive(Clone, Debug)]
pub struct BrokerEntry {
    /// What stands before the `:` of its events' names.
    pub tag: String,
    /// What people call it; of a broker that is there, `None` leaves it.
    pub name: Option<String>,
    /// What it is for; of a broker that is there, `None` leaves it.
    pub description: Option<String>,
    /// Its environments.
    pub envs: Vec<EnvironmentEntry>,
    /// Who puts it in.
    pub source: Source,
}

/// What a broker is to be in an environment.
#[derive(Clone, Debug)]
pub struct EnvironmentEntry {
    /// The environment.
    pub slug: String,
    /// The kind of broker.
    pub kind: String,
    /// The fields of that kind, each secret in it replaced.
    pub config: Value,
    /// The secrets.
    pub secrets: Secrets,
}

/// What is to be different about a broker; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct BrokerChange {
    /// What people call it.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Environments to add, or to put in place of those of the same name.
    pub envs: Vec<EnvironmentEntry>,
    /// Environments to take out.
    pub without_envs: Vec<String>,
}

/// A topic to put in. Of a topic that is there, `None` leaves what it has.
#[derive(Clone, Debug)]
pub struct TopicEntry {
    /// Its broker's tag.
    pub broker: String,
    /// Its own tag.
    pub topic: String,
    /// The version of its contract.
    pub version: u32,
    /// What is said of it.
    pub says: TopicChange,
    /// How its schema may follow the one that a program said before.
    pub compatibility: Mode,
    /// Who says so.
    pub source: Source,
}

/// What is said of a topic; `None` leaves what it has.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TopicChange {
    /// What people call it.
    pub name: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// An example.
    pub sample: Option<Value>,
    /// The JSON Schema of its events.
    pub schema: Option<Value>,
    /// The URLs of its queues.
    pub queue_urls: Option<Vec<QueueUrl>>,
}

/// A group that a program consumes a topic in.
#[derive(Clone, Debug)]
pub struct ConsumerEntry {
    /// The environment.
    pub env: String,
    /// The topic's broker.
    pub broker: String,
    /// The topic.
    pub topic: String,
    /// The version of its contract.
    pub version: u32,
    /// The group.
    pub tag: String,
    /// The handler's name.
    pub name: String,
    /// What the handler does.
    pub description: Option<String>,
}
