//! The configuration of a Kafka cluster.

use std::path::PathBuf;

use serde::Serialize;

use super::address::HostPort;
use super::declare::Declare;
use super::fields::Fields;
use super::secret::Secret;

/// A Kafka cluster (`KAFKA`).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct KafkaConfig {
    /// Where to ask first; at least one.
    pub brokers: Vec<HostPort>,
    /// What the cluster's logs know this program by.
    pub client_id: String,
    /// The consumer group of the consumers that name none.
    pub group_id: Option<String>,
    /// A topic that the broker's topics share; each has its own when `None`.
    pub topic: Option<String>,
    /// Whether the connection is encrypted; not by default.
    pub ssl: bool,
    /// How to log in; not at all when `None`.
    pub sasl: Option<KafkaSasl>,
    /// Whether the password may go unencrypted to another host; not by default.
    pub allow_plaintext: bool,
    /// What is done about topics and groups that are missing; created by default.
    pub declare: Declare,
    /// A file with the certificate authorities to trust, as PEM; those of the machine when `None`.
    pub ca_file: Option<PathBuf>,
    /// How many partitions a topic gets that is created: as many members of a group work at one time. 8 by default, at
    /// most 10,000. A topic that exists keeps what it has.
    pub partitions: u16,
    /// How many brokers keep a copy of a topic that is created; the cluster's own default when `None`.
    pub replication: Option<u16>,
    /// The largest payload, in bytes: 1,000,000 by default, at most 100,000,000. The topics and the cluster must take it
    /// with its headers (`max.message.bytes`, `message.max.bytes`).
    pub payload_bytes_max: u32,
}

/// How to log in to a Kafka cluster.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct KafkaSasl {
    /// The mechanism that the cluster asks for.
    pub mechanism: SaslMechanism,
    /// The user.
    pub username: String,
    /// The user's password.
    pub password: Secret,
}

/// How a password is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum SaslMechanism {
    /// It is sent as it is.
    #[serde(rename = "plain")]
    Plain,
    /// By a challenge, with SHA-256.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// By a challenge, with SHA-512.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

impl KafkaConfig {
    const PARTITIONS_DEFAULT: u16 = 8;
    /// Below the brokers' own default of 1,048,588 bytes, so that there is room for headers and key.
    const PAYLOAD_BYTES_MAX_DEFAULT: u32 = 1_000_000;

    pub(super) fn read(fields: &Fields<'_>) -> Option<Self> {
        const EXAMPLE: &str = "localhost:9092";
        let declare = Declare::read(fields);
        let ca_file = fields.text("caFile").map(PathBuf::from);
        fields.require("brokers", "a list of `host:port`, for example `localhost:9092`");
        let brokers = fields.texts("brokers", false).map(|texts| {
            let broker = |(pointer, text): (String, &str)| {
                HostPort::parse(text, EXAMPLE)
                    .map_err(|message| fields.find_at(pointer, message))
                    .ok()
            };
            texts.into_iter().filter_map(broker).collect::<Vec<_>>()
        });
        let client_id =
            fields.required_text("clientId", "a name for this program, for example `order-service`");
        let group_id = fields.text("groupId");
        let topic = fields.text("topic");
        let ssl = fields.flag("ssl").unwrap_or_default();
        let logs_in = fields.has("sasl");
        let login = fields.object("sasl").and_then(|login| KafkaSasl::read(&login));
        let allow_plaintext = fields.flag("allowPlaintext").unwrap_or_default();
        let partitions = fields.number("partitions", "a number of partitions", &(1..=10_000));
        let replication = fields.number("replication", "a number of copies", &(1..=100));
        let payload = fields.number("payloadBytesMax", "a size in bytes", &(1..=100_000_000));
        let brokers = brokers?;
        if logs_in
            && !ssl
            && !allow_plaintext
            && let Some(far) = brokers.iter().find(|broker| !broker.is_loopback())
        {
            fields.plaintext("sasl", &far.to_string(), "set `ssl` to true");
        }
        Some(Self {
            brokers,
            client_id: client_id?,
            group_id,
            topic,
            ssl,
            sasl: login,
            allow_plaintext,
            declare,
            ca_file,
            partitions: partitions
                .and_then(|number| u16::try_from(number).ok())
                .unwrap_or(Self::PARTITIONS_DEFAULT),
            replication: replication.and_then(|number| u16::try_from(number).ok()),
            payload_bytes_max: payload
                .and_then(|bytes| u32::try_from(bytes).ok())
                .unwrap_or(Self::PAYLOAD_BYTES_MAX_DEFAULT),
        })
    }

    pub(crate) fn address(&self) -> String {
        let brokers: Vec<String> = self.brokers.iter().map(ToString::to_string).collect();
        brokers.join(",")
    }
}

impl KafkaSasl {
    fn read(fields: &Fields<'_>) -> Option<Self> {
        fields.require("mechanism", "`plain`, `scram-sha-256` or `scram-sha-512`");
        let mechanism = fields.choice(
            "mechanism",
            &[
                ("plain", SaslMechanism::Plain),
                ("scram-sha-256", SaslMechanism::ScramSha256),
                ("scram-sha-512", SaslMechanism::ScramSha512),
            ],
        );
        let username = fields.required_text("username", "the user");
        fields.require("password", "the user's password");
        let password = fields.secret("password");
        fields.finish();
        Some(Self {
            mechanism: mechanism?,
            username: username?,
            password: password?,
        })
    }
}
