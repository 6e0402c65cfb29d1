//! From the shape of a configuration to the client's settings. Nothing here does I/O.
//!
//! Each setting that is not the client's default has its reason here; their meaning is in
//! <https://github.com/confluentinc/librdkafka/blob/v2.12.1/CONFIGURATION.md>.

use std::num::NonZeroUsize;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::capability::{Capability, Order, Requeue};
use crate::config::{KafkaConfig, SaslMechanism};
use crate::headers::Headers;

/// How long a publish waits for its confirmation.
pub(super) const PUBLISH_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one question to the cluster may take.
pub(super) const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest delay of a message to one group; half of what its topic keeps.
pub(super) const GROUP_DELAY_MAX: Duration = Duration::from_hours(7 * 24);
/// How long the topic of a group's retries keeps them.
pub(super) const RETRY_RETENTION: Duration = Duration::from_hours(14 * 24);
/// What a message may need beside its payload: headers with their lengths, the key, the record and its batch.
const MESSAGE_EXTRA_BYTES: usize = Headers::TOTAL_LEN_MAX + 14 * 1024;
/// How many messages the client keeps that are not confirmed; more wait in their publish.
const QUEUE_MESSAGES_MAX: usize = 100_000;
const QUEUE_KBYTES_MAX: usize = 256 * 1024;
/// How long a member may be silent until the group gives its partitions to others: what a killed process holds comes to
/// another that much later. Brokers allow 6 s at least.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) const PUBLISH_BATCH_MAX: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
pub(super) const RECEIVE_BATCH_MAX: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// What Kafka can do.
pub(crate) fn capability(config: &KafkaConfig) -> Capability {
    let mut capability = Capability::least(payload_bytes_max(config));
    capability.order = Order::PerKey;
    capability.requeue = Requeue::Immediate;
    capability.groups = true;
    capability.ephemeral_groups = true;
    capability.route_to_group = true;
    capability.start_earliest = true;
    capability.seek = true;
    capability.persistent = true;
    capability.backlog = true;
    capability.group_delay_max = Some(GROUP_DELAY_MAX);
    capability.publish_batch_max = PUBLISH_BATCH_MAX;
    capability.receive_batch_max = RECEIVE_BATCH_MAX;
    capability
}

pub(super) fn payload_bytes_max(config: &KafkaConfig) -> usize {
    usize::try_from(config.payload_bytes_max).unwrap_or(usize::MAX)
}

/// The largest message with all that belongs to it.
pub(super) fn message_bytes_max(config: &KafkaConfig) -> usize {
    payload_bytes_max(config).saturating_add(MESSAGE_EXTRA_BYTES)
}

/// What every client needs.
pub(super) fn common(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", config.address());
    client.set("client.id", &config.client_id);
    client.set("socket.keepalive.enable", "true");
    client.set("socket.connection.setup.timeout.ms", "10000");
    // The default of 10 s is a long time to notice that a broker is back.
    client.set("reconnect.backoff.max.ms", "1000");
    // At 5 minutes, new partitions would be noticed late.
    client.set("topic.metadata.refresh.interval.ms", "60000");
    client.set("security.protocol", protocol(config));
    if let Some(file) = &config.ca_file {
        client.set("ssl.ca.location", file.to_string_lossy());
    }
    if let Some(sasl) = &config.sasl {
        client.set("sasl.mechanism", mechanism(sasl.mechanism));
        client.set("sasl.username", &sasl.username);
        client.set("sasl.password", sasl.password.expose());
    }
    client.set_log_level(RDKafkaLogLevel::Warning);
    client
}

const fn protocol(config: &KafkaConfig) -> &'static str {
    match (config.ssl, config.sasl.is_some()) {
        (false, false) => "plaintext",
        (true, false) => "ssl",
        (false, true) => "sasl_plaintext",
        (true, true) => "sasl_ssl",
    }
}

const fn mechanism(mechanism: SaslMechanism) -> &'static str {
    match mechanism {
        SaslMechanism::Plain => "PLAIN",
        SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
        SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
    }
}

/// A client that asks: metadata, offsets. It has no group.
pub(super) fn asking(config: &KafkaConfig) -> ClientConfig {
    let mut client = common(config);
    // A question must not create a topic.
    client.set("allow.auto.create.topics", "false");
    client
}

pub(super) fn producer(config: &KafkaConfig) -> ClientConfig {
    let mut client = common(config);
    client.set("acks", "all");
    client.set("enable.idempotence", "true");
    client.set("delivery.timeout.ms", PUBLISH_TIMEOUT.as_millis().to_string());
    // A batch is handed over at once, so there is nothing to linger for.
    client.set("linger.ms", "0");
    client.set("queue.buffering.max.messages", QUEUE_MESSAGES_MAX.to_string());
    client.set("queue.buffering.max.kbytes", QUEUE_KBYTES_MAX.to_string());
    client.set("message.max.bytes", message_bytes_max(config).to_string());
    // Keys go to the partitions that Java's clients choose for them.
    client.set("partitioner", "murmur2_random");
    client
}

/// A member of a group, or what reads and sets a group's offsets.
pub(super) fn consumer(config: &KafkaConfig, group_id: &str) -> ClientConfig {
    let mut client = asking(config);
    client.set("group.id", group_id);
    // What is committed is what was settled, which the client does not know.
    client.set("enable.auto.commit", "false");
    client.set("enable.auto.offset.store", "false");
    // A group begins where its declaration set it; a partition that came later has no message that the group had.
    client.set("auto.offset.reset", "earliest");
    client.set("partition.assignment.strategy", "cooperative-sticky");
    client.set("session.timeout.ms", SESSION_TIMEOUT.as_millis().to_string());
    // The answer to a heartbeat says that the group shares its partitions anew, so that a member that comes waits as long as
    // this, once or twice. The default of 3 s is long for that.
    client.set("heartbeat.interval.ms", "500");
    // What the client fetches ahead, a partition: the defaults of 64 MiB and of a pause of 1 s once it is there are made
    // for programs that read few partitions.
    client.set("queued.max.messages.kbytes", "16384");
    client.set("queued.min.messages", "20000");
    client.set("fetch.queue.backoff.ms", "5");
    let fetch_max = message_bytes_max(config).max(1024 * 1024);
    client.set("fetch.message.max.bytes", fetch_max.to_string());
    client
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{common, consumer, producer};
    use crate::config::{KafkaConfig, ProviderConfig};

    fn config(more: &Value) -> KafkaConfig {
        let mut shape = json!({"type": "KAFKA", "brokers": ["a:1", "b:2"], "clientId": "c"});
        for (name, value) in more.as_object().unwrap() {
            shape[name] = value.clone();
        }
        match ProviderConfig::from_value(&shape).unwrap() {
            ProviderConfig::Kafka(config) => config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn fields_become_settings_that_the_client_takes() {
        for (more, setting, value) in [
            (json!({}), "bootstrap.servers", "a:1,b:2"),
            (json!({}), "client.id", "c"),
            (json!({}), "security.protocol", "plaintext"),
            (json!({"ssl": true}), "security.protocol", "ssl"),
            (json!({"caFile": "/ca.pem"}), "ssl.ca.location", "/ca.pem"),
        ] {
            assert_eq!(common(&config(&more)).get(setting), Some(value));
        }
        for (mechanism, name) in [
            ("plain", "PLAIN"),
            ("scram-sha-256", "SCRAM-SHA-256"),
            ("scram-sha-512", "SCRAM-SHA-512"),
        ] {
            let sasl =
                json!({"ssl": true, "sasl": {"mechanism": mechanism, "username": "u", "password": "p"}});
            let client = common(&config(&sasl));
            assert_eq!(client.get("sasl.mechanism"), Some(name));
            assert_eq!(client.get("security.protocol"), Some("sasl_ssl"));
        }
        let larger = producer(&config(&json!({"payloadBytesMax": 2_000_000})));
        assert_eq!(larger.get("message.max.bytes"), Some("2047104"));
        for client in [producer(&config(&json!({}))), consumer(&config(&json!({})), "g")] {
            assert!(client.create_native_config().is_ok());
        }
    }
}
