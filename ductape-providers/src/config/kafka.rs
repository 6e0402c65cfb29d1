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
        })
    }

    pub(super) fn address(&self) -> String {
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
