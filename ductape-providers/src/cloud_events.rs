//! `CloudEvents` 1.0 in binary mode, as the providers of servers have it in common.
//!
//! The payload travels as it is; the attributes are headers of the transport, each with the prefix that the transport's
//! binding gives it: `ce_` on Kafka
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md>), `cloudEvents_` on
//! AMQP (`amqp-protocol-binding.md`), `ce-` on NATS (`nats-protocol-binding.md`) and where there is no binding. In this
//! crate's own headers the prefix is `ce-`. `id`, `time` and `subject` (the key) are fields of the message.

#![allow(dead_code)] // which of it is used depends on the features

use std::borrow::Cow;
use std::time::SystemTime;

use bytes::Bytes;
use bytestring::ByteString;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::headers::Headers;
use crate::message::{MessageId, Outgoing};

/// The prefix of attributes among this crate's own headers.
const OWN_PREFIX: &str = "ce-";
/// The header of a key that is not text, in hexadecimal digits: an attribute must be text.
const KEY_HEX: &str = "ductape-key-hex";

/// Hands every header of the transport for `message` to `put`: the attributes under `prefix`, everything else under its
/// own name.
pub(crate) fn write(message: &Outgoing, prefix: &str, mut put: impl FnMut(Cow<'_, str>, Cow<'_, str>)) {
    put(format!("{prefix}id").into(), message.id.to_string().into());
    put(
        format!("{prefix}time").into(),
        time_text(message.published_at).into(),
    );
    if let Some(key) = &message.key {
        match std::str::from_utf8(key) {
            Ok(text) if !text.chars().any(char::is_control) => {
                put(format!("{prefix}subject").into(), text.into());
            }
            _ => put(KEY_HEX.into(), hex(key).into()),
        }
    }
    for (name, value) in message.headers.iter() {
        match name.strip_prefix(OWN_PREFIX) {
            Some(attribute) if prefix != OWN_PREFIX => {
                put(format!("{prefix}{attribute}").into(), value.into());
            }
            _ => put(name.into(), value.into()),
        }
    }
}

/// What the headers of a transport say of a message.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) id: Option<MessageId>,
    pub(crate) published_at: Option<SystemTime>,
    pub(crate) key: Option<Bytes>,
    pub(crate) headers: Headers,
}

impl Read {
    /// Takes one header. A name that a message can't carry is brought to lower case, and left out if that is not enough:
    /// it is another producer's, and the message matters more.
    pub(crate) fn take(&mut self, prefix: &str, name: &str, value: &str) {
        if let Some(attribute) = name.strip_prefix(prefix) {
            match attribute {
                "id" => self.id = Some(MessageId::from_text(value)),
                "time" => self.published_at = time_of(value),
                "subject" => self.key = Some(Bytes::copy_from_slice(value.as_bytes())),
                _ => self.keep(&format!("{OWN_PREFIX}{attribute}"), value),
            }
        } else if name == KEY_HEX {
            self.key = unhex(value);
        } else {
            self.keep(name, value);
        }
    }

    fn keep(&mut self, name: &str, value: &str) {
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
        let lower = name.to_ascii_lowercase();
        if !lower.is_empty() && lower.len() <= Headers::NAME_LEN_MAX && lower.bytes().all(allowed) {
            self.headers
                .insert(ByteString::from(lower), ByteString::from(value));
        } else {
            tracing::debug!(name = ?name, "a header of another producer has a name that can't be kept");
        }
    }
}

/// The time as RFC 3339 has it.
pub(crate) fn time_text(time: SystemTime) -> String {
    // Only years beyond 9999 can't be written.
    OffsetDateTime::from(time).format(&Rfc3339).unwrap_or_default()
}

/// The time that a text stands for; `None` if it is not RFC 3339.
pub(crate) fn time_of(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from)
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(*b)]).collect()
}

fn unhex(text: &str) -> Option<Bytes> {
    let digit = |b: u8| {
        char::from(b)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect::<Option<Vec<u8>>>().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::{Read, time_of, time_text, write};
    use crate::clock;
    use crate::message::{Outgoing, TopicName};

    fn through(message: &Outgoing, prefix: &str) -> (Vec<(String, String)>, Read) {
        let mut wire = Vec::new();
        write(message, prefix, |name, value| {
            wire.push((name.into_owned(), value.into_owned()));
        });
        let mut read = Read::default();
        for (name, value) in &wire {
            read.take(prefix, name, value);
        }
        (wire, read)
    }

    #[test]
    fn what_is_written_is_read_under_every_prefix() {
        let topic = TopicName::new("a:b".parse().unwrap(), NonZeroU32::MIN);
        for key in [&b"k-1"[..], b"", b"\xff\x00", b"line\nline"] {
            let mut message = Outgoing::new(topic.clone(), "{}").with_key(key.to_vec());
            message.published_at = clock::from_millis(1_700_000_000_123);
            message.headers.insert("ce-type", "a:b");
            message.headers.insert("content-type", "application/json");
            for prefix in ["ce_", "ce-", "cloudEvents_"] {
                let (wire, read) = through(&message, prefix);
                assert!(
                    wire.contains(&(format!("{prefix}type"), "a:b".to_owned())),
                    "{wire:?}"
                );
                assert_eq!(read.id.as_ref(), Some(&message.id));
                assert_eq!(read.published_at, Some(message.published_at));
                assert_eq!(read.key, message.key);
                assert_eq!(read.headers, message.headers);
            }
        }
    }

    #[test]
    fn anothers_headers_are_kept_where_they_can_be() {
        let mut read = Read::default();
        for (name, value) in [
            ("X-Tenant", "acme"),
            ("sp ace", "lost"),
            ("ce_time", "yesterday"),
            ("ce_id", "7"),
        ] {
            read.take("ce_", name, value);
        }
        assert_eq!(read.headers.iter().collect::<Vec<_>>(), [("x-tenant", "acme")]);
        assert_eq!(
            (read.id.unwrap().to_string().as_str(), read.published_at),
            ("7", None)
        );
    }

    #[test]
    fn times_keep_their_nanoseconds() {
        let time = clock::wall();
        assert_eq!(time_of(&time_text(time)), Some(time));
        assert_eq!(
            time_of("2026-11-25T02:03:04+02:00"),
            time_of("2026-11-25T00:03:04Z")
        );
        assert_eq!(time_of("not a time"), None);
    }
}
