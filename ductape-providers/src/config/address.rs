//! Hosts, ports and URLs, checked without asking anybody.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Serialize, Serializer};

use super::redact::{redact_url, shown};
use super::secret::Secret;

/// A host and its port: `kafka-1.example.com:9092`, `[::1]:9092`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A host name or an IP address, without brackets.
    pub host: String,
    /// The TCP port, from 1.
    pub port: u16,
}

impl HostPort {
    /// Reads `host:port`; what is wrong reads after the key.
    pub(super) fn parse(text: &str, example: &str) -> Result<Self, String> {
        let bad = |why: &str| {
            format!(
                "`{}` {why}; write `host:port`, for example `{example}`",
                shown(text)
            )
        };
        let (host, port) = split_port(text).ok_or_else(|| bad("is not a host and a port"))?;
        let port = port.ok_or_else(|| bad("has no port"))?;
        let port = parse_port(port).ok_or_else(|| bad("has a port that is not 1 to 65535"))?;
        if !is_host(host) {
            return Err(bad("has a host that can't be one"));
        }
        let host = host.to_owned();
        Ok(Self { host, port })
    }

    /// Whether the host is this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Serialize for HostPort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A URL that may hold a password. It prints and serializes as [`redact_url`] shows it.
#[derive(Clone)]
pub struct BrokerUrl {
    whole: Secret,
    scheme: &'static str,
    host: String,
    port: Option<u16>,
    user_info: bool,
}

impl BrokerUrl {
    /// Reads a URL of one of `schemes`; what is wrong reads after the key.
    pub(super) fn parse(text: &str, schemes: &[&'static str], example: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("`{}` {why}; write for example `{example}`", shown(text));
        let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("is not a URL"))?;
        let Some(scheme) = schemes.iter().find(|known| known.eq_ignore_ascii_case(scheme)) else {
            return Err(format!(
                "`{}` is not a URL of {}; write for example `{example}`",
                shown(text),
                schemes.join(":// or ") + "://"
            ));
        };
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        let (user_info, server) = match authority.rsplit_once('@') {
            Some((_, server)) => (true, server),
            None => (false, authority),
        };
        let (host, port) = split_port(server).ok_or_else(|| bad("has no host and port that can be read"))?;
        if !is_host(host) {
            return Err(bad("has a host that can't be one"));
        }
        if port.is_some_and(|port| parse_port(port).is_none()) {
            return Err(bad("has a port that is not 1 to 65535"));
        }
        Ok(Self {
            whole: Secret::new(text),
            scheme,
            host: host.to_owned(),
            port: port.and_then(parse_port),
            user_info,
        })
    }

    /// This URL, when it is an address alone: clients log the URLs that they call, and these take no password there.
    pub(super) fn without_extras(self) -> Result<Self, String> {
        if self.user_info || self.expose().contains(['?', '#']) {
            return Err(format!(
                "`{self}` has a user or a query, which nothing here reads; write the address alone, and keys in their own fields"
            ));
        }
        Ok(self)
    }

    /// The whole URL with its password, for the client that connects with it.
    pub fn expose(&self) -> &str {
        self.whole.expose()
    }

    /// The scheme, in lower case.
    pub const fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, where the URL names one.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether it names a user, and so perhaps a password or a token.
    pub const fn has_user_info(&self) -> bool {
        self.user_info
    }

    /// Whether the host is this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact_url(self.expose()))
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for BrokerUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A host name or IP address; the DNS allows 253 characters.
pub(super) fn is_host(host: &str) -> bool {
    if host.contains(':') {
        return host.parse::<Ipv6Addr>().is_ok();
    }
    host.len() <= 253
        && host.strip_suffix('.').unwrap_or(host).split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

/// Whether `host` is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`; `None` when it is none of them.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        return match after.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => after.is_empty().then_some((host, None)),
        };
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => None,
        Some((host, port)) => Some((host, Some(port))),
        None => Some((text, None)),
    }
}

fn parse_port(text: &str) -> Option<u16> {
    // `u16::from_str` takes a leading `+`.
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::{BrokerUrl, HostPort, is_loopback};

    #[test]
    fn good_addresses_come_back_as_they_were_written() {
        for text in ["kafka:9092", "127.0.0.1:1", "[::1]:65535", "a_b.c-d.example:9092"] {
            assert_eq!(HostPort::parse(text, "").unwrap().to_string(), text);
        }
    }

    #[test]
    fn bad_addresses_say_why() {
        for (text, why) in [
            ("kafka", "has no port"),
            ("kafka:", "has a port that is not 1 to 65535"),
            ("kafka:0", "has a port that is not 1 to 65535"),
            ("kafka:65536", "has a port that is not 1 to 65535"),
            ("kafka:+80", "has a port that is not 1 to 65535"),
            ("kafka:abc", "has a port that is not 1 to 65535"),
            (":9092", "has a host that can't be one"),
            ("ka fka:9092", "has a host that can't be one"),
            ("::1:9092", "is not a host and a port"),
            ("[::1]x", "is not a host and a port"),
            ("[::1", "is not a host and a port"),
            ("[]:9092", "is not a host and a port"),
        ] {
            let error = HostPort::parse(text, "k:9092").unwrap_err();
            // What is no number may be a password.
            let shown = match text {
                "kafka:+80" | "kafka:abc" => "kafka:***",
                "::1:9092" => ":***",
                _ => text,
            };
            assert_eq!(
                error,
                format!("`{shown}` {why}; write `host:port`, for example `k:9092`")
            );
        }
    }

    #[test]
    fn a_url_knows_its_host_and_hides_its_password() {
        let url = BrokerUrl::parse(
            "AMQP://u:CANARY@mq.example:5672/v",
            &["amqp", "amqps"],
            "amqp://h",
        )
        .unwrap();
        assert_eq!(
            (url.scheme(), url.host(), url.has_user_info(), url.is_loopback()),
            ("amqp", "mq.example", true, false)
        );
        assert_eq!(format!("{url} {url:?}").matches("CANARY").count(), 0);
        assert!(url.expose().contains("CANARY"));
        for text in [
            "amqp:/h",
            "http://h",
            "amqp://",
            "amqp://h:0",
            "amqp://u:CAN/ARY@h",
        ] {
            let error = BrokerUrl::parse(text, &["amqp", "amqps"], "amqp://h").unwrap_err();
            assert!(!error.contains("ARY"), "{error}");
        }
    }

    #[test]
    fn this_machine_is_recognised() {
        for host in [
            "localhost",
            "LOCALHOST",
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "localhost.example.com",
            "10.0.0.1",
            "0.0.0.0",
            "127.0.0.1.example",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
