//! From the shape of the configuration to the client's settings.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};

use super::link::Link;
use super::wire::unescaped;
use crate::config::{NatsAuth, NatsConfig};
use crate::error::{Error, ErrorKind, Result};

/// How often the client asks whether the server is there; after two that are not answered it connects anew.
const PING_EVERY: Duration = Duration::from_secs(10);
/// How long one attempt to connect may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(4);
/// How long a request of JetStream's API may take.
pub(super) const REQUEST_WITHIN: Duration = Duration::from_secs(5);
/// Commands that wait for the connection.
const COMMANDS: usize = 4_096;

/// A login that stands in the URLs.
#[derive(PartialEq, Eq)]
enum Login {
    Password(String, String),
    Token(String),
}

/// The servers without what stands before their `@`, which the client would print, and how to connect to them.
pub(super) fn options(config: &NatsConfig, link: Arc<Link>) -> Result<(Vec<ServerAddr>, ConnectOptions)> {
    let mut servers = Vec::with_capacity(config.servers.len());
    let mut login = None;
    for url in &config.servers {
        let bad = |_| {
            Error::new(
                ErrorKind::ConfigInvalid,
                format!("`{url}` can't be read as the URL of a server"),
            )
        };
        let whole: ServerAddr = url.expose().parse().map_err(bad)?;
        let found = match (whole.username(), whole.password()) {
            (Some(user), Some(pass)) => Some(Login::Password(unescaped(user), unescaped(pass))),
            (Some(token), None) => Some(Login::Token(unescaped(token))),
            (None, _) => None,
        };
        if let Some(found) = found {
            if login.as_ref().is_some_and(|login| *login != found) {
                let text = "the URLs of `servers` name different users; write one as `user` and `pass`, or as `token`";
                return Err(Error::new(ErrorKind::ConfigInvalid, text));
            }
            login = Some(found);
        }
        let host = whole.host();
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let plain = format!("{}://{host}:{}", url.scheme(), whole.port());
        servers.push(plain.parse().map_err(bad)?);
    }
    let first_round = servers.len();
    let wait = config.reconnect_time_wait;
    let mut options = ConnectOptions::new()
        .ping_interval(PING_EVERY)
        .connection_timeout(CONNECT_WITHIN)
        .request_timeout(Some(REQUEST_WITHIN))
        .client_capacity(COMMANDS)
        // Subjects are checked where they are made.
        .skip_subject_validation(true)
        // Each server once without a wait, then again after it.
        .reconnect_delay_callback(move |attempts| if attempts <= first_round { Duration::ZERO } else { wait })
        .event_callback(move |event| {
            link.note(&event);
            std::future::ready(())
        });
    options = match (&config.auth, login) {
        (Some(NatsAuth::Password { user, pass }), _) => {
            options.user_and_password(user.clone(), pass.expose().to_owned())
        }
        (Some(NatsAuth::Token { token }), _) => options.token(token.expose().to_owned()),
        (None, Some(Login::Password(user, pass))) => options.user_and_password(user, pass),
        (None, Some(Login::Token(token))) => options.token(token),
        (None, None) => options,
    };
    if let Some(name) = &config.name {
        options = options.name(name);
    }
    if let Some(attempts) = config.max_reconnect_attempts {
        // The client counts the first connection too, and reads 0 as "without end".
        let attempts = usize::try_from(attempts).unwrap_or(usize::MAX);
        options = options.max_reconnects(attempts.max(first_round));
    }
    if let Some(tls) = &config.tls {
        options = options.require_tls(true);
        if let Some(file) = &tls.ca_file {
            options = options.add_root_certificates(file.clone());
        }
        if let (Some(certificate), Some(key)) = (&tls.cert_file, &tls.key_file) {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
    }
    Ok((servers, options))
}

/// Whether the connection is to be encrypted, as far as the configuration says.
pub(super) fn is_encrypted(config: &NatsConfig) -> bool {
    config.tls.is_some() || config.servers.iter().any(|url| url.scheme() == "tls")
}

/// The hosts and ports of the servers.
pub(super) fn hosts(servers: &[ServerAddr]) -> Vec<(&str, u16)> {
    servers
        .iter()
        .map(|server| (server.host(), server.port()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::{hosts, options};
    use crate::config::{NatsConfig, ProviderConfig};
    use crate::nats::link::Link;

    fn config(servers: &serde_json::Value) -> NatsConfig {
        match ProviderConfig::from_value(&json!({"type": "NATS", "servers": servers})).unwrap() {
            ProviderConfig::Nats(config) => config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_login_does_not_stay_in_the_urls() {
        let config = config(&json!(["nats://u:hunter2-CANARY@127.0.0.1:4223", "nats://[::1]"]));
        let (servers, options) = options(&config, Arc::new(Link::default())).unwrap();
        assert_eq!(hosts(&servers), [("127.0.0.1", 4223), ("::1", 4222)]);
        for server in &servers {
            assert!(!format!("{server:?}").contains("CANARY"));
        }
        assert!(!format!("{options:?}").contains("CANARY"));
    }

    #[test]
    fn urls_of_different_users_are_refused() {
        let config = config(&json!(["nats://a:CANARY@127.0.0.1", "nats://b:CANARY@127.0.0.1"]));
        let error = options(&config, Arc::new(Link::default())).unwrap_err();
        assert!(error.to_string().contains("different users"), "{error}");
        assert!(!error.to_string().contains("CANARY"), "{error}");
    }
}
