//! The configuration of NATS servers.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::address::BrokerUrl;
use super::declare::Declare;
use super::fields::{Fields, kind_of};
use super::secret::Secret;

/// NATS servers (`NATS`).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct NatsConfig {
    /// The servers of one cluster, as `nats://` or `tls://` URLs; at least one. `host:port` is read as `nats://host:port`.
    pub servers: Vec<BrokerUrl>,
    /// How to log in, beside what the URLs say.
    #[serde(flatten)]
    pub auth: Option<NatsAuth>,
    /// What the servers' monitoring knows this program by.
    pub name: Option<String>,
    /// How often to try to reconnect before giving up; without end when `None`, as with `-1`.
    pub max_reconnect_attempts: Option<u32>,
    /// How long to wait before reconnecting; in milliseconds in the configuration, up to an hour, 2,000 by default.
    #[serde(serialize_with = "as_millis")]
    pub reconnect_time_wait: Duration,
    /// How the connection is encrypted; not at all when `None` and the URLs are `nats://`.
    pub tls: Option<NatsTls>,
    /// Whether the password may go unencrypted to another host; not by default.
    pub allow_plaintext: bool,
    /// What is done about topics and groups that are missing; created by default.
    pub declare: Declare,
}

/// How to log in to NATS.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum NatsAuth {
    /// By `user` and `pass`.
    Password {
        /// The user.
        user: String,
        /// The user's password.
        pass: Secret,
    },
    /// By `token`.
    Token {
        /// The token.
        token: Secret,
    },
}

/// How a connection to NATS is encrypted: `tls` is `true`, or an object with these files. They are not read before
/// connecting.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct NatsTls {
    /// The certificates that are trusted; the system's when `None`.
    pub ca_file: Option<PathBuf>,
    /// This program's certificate; it goes with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// The key of this program's certificate.
    pub key_file: Option<PathBuf>,
}

impl NatsConfig {
    const RECONNECT_WAIT_DEFAULT_MS: u64 = 2_000;
    const RECONNECT_WAIT_MAX_MS: i64 = 3_600_000;

    pub(super) fn read(fields: &Fields<'_>) -> Option<Self> {
        const ENCRYPT: &str = "write `tls://`, or set `tls` to true";
        let declare = Declare::read(fields);
        fields.require(
            "servers",
            "a URL or a list of them, for example `nats://localhost:4222`",
        );
        let servers = fields.texts("servers", true).map(|texts| {
            let server = |(pointer, text): (String, &str)| {
                server_url(text)
                    .map_err(|message| fields.find_at(pointer.clone(), message))
                    .ok()
                    .map(|url| (pointer, url))
            };
            texts.into_iter().filter_map(server).collect::<Vec<_>>()
        });
        let user = fields.text("user");
        let pass = fields.secret("pass");
        let token = fields.secret("token");
        fields.pair("user", "pass");
        if fields.has("token") && (fields.has("user") || fields.has("pass")) {
            fields.find(
                "token",
                "stands beside `user` and `pass`; write one of them, not both",
            );
        }
        let name = fields.text("name");
        let attempts = fields.number(
            "maxReconnectAttempts",
            "a number of attempts (-1: without end)",
            &(-1..=i64::from(u32::MAX)),
        );
        let wait = fields.number(
            "reconnectTimeWait",
            "a wait in milliseconds",
            &(0..=Self::RECONNECT_WAIT_MAX_MS),
        );
        let tls = NatsTls::read(fields);
        let allow_plaintext = fields.flag("allowPlaintext").unwrap_or_default();

        let servers = servers?;
        if tls.is_none() && !allow_plaintext {
            let plain = |url: &BrokerUrl| url.scheme() == "nats" && !url.is_loopback();
            for (pointer, url) in servers
                .iter()
                .filter(|(_, url)| plain(url) && url.has_user_info())
            {
                fields.plaintext_at(pointer.clone(), url.host(), ENCRYPT);
            }
            let secret = ["pass", "token"].into_iter().find(|name| fields.has(name));
            if let Some(name) = secret
                && let Some((_, far)) = servers.iter().find(|(_, url)| plain(url))
            {
                fields.plaintext(name, far.host(), ENCRYPT);
            }
        }
        let auth = match token {
            Some(token) => Some(NatsAuth::Token { token }),
            None => user
                .zip(pass)
                .map(|(user, pass)| NatsAuth::Password { user, pass }),
        };
        let wait_ms = wait.and_then(|wait| u64::try_from(wait).ok());
        Some(Self {
            servers: servers.into_iter().map(|(_, url)| url).collect(),
            auth,
            name,
            // -1 is no `u32`, and so without end.
            max_reconnect_attempts: attempts.and_then(|attempts| u32::try_from(attempts).ok()),
            reconnect_time_wait: Duration::from_millis(wait_ms.unwrap_or(Self::RECONNECT_WAIT_DEFAULT_MS)),
            tls,
            allow_plaintext,
            declare,
        })
    }

    pub(super) fn address(&self) -> String {
        let servers: Vec<String> = self.servers.iter().map(ToString::to_string).collect();
        servers.join(",")
    }
}

impl NatsTls {
    /// `true` is the default, `false` is none.
    fn read(fields: &Fields<'_>) -> Option<Self> {
        let value = fields.get("tls")?;
        if !value.is_object() {
            if value.is_boolean() || value.is_string() {
                return fields.flag("tls")?.then(Self::default);
            }
            fields.find(
                "tls",
                format!("is {}; write true, false, or an object", kind_of(value)),
            );
            return None;
        }
        let tls = fields.object("tls")?;
        let file = |name| tls.text(name).map(PathBuf::from);
        let read = Self {
            ca_file: file("caFile"),
            cert_file: file("certFile"),
            key_file: file("keyFile"),
        };
        tls.pair("certFile", "keyFile");
        tls.finish();
        Some(read)
    }
}

fn server_url(text: &str) -> Result<BrokerUrl, String> {
    const EXAMPLE: &str = "nats://localhost:4222";
    let schemes = ["nats", "tls"];
    if text.contains("://") {
        return BrokerUrl::parse(text, &schemes, EXAMPLE);
    }
    BrokerUrl::parse(&format!("nats://{text}"), &schemes, EXAMPLE)
}

fn as_millis<S: serde::Serializer>(wait: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}
