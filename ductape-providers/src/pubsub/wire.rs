//! A message of ours ⇄ one of Pub/Sub.
//!
//! The payload is the data, and every header an attribute, in CloudEvents' binary mode
//! (<https://github.com/google/knative-gcp/blob/main/docs/spec/pubsub-protocol-binding.md>: prefix `ce-`). Pub/Sub takes
//! attributes of at most 1,024 bytes, so a longer header travels in pieces, `name~1`, `name~2` …; and names that begin with
//! `goog` are Google's, so such a header travels as `~goog…`. No name of ours has a `~`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::SystemTime;

use bytes::Bytes;
use google_cloud_pubsub::model::Message;
use uuid::Uuid;

use super::config::MESSAGE_BYTES_MAX;
use crate::cloud_events::{self, Read};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Incoming, MessageId, Outgoing, TopicName};

/// The prefix of CloudEvents' attributes.
const PREFIX: &str = "ce-";
/// The attribute of the time before which a copy for one group must not be handled, as RFC 3339 has it.
pub(super) const NOT_BEFORE: &str = "ductape-not-before";
/// The attribute of the process that a copy for an ephemeral group is for.
pub(super) const INSTANCE: &str = "ductape-instance";
/// The attribute of an event's type.
pub(super) const TYPE: &str = "ce-type";
/// The limits of Pub/Sub: <https://cloud.google.com/pubsub/quotas#resource_limits>.
const ATTRIBUTES_MAX: usize = 100;
const VALUE_BYTES_MAX: usize = 1_024;
const ORDERING_KEY_BYTES_MAX: usize = 1_024;

/// The message as Pub/Sub carries it. `extra` are attributes that are the broker's and not the message's; `ordered` says
/// whether Pub/Sub keeps the order of its key.
pub(super) fn outgoing(message: &Outgoing, ordered: bool, extra: &[(&str, String)]) -> Result<Message> {
    let mut attributes: HashMap<String, String> = HashMap::new();
    cloud_events::write(message, PREFIX, |name, value| put(&mut attributes, &name, &value));
    for (name, value) in extra {
        attributes.insert((*name).to_owned(), value.clone());
    }
    if attributes.len() > ATTRIBUTES_MAX {
        let text = format!(
            "the headers and the key take {} attributes; Pub/Sub takes at most {ATTRIBUTES_MAX}, of {VALUE_BYTES_MAX} bytes each",
            attributes.len()
        );
        return Err(Error::new(ErrorKind::HeaderInvalid, text).with("topic", &message.topic));
    }
    let beside: usize = attributes
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    let total = message.payload.len() + beside;
    if total > MESSAGE_BYTES_MAX {
        let text =
            format!("message of {total} bytes with its headers; Pub/Sub takes at most {MESSAGE_BYTES_MAX}");
        return Err(Error::new(ErrorKind::PayloadTooLarge, text).with("topic", &message.topic));
    }
    let mut out = Message::new().set_data(message.payload.clone());
    out.attributes = attributes;
    if let Some(key) = message.key.as_ref().filter(|_| ordered) {
        out.ordering_key = ordering_key(key);
    }
    Ok(out)
}

fn put(attributes: &mut HashMap<String, String>, name: &str, value: &str) {
    let name: Cow<'_, str> = if name.starts_with("goog") {
        format!("~{name}").into()
    } else {
        name.into()
    };
    if value.len() <= VALUE_BYTES_MAX {
        attributes.insert(name.into_owned(), value.to_owned());
        return;
    }
    let mut rest = value;
    let mut piece = 1;
    while !rest.is_empty() {
        let mut end = rest.len().min(VALUE_BYTES_MAX);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (now, later) = rest.split_at(end);
        attributes.insert(format!("{name}~{piece}"), now.to_owned());
        rest = later;
        piece += 1;
    }
}

/// The key as Pub/Sub orders by it: itself where it can be, else a name that stands for it.
fn ordering_key(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if !text.is_empty() && text.len() <= ORDERING_KEY_BYTES_MAX => text.to_owned(),
        _ => Uuid::new_v5(&Uuid::NAMESPACE_OID, key).to_string(),
    }
}

/// The message that Pub/Sub delivered for `topic`, whoever published it.
pub(super) fn incoming(message: Message, topic: &TopicName) -> Incoming {
    let read = read(&message.attributes);
    let derived = || MessageId::derived(topic.event().as_str(), &message.message_id);
    let stored = message
        .publish_time
        .and_then(|time| SystemTime::try_from(time).ok());
    let ordering_key = Some(message.ordering_key).filter(|key| !key.is_empty());
    Incoming {
        topic: topic.clone(),
        id: read.id.unwrap_or_else(derived),
        key: read
            .key
            .or_else(|| ordering_key.map(|key| Bytes::from(key.into_bytes()))),
        headers: read.headers,
        payload: message.data,
        published_at: read.published_at.or(stored),
        position: None,
        delivery_count: None,
    }
}

fn read(attributes: &HashMap<String, String>) -> Read {
    let mut read = Read::default();
    let mut pieces: Vec<(&str, u32, &str)> = Vec::new();
    for (name, value) in attributes {
        let own = name.strip_prefix('~').unwrap_or(name);
        match own.rsplit_once('~').map(|(base, piece)| (base, piece.parse())) {
            Some((base, Ok(piece))) => pieces.push((base, piece, value)),
            _ if own == NOT_BEFORE || own == INSTANCE => {}
            _ => read.take(PREFIX, own, value),
        }
    }
    pieces.sort_unstable();
    for header in pieces.chunk_by(|one, other| one.0 == other.0) {
        let value: String = header.iter().map(|(_, _, value)| *value).collect();
        read.take(PREFIX, header[0].0, &value);
    }
    read
}

/// When a copy for one group may be handled.
pub(super) fn not_before(message: &Message) -> Option<SystemTime> {
    message
        .attributes
        .get(NOT_BEFORE)
        .and_then(|text| cloud_events::time_of(text))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use google_cloud_pubsub::model::Message;

    use super::{incoming, not_before, outgoing};
    use crate::error::ErrorKind;
    use crate::headers::Headers;
    use crate::message::{Outgoing, TopicName};

    fn topic() -> TopicName {
        TopicName::new("shop:orders".parse().unwrap(), NonZeroU32::MIN)
    }

    #[test]
    fn what_is_written_within_the_limits_of_pubsub_is_read() {
        let key: Vec<u8> = (0..=u8::MAX).collect();
        let mut message = Outgoing::new(topic(), "{}").with_key(key);
        message.headers.insert("ce-type", "shop:orders");
        message.headers.insert("google-thing", "g");
        message.headers.insert("long", "\u{263a}".repeat(2_000));
        for i in 0..20 {
            message.headers.insert(format!("h{i}"), "v".repeat(1_100));
        }
        message.headers.check().unwrap();
        let wire = outgoing(&message, true, &[]).unwrap();
        assert!(wire.attributes.len() <= 100, "{}", wire.attributes.len());
        for (name, value) in &wire.attributes {
            assert!(
                value.len() <= 1_024 && name.len() <= 256 && !name.starts_with("goog"),
                "{name}"
            );
        }
        assert_eq!(wire.attributes["ce-type"], "shop:orders");
        let read = incoming(wire, &topic());
        assert_eq!(
            (&read.id, &read.key, &read.payload),
            (&message.id, &message.key, &message.payload)
        );
        assert_eq!(read.headers, message.headers);
    }

    #[test]
    fn headers_at_every_limit_of_ours_fit() {
        for (count, value) in [
            (64, 1),
            (64, 490),
            (28, 1_150),
            (4, 8_000),
            (1, Headers::VALUE_LEN_MAX),
        ] {
            let mut message = Outgoing::new(topic(), "{}").with_key("k");
            message.headers = (0..count).map(|i| (format!("h{i}"), "v".repeat(value))).collect();
            message.headers.check().unwrap();
            let wire = outgoing(&message, true, &[(super::NOT_BEFORE, String::new())]).unwrap();
            assert_eq!(incoming(wire, &topic()).headers, message.headers);
        }
    }

    #[test]
    fn a_key_that_takes_too_many_attributes_is_refused() {
        let message = Outgoing::new(topic(), "{}").with_key(vec![0xff; 100 * 1_024]);
        let error = outgoing(&message, true, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::HeaderInvalid, "{error}");
    }

    #[test]
    fn a_payload_that_fits_only_without_its_headers_is_refused() {
        let mut message = Outgoing::new(topic(), vec![0; 9_999_990]);
        message.headers.insert("tenant", "acme");
        let error = outgoing(&message, true, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PayloadTooLarge, "{error}");
    }

    #[test]
    fn the_same_key_has_the_same_ordering_key_whatever_its_bytes() {
        let of = |key: &[u8]| {
            let message = Outgoing::new(topic(), "").with_key(key.to_vec());
            outgoing(&message, true, &[]).unwrap().ordering_key
        };
        assert_eq!(of(b"order-7"), "order-7");
        assert_eq!(of(b"\xff\x01"), of(b"\xff\x01"));
        assert_ne!(of(b"\xff\x01"), of(b"\xff\x02"));
        assert!(!of(b"").is_empty() && of(&[b'k'; 2_000]).len() <= 1_024);
        let unordered = Outgoing::new(topic(), "").with_key("k");
        assert_eq!(outgoing(&unordered, false, &[]).unwrap().ordering_key, "");
    }

    #[test]
    fn a_message_from_elsewhere_has_an_id_and_the_ordering_key_as_key() {
        let message = Message::new()
            .set_data("not json")
            .set_message_id("17")
            .set_ordering_key("k")
            .set_attributes([
                ("ductape-not-before", "soon"),
                ("x~1", "a"),
                ("Tenant", "acme"),
                ("~", ""),
            ]);
        assert_eq!(not_before(&message), None);
        let one = incoming(message.clone(), &topic());
        assert_eq!(one.id, incoming(message, &topic()).id);
        assert_eq!(one.key.as_deref(), Some(&b"k"[..]));
        assert_eq!(
            (one.headers.get("tenant"), one.headers.get("x")),
            (Some("acme"), Some("a"))
        );
    }
}
