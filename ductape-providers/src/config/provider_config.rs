//! The configuration of a broker of any kind.

use std::cell::RefCell;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::embedded::EmbeddedConfig;
use super::fields::{Fields, Findings, kind_of};
use super::finding::{ConfigError, ConfigFinding};
use super::kafka::KafkaConfig;
use super::nats::NatsConfig;
use super::pubsub::PubSubConfig;
use super::rabbitmq::RabbitMqConfig;
use super::redact::shown;
use super::redis::RedisConfig;
use super::sqs::SqsConfig;
use super::suggest::closest;

/// The configuration of a broker of any kind, checked. It prints and serializes without secrets.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type")]
#[non_exhaustive]
pub enum ProviderConfig {
    /// `KAFKA`
    #[serde(rename = "KAFKA")]
    Kafka(KafkaConfig),
    /// `RABBITMQ`
    #[serde(rename = "RABBITMQ")]
    RabbitMq(RabbitMqConfig),
    /// `REDIS`
    #[serde(rename = "REDIS")]
    Redis(RedisConfig),
    /// `AWS_SQS`
    #[serde(rename = "AWS_SQS")]
    Sqs(SqsConfig),
    /// `GOOGLE_PUBSUB`
    #[serde(rename = "GOOGLE_PUBSUB")]
    PubSub(PubSubConfig),
    /// `NATS`
    #[serde(rename = "NATS")]
    Nats(NatsConfig),
    /// `EMBEDDED`
    #[serde(rename = "EMBEDDED")]
    Embedded(EmbeddedConfig),
}

impl ProviderConfig {
    /// The types that a configuration can have.
    pub const TYPES: [&'static str; 7] = [
        "KAFKA",
        "RABBITMQ",
        "REDIS",
        "AWS_SQS",
        "GOOGLE_PUBSUB",
        "NATS",
        "EMBEDDED",
    ];

    /// Reads a configuration, without I/O.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, each finding at its key.
    pub fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let findings = Findings::default();
        let config = read(value, &findings);
        let mut findings = RefCell::into_inner(findings);
        match config {
            Some(config) if findings.is_empty() => Ok(config),
            // Each reader that answers `None` has said why; this holds the promise of one finding even if one forgets.
            None if findings.is_empty() => {
                findings.push(finding("", "can't be read"));
                Err(ConfigError::new(findings))
            }
            _ => Err(ConfigError::new(findings)),
        }
    }

    /// The kind of broker, as in [`ProviderInfo::provider`](crate::provider::ProviderInfo::provider) and as the feature
    /// is called that connects to it: `kafka`, `rabbitmq`, `redis`, `sqs`, `pubsub`, `nats`, `embedded`.
    pub const fn provider(&self) -> &'static str {
        match self {
            Self::Kafka(_) => "kafka",
            Self::RabbitMq(_) => "rabbitmq",
            Self::Redis(_) => "redis",
            Self::Sqs(_) => "sqs",
            Self::PubSub(_) => "pubsub",
            Self::Nats(_) => "nats",
            Self::Embedded(_) => "embedded",
        }
    }

    /// Where the broker is, without secrets: `127.0.0.1:9092`, `amqps://bill:***@mq/shop`, `memory`, a file.
    pub fn address(&self) -> String {
        match self {
            Self::Kafka(config) => config.address(),
            Self::RabbitMq(config) => config.address(),
            Self::Redis(config) => config.address(),
            Self::Sqs(config) => config.address(),
            Self::PubSub(config) => config.address(),
            Self::Nats(config) => config.address(),
            Self::Embedded(config) => config.address(),
        }
    }
}

impl fmt::Display for ProviderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.provider(), self.address())
    }
}

type Read = fn(&Fields<'_>) -> Option<ProviderConfig>;

/// How the fields of a type are read.
fn reader(kind: &str) -> Option<(&'static str, Read)> {
    let read: Read = match kind {
        "KAFKA" => |fields| KafkaConfig::read(fields).map(ProviderConfig::Kafka),
        "RABBITMQ" => |fields| RabbitMqConfig::read(fields).map(ProviderConfig::RabbitMq),
        "REDIS" => |fields| RedisConfig::read(fields).map(ProviderConfig::Redis),
        "AWS_SQS" => |fields| SqsConfig::read(fields).map(ProviderConfig::Sqs),
        "GOOGLE_PUBSUB" => |fields| PubSubConfig::read(fields).map(ProviderConfig::PubSub),
        "NATS" => |fields| NatsConfig::read(fields).map(ProviderConfig::Nats),
        "EMBEDDED" => |fields| Some(ProviderConfig::Embedded(EmbeddedConfig::read(fields))),
        _ => return None,
    };
    let known = ProviderConfig::TYPES.into_iter().find(|known| *known == kind)?;
    Some((known, read))
}

fn read(value: &Value, findings: &Findings) -> Option<ProviderConfig> {
    let Value::Object(map) = value else {
        let message = format!(
            "is {}; write an object with `type` and its fields",
            kind_of(value)
        );
        findings.borrow_mut().push(finding("", message));
        return None;
    };
    let (kind, read) = read_type(map, findings)?;
    if let Some(slug) = map.get("slug")
        && !slug.is_string()
    {
        let message = format!("is {}; write a text", kind_of(slug));
        findings.borrow_mut().push(finding("/slug", message));
    }
    let Some(nested) = map.get("config") else {
        let flat: Map<String, Value> = map
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "type" | "slug"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        return read_fields(kind, read, String::new(), &flat, findings);
    };
    for name in map.keys() {
        if !matches!(name.as_str(), "type" | "slug" | "config") {
            let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            let message = "stands beside `config`; write it inside, or write everything without `config`";
            findings.borrow_mut().push(finding(&pointer, message));
        }
    }
    let Value::Object(nested) = nested else {
        let message = format!("is {}; write an object", kind_of(nested));
        findings.borrow_mut().push(finding("/config", message));
        return None;
    };
    read_fields(kind, read, "/config".to_owned(), nested, findings)
}

fn read_type(map: &Map<String, Value>, findings: &Findings) -> Option<(&'static str, Read)> {
    let types = ProviderConfig::TYPES.join(", ");
    let message = match map.get("type") {
        None | Some(Value::Null) => format!("is missing; write one of {types}"),
        Some(Value::String(kind)) => {
            if let Some(found) = reader(kind) {
                return Some(found);
            }
            let hint = match closest(kind, ProviderConfig::TYPES) {
                Some(known) => format!("did you mean `{known}`? "),
                None => String::new(),
            };
            format!(
                "`{}` is not a type of broker; {hint}write one of {types}",
                shown(kind)
            )
        }
        Some(other) => format!("is {}; write one of {types}", kind_of(other)),
    };
    findings.borrow_mut().push(finding("/type", message));
    None
}

fn read_fields(
    kind: &'static str,
    read: Read,
    pointer: String,
    map: &Map<String, Value>,
    findings: &Findings,
) -> Option<ProviderConfig> {
    let fields = Fields::new(kind, pointer, map, findings);
    let config = read(&fields);
    fields.finish();
    config
}

fn finding(pointer: &str, message: impl Into<String>) -> ConfigFinding {
    ConfigFinding {
        pointer: pointer.to_owned(),
        message: message.into(),
    }
}
