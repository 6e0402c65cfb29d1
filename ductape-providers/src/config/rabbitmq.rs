//! The configuration of a RabbitMQ server.

use std::path::PathBuf;

use serde::Serialize;

use super::address::{BrokerUrl, is_host, is_loopback};
use super::declare::Declare;
use super::fields::Fields;
use super::redact::shown;
use super::secret::Secret;

/// A RabbitMQ server (`RABBITMQ`).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RabbitMqConfig {
    /// Where it is and how to log in.
    #[serde(flatten)]
    pub server: RabbitMqServer,
    /// The queue of the consumers that name no group; each group has its own when `None`.
    pub queue: Option<String>,
    /// The routing key of all topics; each has its own when `None`.
    pub routing_key: Option<String>,
    /// Whether the password may go unencrypted to another host; not by default.
    pub allow_plaintext: bool,
    /// What is done about topics and groups that are missing; created by default.
    pub declare: Declare,
    /// A file with the certificate authorities to trust, as PEM; those of the machine when `None`.
    pub ca_file: Option<PathBuf>,
}

/// Where a RabbitMQ server is and how to log in.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase", untagged)]
#[non_exhaustive]
pub enum RabbitMqServer {
    /// By `url`: `amqps://user:pass@host/vhost`.
    Url {
        /// The URL, `amqp://` or `amqps://`.
        url: BrokerUrl,
    },
    /// By its parts.
    Parts {
        /// The host.
        host: String,
        /// The TCP port; 5672 by default, 5671 with `tls`.
        port: u16,
        /// The user; RabbitMQ's own default user when `None`.
        username: Option<String>,
        /// The user's password.
        password: Option<Secret>,
        /// The virtual host; `/` by default.
        vhost: String,
        /// Whether the connection is encrypted; not by default.
        tls: bool,
    },
}

impl RabbitMqConfig {
    /// The parts that stand for what a URL says.
    const PARTS: [&'static str; 6] = ["host", "port", "username", "password", "vhost", "tls"];

    pub(super) fn read(fields: &Fields<'_>) -> Option<Self> {
        const EXAMPLE: &str = "amqps://user:pass@host/vhost";
        let declare = Declare::read(fields);
        let ca_file = fields.text("caFile").map(PathBuf::from);
        let allow_plaintext = fields.flag("allowPlaintext").unwrap_or_default();
        let url = fields.text("url").and_then(|text| {
            BrokerUrl::parse(&text, &["amqps", "amqp"], EXAMPLE)
                .map_err(|message| fields.find("url", message))
                .ok()
        });
        let host = fields.text("host");
        let port = fields.port("port");
        let username = fields.text("username");
        let password = fields.secret("password");
        let vhost = fields.text("vhost");
        let tls = fields.flag("tls").unwrap_or_default();
        let queue = fields.text("queue");
        let routing_key = fields.text("routingKey");

        let server = if fields.has("url") {
            for part in Self::PARTS.into_iter().filter(|part| fields.has(part)) {
                fields.find(
                    part,
                    "stands beside `url`, which says it too; write `url` or the parts, not both",
                );
            }
            let url = url?;
            if url.scheme() == "amqp" && url.has_user_info() && !url.is_loopback() && !allow_plaintext {
                fields.plaintext("url", url.host(), "write `amqps://`");
            }
            RabbitMqServer::Url { url }
        } else {
            if !Self::PARTS.iter().any(|part| fields.has(part)) {
                fields.find(
                    "url",
                    format!("is missing; write for example `{EXAMPLE}`, or `host` and the other parts"),
                );
                return None;
            }
            fields.require("host", "the server's host, for example `localhost`");
            fields.pair("username", "password");
            let host = checked_host(fields, host)?;
            if password.is_some() && !tls && !allow_plaintext && !is_loopback(&host) {
                fields.plaintext("password", &host, "set `tls` to true");
            }
            RabbitMqServer::Parts {
                host,
                port: port.unwrap_or(if tls { 5671 } else { 5672 }),
                username,
                password,
                vhost: vhost.unwrap_or_else(|| "/".to_owned()),
                tls,
            }
        };
        Some(Self {
            server,
            queue,
            routing_key,
            allow_plaintext,
            declare,
            ca_file,
        })
    }

    pub(crate) fn address(&self) -> String {
        match &self.server {
            RabbitMqServer::Url { url } => url.to_string(),
            RabbitMqServer::Parts {
                host,
                port,
                vhost,
                tls,
                ..
            } => {
                let scheme = if *tls { "amqps" } else { "amqp" };
                let host = if host.contains(':') {
                    format!("[{host}]")
                } else {
                    host.clone()
                };
                format!("{scheme}://{host}:{port}/{}", vhost.trim_start_matches('/'))
            }
        }
    }
}

/// The host, if it can be one.
pub(super) fn checked_host(fields: &Fields<'_>, host: Option<String>) -> Option<String> {
    let host = host?;
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(&host);
    if is_host(bare) {
        return Some(bare.to_owned());
    }
    fields.find(
        "host",
        format!(
            "`{}` can't be a host; write its name or IP address alone, for example `localhost`",
            shown(&host)
        ),
    );
    None
}
