//! From the configuration to what the client is made with, and what is promised of it.

use std::num::NonZeroUsize;
use std::time::Duration;

use lapin::tcp::{RustlsConnector, RustlsConnectorConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::capability::{Capability, Order, Requeue};
use crate::config::{Declare, RabbitMqConfig, RabbitMqServer};
use crate::error::{Error, ErrorKind, Result};

/// How long a connection may take to be open, with TLS and the log-in.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// How long the server may take to answer a call that is not a publish.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the server may take to confirm a publish.
pub(super) const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// How often each side shows that it is there, in seconds; a side that is silent for twice as long is gone.
const HEARTBEAT_SECONDS: u16 = 10;

/// The largest message that a server takes unless it is configured otherwise: `max_message_size` of RabbitMQ 4
/// (<https://www.rabbitmq.com/docs/configure>; 128 MiB before).
pub(super) const PAYLOAD_BYTES_MAX: usize = 16 << 20;
/// The most messages of one publish that are under way at a time.
pub(super) const PUBLISH_BATCH_MAX: usize = 512;
/// The most bytes of one publish that are under way at a time, but for a single message that has more.
pub(super) const PUBLISH_BYTES_MAX: usize = 8 << 20;
/// The most deliveries that one receive returns.
pub(super) const RECEIVE_BATCH_MAX: usize = 1_000;
/// The longest delay. Queues hold it in several parts, so that the limit is ours.
pub(super) const DELAY_MAX: Duration = Duration::from_hours(365 * 24);
/// After this time a server closes the channel of a delivery that is not settled: the default `consumer_timeout`
/// (<https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout>). A server does not tell its own over AMQP.
pub(super) const UNSETTLED_MAX: Duration = Duration::from_mins(30);

/// What a server will be able to do.
pub(crate) fn capability(config: &RabbitMqConfig) -> Capability {
    let mut capability = Capability::least(PAYLOAD_BYTES_MAX);
    capability.order = Order::PerTopic;
    capability.requeue = Requeue::Immediate;
    if config.declare == Declare::Create {
        // The queues that messages wait in are made when they are used.
        capability.requeue = Requeue::Delayed {
            max: DELAY_MAX,
            holds_key: false,
        };
        capability.publish_delay_max = Some(DELAY_MAX);
        capability.group_delay_max = Some(DELAY_MAX);
    }
    capability.groups = true;
    capability.ephemeral_groups = true;
    capability.route_to_group = true;
    capability.delivery_count = true;
    capability.persistent = true;
    capability.backlog = true;
    capability.unsettled_max = Some(UNSETTLED_MAX);
    capability.publish_batch_max = NonZeroUsize::MIN.saturating_add(PUBLISH_BATCH_MAX - 1);
    capability.receive_batch_max = NonZeroUsize::MIN.saturating_add(RECEIVE_BATCH_MAX - 1);
    capability
}

/// How the server is reached. It has the password, and so no `Debug`.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) uri: AMQPUri,
    /// Encrypts; `None` where the connection is not to be.
    pub(super) tls: Option<RustlsConnector>,
}

impl Settings {
    /// Reads the file of authorities, and does no other I/O.
    pub(super) async fn of(config: &RabbitMqConfig) -> Result<Self> {
        let uri = uri(config)?;
        let tls = match uri.scheme {
            AMQPScheme::AMQP => None,
            AMQPScheme::AMQPS => Some(connector(config).await?),
        };
        Ok(Self { uri, tls })
    }
}

fn uri(config: &RabbitMqConfig) -> Result<AMQPUri> {
    let mut uri = match &config.server {
        RabbitMqServer::Url { url } => {
            // What the parser says of a URL may repeat parts of it.
            let mut uri: AMQPUri = url.expose().parse().map_err(|_| {
                let text = "the URL can't be read; write `amqps://user:pass@host/vhost`, with other characters than letters, digits, `-`, `.`, `_` and `~` as `%XX`";
                Error::new(ErrorKind::ConfigInvalid, text).with("key", "url")
            })?;
            url.host().clone_into(&mut uri.authority.host);
            uri
        }
        RabbitMqServer::Parts {
            host,
            port,
            username,
            password,
            vhost,
            tls,
        } => {
            let mut uri = AMQPUri {
                scheme: if *tls { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
                vhost: vhost.clone(),
                ..AMQPUri::default()
            };
            uri.authority.host.clone_from(host);
            uri.authority.port = *port;
            if let Some(username) = username {
                uri.authority.userinfo.username.clone_from(username);
            }
            if let Some(password) = password {
                password.expose().clone_into(&mut uri.authority.userinfo.password);
            }
            uri
        }
    };
    if uri.vhost.is_empty() {
        // `amqp://host/`: there is no virtual host without a name, so the default one is meant.
        "/".clone_into(&mut uri.vhost);
    }
    if uri.vhost.len() > usize::from(u8::MAX) {
        let text = "the virtual host's name is longer than the 255 bytes that AMQP has room for";
        return Err(Error::new(ErrorKind::ConfigInvalid, text).with("key", "vhost"));
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    Ok(uri)
}

/// What encrypts: it trusts the file's authorities and no others, or those of the machine where there is no file. The
/// cryptography is that of the process where it chose one, else aws-lc-rs.
async fn connector(config: &RabbitMqConfig) -> Result<RustlsConnector> {
    let made = match config.ca_file.clone() {
        None => tokio::task::spawn_blocking(|| {
            RustlsConnectorConfig::new_with_platform_verifier().connector_with_no_client_auth()
        }),
        Some(path) => tokio::task::spawn_blocking(move || {
            let pem = std::fs::read(path)?;
            let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
            let found = found.map_err(std::io::Error::other)?;
            if found.is_empty() {
                return Err(std::io::Error::other("it has no certificate in PEM"));
            }
            RustlsConnectorConfig::default()
                .with_parsable_certificates(found)
                .connector_with_no_client_auth()
        }),
    };
    let unusable = |text: String| {
        let message = match &config.ca_file {
            Some(_) => "the file of certificate authorities can't be used; check `caFile`",
            None => "the machine's certificate authorities can't be used; name a file with `caFile`",
        };
        let error = Error::new(ErrorKind::ConfigInvalid, message).with_source(text);
        match &config.ca_file {
            Some(path) => error.with("file", path.display()),
            None => error,
        }
    };
    match made.await {
        Ok(Ok(connector)) => Ok(connector),
        Ok(Err(error)) => Err(unusable(error.to_string())),
        Err(error) => Err(unusable(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{AMQPScheme, HEARTBEAT_SECONDS, uri};
    use crate::config::{ProviderConfig, RabbitMqConfig};

    fn config(value: &Value) -> RabbitMqConfig {
        match ProviderConfig::from_value(value).unwrap() {
            ProviderConfig::RabbitMq(config) => config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_url_and_its_parts_mean_the_same() {
        let by_url = json!({"type": "RABBITMQ", "url": "amqps://u:p%2Fw@mq.example:5999/sh%2Fop"});
        let by_parts = json!({"type": "RABBITMQ", "host": "mq.example", "port": 5999, "username": "u", "password": "p/w",
            "vhost": "sh/op", "tls": true});
        for value in [by_url, by_parts] {
            let uri = uri(&config(&value)).unwrap();
            assert_eq!(uri.scheme, AMQPScheme::AMQPS);
            let server = (
                uri.authority.host.as_str(),
                uri.authority.port,
                uri.vhost.as_str(),
            );
            assert_eq!(server, ("mq.example", 5999, "sh/op"));
            let user = uri.authority.userinfo;
            assert_eq!((user.username.as_str(), user.password.as_str()), ("u", "p/w"));
            assert_eq!(uri.query.heartbeat, Some(HEARTBEAT_SECONDS));
        }
    }

    #[test]
    fn what_a_url_leaves_out_is_the_servers_default() {
        for (url, host, port, vhost) in [
            ("amqp://localhost", "localhost", 5672, "/"),
            ("amqp://localhost/", "localhost", 5672, "/"),
            ("amqp://localhost/%2f", "localhost", 5672, "/"),
            ("amqps://[::1]/v", "::1", 5671, "v"),
            ("amqp://127.0.0.1:1/v?heartbeat=3", "127.0.0.1", 1, "v"),
        ] {
            let uri = uri(&config(&json!({"type": "RABBITMQ", "url": url}))).unwrap();
            let read = (
                uri.authority.host.as_str(),
                uri.authority.port,
                uri.vhost.as_str(),
            );
            assert_eq!(read, (host, port, vhost), "{url}");
            assert_eq!(uri.authority.userinfo.username, "guest");
        }
    }

    #[test]
    fn a_vhost_that_amqp_has_no_room_for_is_refused() {
        let value = json!({"type": "RABBITMQ", "host": "h", "vhost": "v".repeat(256)});
        let error = uri(&config(&value)).unwrap_err();
        assert!(error.to_string().contains("255 bytes"), "{error}");
    }
}
