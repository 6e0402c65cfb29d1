//! From the configuration to what the client is made with, and what is promised of it.

use std::num::NonZeroUsize;
use std::time::Duration;

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{Client, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo, TlsCertificates};

use super::error;
use crate::capability::{Capability, Order, Requeue};
use crate::config::RedisConfig;
use crate::error::{Error, ErrorKind, Result};

/// How long opening a connection may take, with TLS and the password.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the server may take to answer a command that does not wait.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// When the system gives up a connection whose other side is silent, or does not confirm what was sent.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Redis takes values up to 512 MB (<https://redis.io/docs/latest/develop/data-types/strings/>); a message that large would
/// hold up all others of its connection.
pub(super) const PAYLOAD_BYTES_MAX: usize = 16 << 20;
/// How many messages of one call are worth it.
pub(super) const PUBLISH_BATCH_MAX: usize = 1_000;
/// The most bytes in one pipeline, but for a single message that has more.
pub(super) const PUBLISH_BYTES_MAX: usize = 1 << 20;
/// The most deliveries that one receive returns.
pub(super) const RECEIVE_BATCH_MAX: usize = 1_000;
/// The longest delay: a sorted set keeps it as long as it keeps anything.
pub(super) const DELAY_MAX: Duration = Duration::from_hours(365 * 24);

/// What a server will be able to do.
pub(crate) fn capability(_config: &RedisConfig) -> Capability {
    let mut capability = Capability::least(PAYLOAD_BYTES_MAX);
    capability.order = Order::PerTopic;
    capability.requeue = Requeue::Delayed {
        max: DELAY_MAX,
        holds_key: false,
    };
    capability.groups = true;
    capability.ephemeral_groups = true;
    capability.route_to_group = true;
    capability.start_earliest = true;
    capability.seek = true;
    capability.delivery_count = true;
    capability.persistent = true;
    capability.backlog = true;
    capability.publish_delay_max = Some(DELAY_MAX);
    capability.group_delay_max = Some(DELAY_MAX);
    capability.lease = true;
    capability.publish_batch_max = NonZeroUsize::MIN.saturating_add(PUBLISH_BATCH_MAX - 1);
    capability.receive_batch_max = NonZeroUsize::MIN.saturating_add(RECEIVE_BATCH_MAX - 1);
    capability
}

/// The client that `config` describes. Reads the file of authorities, and does no other I/O.
pub(super) async fn client(config: &RedisConfig, with_password: bool) -> Result<Client> {
    let certificates = TlsCertificates {
        client_tls: None,
        root_cert: authorities(config).await?,
    };
    let made = make(config, with_password, certificates);
    made.map_err(|error| error::client(&error).with("address", config.address()))
}

fn make(
    config: &RedisConfig,
    with_password: bool,
    certificates: TlsCertificates,
) -> redis::RedisResult<Client> {
    let mut login = RedisConnectionInfo::default().set_lib_name("ductape-events", env!("CARGO_PKG_VERSION"));
    if with_password {
        if let Some(username) = &config.username {
            login = login.set_username(username);
        }
        if let Some(password) = &config.password {
            login = login.set_password(password.expose());
        }
    }
    let keepalive = TcpKeepalive::new()
        .with_time(SILENCE_MAX)
        .with_interval(SILENCE_MAX / 3);
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(SILENCE_MAX);
    let address = if config.tls {
        ConnectionAddr::TcpTls {
            host: config.host.clone(),
            port: config.port,
            insecure: false,
            tls_params: None,
        }
    } else {
        ConnectionAddr::Tcp(config.host.clone(), config.port)
    };
    let info = address
        .into_connection_info()?
        .set_redis_settings(login)
        .set_tcp_settings(tcp);
    if config.tls && certificates.root_cert.is_some() {
        return Client::build_with_tls(info, certificates);
    }
    Client::open(info)
}

async fn authorities(config: &RedisConfig) -> Result<Option<Vec<u8>>> {
    if !config.tls {
        return Ok(None);
    }
    // Several clients in one process may each bring a rustls provider, or none: then rustls can't choose by itself, and
    // panics. Someone else's choice stands.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Some(path) = config.ca_file.clone() else {
        return Ok(None);
    };
    let shown = path.display().to_string();
    let unreadable = |text: String| {
        let message = "the file of certificate authorities can't be read; check `caFile`";
        Error::new(ErrorKind::ConfigInvalid, message)
            .with("file", &shown)
            .with_source(text)
    };
    match tokio::task::spawn_blocking(move || std::fs::read(path)).await {
        Ok(Ok(pem)) if pem.windows(11).any(|window| window == b"-----BEGIN ") => Ok(Some(pem)),
        Ok(Ok(_)) => Err(unreadable("it has no certificate in PEM".to_owned())),
        Ok(Err(error)) => Err(unreadable(error.to_string())),
        Err(error) => Err(unreadable(error.to_string())),
    }
}
