//! How an environment names its broker.
//!
//! A configuration is an object with a `type` and the fields of that type, in camelCase:
//!
//! | `type` | fields (those with `?` may be left out) |
//! |---|---|
//! | `KAFKA` | `brokers`, `clientId`, `groupId?`, `topic?`, `ssl?`, `sasl?` {`mechanism`, `username`, `password`}, `partitions?`, `replication?`, `payloadBytesMax?` |
//! | `RABBITMQ` | `url`, or `host`, `port?`, `username?`, `password?`, `vhost?`, `tls?`; with both `queue?`, `routingKey?` |
//! | `REDIS` | `host`, `port?`, `username?`, `password?`, `tls?`, `retention?`, `headers?` |
//! | `AWS_SQS` | `region`, `accessKeyId?`, `secretAccessKey?`, `sessionToken?`, `queueUrls?`, `endpoint?`, `fifo?`, `accountId?` |
//! | `GOOGLE_PUBSUB` | `projectId`, `topicName?`, `subscriptionName?`, `keyFilename?` or `credentials?`, `endpoint?` |
//! | `NATS` | `servers`, `user?` and `pass?` or `token?`, `name?`, `maxReconnectAttempts?`, `reconnectTimeWait?`, `tls?` |
//! | `EMBEDDED` | `mode?`, `path?`, `synchronous?`, `capacity?`, `retention?` |
//!
//! Those that connect to a server take `declare?` (`create`, `check` or `off`; see [`Declare`]) too, and Kafka, RabbitMQ and
//! Redis `caFile?`, a file of certificate authorities to trust. The fields stand beside `type`, or in an object `config` beside it; a `slug` beside `type` is accepted and ignored.
//! Since values often come from environment variables, a number or a boolean may also be written as text.
//!
//! Reading a configuration does no I/O. It reports everything that is wrong at once, each finding at its own key, and a
//! password that would travel unencrypted to another host is one of the findings unless `allowPlaintext` is set.
//! Credentials do not print: neither with `Debug` nor with `Display`, nor in errors, nor serialized.
//!
//! ```
//! use ductape_providers::config::ProviderConfig;
//!
//! let config = ProviderConfig::from_value(&serde_json::json!({
//!     "type": "REDIS", "host": "localhost", "port": 6379, "password": "hunter2",
//! }))?;
//! assert_eq!(config.provider(), "redis");
//! assert_eq!(config.address(), "localhost:6379");
//! assert!(!format!("{config:?}").contains("hunter2"));
//!
//! let error = ProviderConfig::from_value(&serde_json::json!({"type": "REDIS", "port": 0})).unwrap_err();
//! assert_eq!(error.findings().len(), 2);
//! assert_eq!(error.findings()[1].to_string(), "port: 0 is not a port; write 1 to 65535");
//! # Ok::<(), ductape_providers::config::ConfigError>(())
//! ```

mod address;
mod connect;
mod declare;
mod embedded;
mod fields;
mod finding;
mod kafka;
mod nats;
mod provider_config;
mod pubsub;
mod rabbitmq;
mod redact;
mod redis;
mod secret;
mod sqs;
mod suggest;

pub use address::{BrokerUrl, HostPort};
pub use declare::Declare;
pub use embedded::{EmbeddedConfig, EmbeddedMode, Synchronous};
pub use finding::{ConfigError, ConfigFinding};
pub use kafka::{KafkaConfig, KafkaSasl, SaslMechanism};
pub use nats::{NatsAuth, NatsConfig, NatsTls};
pub use provider_config::ProviderConfig;
pub use pubsub::{PubSubConfig, PubSubCredentials};
#[cfg(feature = "pubsub")]
pub(crate) use pubsub::{check_resource_id, endpoint as pubsub_endpoint};
pub use rabbitmq::{RabbitMqConfig, RabbitMqServer};
pub use redact::{is_secret_name, redact_url};
pub use redis::{RedisConfig, RedisHeaders};
pub use secret::Secret;
pub use sqs::{AwsKeys, SqsConfig};
pub use suggest::closest;

#[cfg(test)]
mod tests;
