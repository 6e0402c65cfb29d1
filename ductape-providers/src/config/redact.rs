//! URLs and other foreign text as people may see them.

use std::fmt::Write as _;

/// `url` without its secrets, for logs and errors.
///
/// The password of the user info, a user info that is a token alone, and the values of query parameters named like
/// `password`, `token` or `sasl.password` become `***`. Text that is not a URL is treated the same way, and where it is
/// unclear what belongs to a password, too much is hidden rather than too little.
///
/// ```
/// use ductape_providers::config::redact_url;
///
/// assert_eq!(redact_url("amqps://bill:hunter2@mq/shop"), "amqps://bill:***@mq/shop");
/// assert_eq!(redact_url("nats://t0ken@nats:4222"), "nats://***@nats:4222");
/// assert_eq!(redact_url("http://h/?a=1&token=t0ken"), "http://h/?a=1&token=***");
/// ```
pub fn redact_url(url: &str) -> String {
    let (scheme, rest) = match url.find("://") {
        Some(at) => url.split_at(at + 3),
        None => ("", url),
    };
    let mut out = String::with_capacity(url.len());
    out.push_str(scheme);
    // A password that is not percent-encoded may hold `/`, `?` and `@`, so the user info is what stands before the last `@`.
    let rest = match rest.rfind('@') {
        Some(at) => {
            if let Some(colon) = rest[..at].find(':') {
                out.push_str(&rest[..=colon]);
            }
            out.push_str("***@");
            &rest[at + 1..]
        }
        // Without an `@`, what follows a `:` is a port, or the password of a URL that was cut short.
        None => match password_start(rest) {
            Some(at) => {
                out.push_str(&rest[..at]);
                out.push_str("***");
                return out;
            }
            None => rest,
        },
    };
    let Some(query) = rest.find(['?', '#']) else {
        out.push_str(rest);
        return out;
    };
    out.push_str(&rest[..query]);
    let mut rest = &rest[query..];
    while let Some(separator) = rest.chars().next() {
        out.push(separator);
        rest = &rest[separator.len_utf8()..];
        let end = rest.find(['&', ';', '#', '?']).unwrap_or(rest.len());
        let (pair, after) = rest.split_at(end);
        match pair.split_once('=') {
            Some((name, _)) if is_secret_name(name) => {
                out.push_str(name);
                out.push_str("=***");
            }
            _ => out.push_str(pair),
        }
        rest = after;
    }
    out
}

/// Where what stands in a port's place, and is none, begins.
fn password_start(rest: &str) -> Option<usize> {
    const PORT_DIGITS_MAX: usize = 5;
    let host_end = if rest.starts_with('[') {
        rest.find(']')? + 1
    } else {
        0
    };
    let at = host_end + rest[host_end..].find([':', '/', '?', '#', ' '])?;
    let port = rest[at..].strip_prefix(':')?;
    let port = &port[..port.find(['/', '?', '#']).unwrap_or(port.len())];
    let is_port = port.len() <= PORT_DIGITS_MAX && port.bytes().all(|b| b.is_ascii_digit());
    (!is_port).then_some(at + 1)
}

/// Whether what stands under `name` is to be hidden: `password`, `sessionToken`, `secretAccessKey`, `credentials`.
///
/// ```
/// use ductape_providers::config::is_secret_name;
///
/// assert!(is_secret_name("sessionToken") && !is_secret_name("username"));
/// ```
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "pass"
        || name.contains('%')
        || ["password", "passwd", "token", "secret", "signature", "credential"]
            .iter()
            .any(|part| name.contains(part))
}

/// A value as an error shows it: without secrets of URLs, on one line, and cut where it is long.
pub(super) fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 64;
    let text = redact_url(text);
    let mut out = String::new();
    for c in text.chars().take(SHOWN_CHARS_MAX) {
        if c.is_control() {
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{redact_url, shown};

    #[test]
    fn no_secret_survives() {
        for (url, expected) in [
            ("redis://localhost:6379", "redis://localhost:6379"),
            ("amqp://u:CANARY@h:5672/v", "amqp://u:***@h:5672/v"),
            ("amqp://:CANARY@h", "amqp://:***@h"),
            ("amqp://u:CAN/AR?Y@CANARY@h/v", "amqp://u:***@h/v"),
            ("u:CANARY@h:9092", "u:***@h:9092"),
            ("nats://CANARY@h", "nats://***@h"),
            ("amqp://u:CANARY", "amqp://u:***"),
            ("amqp://u:CAN/ARY?x", "amqp://u:***"),
            ("u:1/CANARY@", "u:***@"),
            ("http://[::1]:80/a:b", "http://[::1]:80/a:b"),
            ("http://h:80/a:b", "http://h:80/a:b"),
            ("h:70000", "h:70000"),
            (
                "h:1?sasl.password=CANARY&x=1;Token=CANARY#y",
                "h:1?sasl.password=***&x=1;Token=***#y",
            ),
            ("h?pass=CANARY", "h?pass=***"),
            ("h#access_token=CANARY", "h#access_token=***"),
            ("h?%70assword=CANARY", "h?%70assword=***"),
            ("nats://u:CANARY@a,nats://u:CANARY@b", "nats://u:***@b"),
            ("", ""),
        ] {
            assert_eq!(redact_url(url), expected, "{url}");
        }
    }

    #[test]
    fn foreign_text_stays_on_one_line_and_short() {
        assert_eq!(shown("a\n[ERROR] fake\u{1b}[2J"), "a\\n[ERROR] fake\\u{1b}[2J");
        assert_eq!(shown(&"é".repeat(100)), format!("{}…", "é".repeat(64)));
    }
}
