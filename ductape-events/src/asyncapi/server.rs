//! The broker of a program's environment, without its secrets.

use ductape_providers::config::{KafkaConfig, NatsAuth, ProviderConfig, RedisHeaders, SaslMechanism};
use serde_json::{Value, json};

/// The broker that a tag stands for.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// The broker's tag.
    pub(crate) tag: String,
    pub(crate) protocol: &'static str,
    pub(crate) host: String,
    /// Within the host: a virtual host, a database.
    pub(crate) pathname: Option<String>,
    /// The security scheme, as the specification writes it.
    pub(crate) security: Option<Value>,
    pub(crate) header: Header,
}

/// How the attributes of `CloudEvents` are called on a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// After this prefix.
    Prefixed(&'static str),
    /// Among what is packed into one field.
    Packed,
}

impl Server {
    /// The broker that `config` describes.
    pub(crate) fn of(tag: &str, config: &ProviderConfig) -> Self {
        let address = config.address();
        let (scheme, rest) = address.split_once("://").unwrap_or(("", &address));
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let (protocol, security) = match config {
            ProviderConfig::Kafka(kafka) => (if kafka.ssl { "kafka-secure" } else { "kafka" }, sasl(kafka)),
            ProviderConfig::RabbitMq(_) => {
                let protocol = if scheme == "amqps" { "amqps" } else { "amqp" };
                (protocol, Some(user_password()))
            }
            ProviderConfig::Redis(redis) => {
                let protocol = if redis.tls { "rediss" } else { "redis" };
                (protocol, redis.password.is_some().then(user_password))
            }
            ProviderConfig::Sqs(sqs) => {
                let text = "An access key of AWS, which signs each request (Signature Version 4).";
                let keys = json!({ "type": "userPassword", "description": text });
                ("sqs", sqs.keys.is_some().then_some(keys))
            }
            ProviderConfig::PubSub(pubsub) => ("googlepubsub", pubsub.credentials.is_some().then(google)),
            ProviderConfig::Nats(nats) => {
                let secure = nats.tls.is_some() || scheme == "tls";
                let security = nats.auth.as_ref().map(|auth| match auth {
                    NatsAuth::Token { .. } => {
                        json!({ "type": "apiKey", "in": "password", "description": "A token." })
                    }
                    _ => user_password(),
                });
                (if secure { "tls" } else { "nats" }, security)
            }
            _ => return Self::of_another(tag, "embedded", "in the process"),
        };
        let (host, path) = match config {
            ProviderConfig::PubSub(pubsub) => {
                let endpoint = pubsub.endpoint.as_ref().map(ToString::to_string);
                let host = endpoint.unwrap_or_else(|| "pubsub.googleapis.com".to_owned());
                let host = host
                    .split_once("://")
                    .map_or(&*host, |(_, host)| host)
                    .trim_end_matches('/')
                    .to_owned();
                (host, format!("projects/{}", pubsub.project_id))
            }
            _ => (host.to_owned(), path.to_owned()),
        };
        Self {
            tag: tag.to_owned(),
            protocol,
            host,
            pathname: (!path.is_empty()).then(|| format!("/{path}")),
            security,
            header: match config {
                ProviderConfig::Kafka(_) => Header::Prefixed("ce_"),
                ProviderConfig::RabbitMq(_) => Header::Prefixed("cloudEvents_"),
                ProviderConfig::Redis(redis) if redis.headers == RedisHeaders::Packed => Header::Packed,
                _ => Header::Prefixed("ce-"),
            },
        }
    }

    /// A broker of a provider that the program brings along.
    pub(crate) fn of_another(tag: &str, protocol: &'static str, address: &str) -> Self {
        Self {
            tag: tag.to_owned(),
            protocol,
            host: address.to_owned(),
            pathname: None,
            security: None,
            header: Header::Prefixed("ce-"),
        }
    }
}

fn user_password() -> Value {
    json!({ "type": "userPassword" })
}

fn sasl(kafka: &KafkaConfig) -> Option<Value> {
    let kind = match kafka.sasl.as_ref()?.mechanism {
        SaslMechanism::ScramSha256 => "scramSha256",
        SaslMechanism::ScramSha512 => "scramSha512",
        SaslMechanism::Plain => "plain",
    };
    Some(json!({ "type": kind }))
}

/// <https://developers.google.com/identity/protocols/oauth2/service-account>
fn google() -> Value {
    let scope = "https://www.googleapis.com/auth/pubsub";
    json!({
        "type": "oauth2",
        "description": "A service account of Google.",
        "flows": {
            "clientCredentials": {
                "tokenUrl": "https://oauth2.googleapis.com/token",
                "availableScopes": { scope: "Publish and subscribe." }
            }
        },
        "scopes": [scope]
    })
}
