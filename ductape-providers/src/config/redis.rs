//! The configuration of a Redis server.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::address::{HostPort, is_loopback};
use super::declare::Declare;
use super::embedded::{as_seconds, read_retention};
use super::fields::Fields;
use super::rabbitmq::checked_host;
use super::secret::Secret;

/// A Redis server (`REDIS`).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RedisConfig {
    /// The host.
    pub host: String,
    /// The TCP port; 6379 by default.
    pub port: u16,
    /// The user; Redis's own default user when `None`.
    pub username: Option<String>,
    /// The password; none when `None`.
    pub password: Option<Secret>,
    /// Whether the connection is encrypted; not by default.
    pub tls: bool,
    /// Whether the password may go unencrypted to another host; not by default.
    pub allow_plaintext: bool,
    /// What is done about topics and groups that are missing; created by default.
    pub declare: Declare,
    /// A file with the certificate authorities to trust, as PEM; those of the machine when `None`.
    pub ca_file: Option<PathBuf>,
    /// How long messages are kept once all groups have settled them: `"90s"`, `"30m"`, `"24h"`, `"7d"`;
    /// [`RETENTION_DEFAULT`](Self::RETENTION_DEFAULT) when `None`. What a group has not settled is kept as long as that takes.
    #[serde(serialize_with = "as_seconds")]
    pub retention: Option<Duration>,
    /// How headers are written; packed by default.
    pub headers: RedisHeaders,
}

/// How the headers of messages are written into a Redis stream (`headers`). Both are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RedisHeaders {
    /// A field each, with the attributes of CloudEvents under their names: any program can read them.
    Fields,
    /// One field in a form of this crate's own, and what messages of a program have in common stored once: the server's
    /// work for a message is about half. The payload stays readable for any program, the headers do not. The default.
    #[default]
    Packed,
}

impl RedisConfig {
    /// How long settled messages are kept unless the configuration says another time: a week.
    pub const RETENTION_DEFAULT: Duration = Duration::from_hours(7 * 24);

    pub(super) fn read(fields: &Fields<'_>) -> Option<Self> {
        let declare = Declare::read(fields);
        let ca_file = fields.text("caFile").map(PathBuf::from);
        fields.require("host", "the server's host, for example `localhost`");
        let host = fields.text("host");
        let host = checked_host(fields, host);
        let port = fields.port("port");
        let username = fields.text("username");
        let password = fields.secret("password");
        let tls = fields.flag("tls").unwrap_or_default();
        let allow_plaintext = fields.flag("allowPlaintext").unwrap_or_default();
        if fields.has("username") && !fields.has("password") {
            fields.pair("username", "password");
        }
        let retention = read_retention(fields);
        let headers = fields.choice(
            "headers",
            &[("fields", RedisHeaders::Fields), ("packed", RedisHeaders::Packed)],
        );
        let host = host?;
        if password.is_some() && !tls && !allow_plaintext && !is_loopback(&host) {
            fields.plaintext("password", &host, "set `tls` to true");
        }
        Some(Self {
            host,
            port: port.unwrap_or(6379),
            username,
            password,
            tls,
            allow_plaintext,
            declare,
            ca_file,
            retention,
            headers: headers.unwrap_or_default(),
        })
    }

    pub(crate) fn address(&self) -> String {
        let host = self.host.clone();
        HostPort {
            host,
            port: self.port,
        }
        .to_string()
    }
}
