//! Messages as SQS and SNS carry them.
//!
//! The body is the payload where AWS takes it as text; otherwise it is in base64, or `-` for an empty one, and the
//! attribute `x-body` says so. Headers are string attributes: the well-known ones by name, all others folded into one.

use std::collections::HashMap;
use std::num::NonZeroU32;

use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::{
    Message, MessageAttributeValue, MessageSystemAttributeName, SendMessageBatchRequestEntry,
};
use aws_smithy_types::base64;
use bytes::Bytes;

use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::folded::{fold, unfold};
use crate::message::{Incoming, MessageId, Outgoing, TopicName};

/// The most that SNS takes, body and attributes together; also in one batch:
/// <https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html>.
pub(super) const MESSAGE_LEN_MAX: usize = 256 * 1024;
/// The largest payload: what a message may have, less 8 KiB for its headers.
pub(super) const PAYLOAD_LEN_MAX: usize = MESSAGE_LEN_MAX - 8 * 1024;

/// The attribute that says how the payload became text.
const BODY: &str = "x-body";
/// The attribute of a retry's copy with the deliveries before it.
const COUNT: &str = "x-count";
/// The headers with an attribute of their own. With the three of this crate they are the ten that SNS delivers at most.
const OWN: [&str; 7] = [
    "ce-id",
    "ce-type",
    "ce-source",
    "ce-time",
    "ce-subject",
    "content-type",
    "traceparent",
];
/// The type of every attribute.
const STRING: &str = "String";

/// A message as it is sent.
#[derive(Debug)]
pub(super) struct Wire {
    body: String,
    attributes: Vec<(String, String)>,
    /// What it counts against the limits, in bytes.
    pub(super) len: usize,
}

impl Wire {
    /// # Errors
    ///
    /// [`PayloadTooLarge`](ErrorKind::PayloadTooLarge).
    pub(super) fn new(message: &Outgoing) -> Result<Self> {
        Self::with_count(message, None)
    }

    /// A copy that carries how often its message was delivered before.
    pub(super) fn with_count(message: &Outgoing, count: Option<NonZeroU32>) -> Result<Self> {
        let payload = &message.payload;
        if payload.len() > PAYLOAD_LEN_MAX {
            return Err(Error::new(
                ErrorKind::PayloadTooLarge,
                format!(
                    "the payload has {} bytes; SQS with SNS takes at most {PAYLOAD_LEN_MAX}",
                    payload.len()
                ),
            )
            .with("topic", &message.topic));
        }
        let mut attributes: Vec<(String, String)> = Vec::new();
        fold(message, has_place, |name, value| {
            attributes.push((name.into_owned(), value.into_owned()));
        });
        let body = match std::str::from_utf8(payload) {
            Ok("") => {
                attributes.push((BODY.to_owned(), "empty".to_owned()));
                "-".to_owned()
            }
            Ok(text) if text.chars().all(is_allowed) => text.to_owned(),
            _ => {
                attributes.push((BODY.to_owned(), "base64".to_owned()));
                base64::encode(payload)
            }
        };
        if let Some(count) = count {
            attributes.push((COUNT.to_owned(), count.to_string()));
        }
        let of_attributes: usize = attributes
            .iter()
            .map(|(name, value)| name.len() + STRING.len() + value.len())
            .sum();
        let len = body.len() + of_attributes;
        if len > MESSAGE_LEN_MAX {
            return Err(Error::new(
                ErrorKind::PayloadTooLarge,
                format!(
                    "the message has {len} bytes, {of_attributes} of them headers; SQS with SNS takes at most \
                     {MESSAGE_LEN_MAX} (and a payload that is not text grows by a third)"
                ),
            )
            .with("topic", &message.topic));
        }
        Ok(Self {
            body,
            attributes,
            len,
        })
    }

    pub(super) fn to_sqs(
        &self,
        id: usize,
        fifo: Option<&Fifo>,
        delay_seconds: Option<i32>,
    ) -> Result<SendMessageBatchRequestEntry, BuildError> {
        let mut attributes = HashMap::with_capacity(self.attributes.len());
        for (name, value) in &self.attributes {
            let value = MessageAttributeValue::builder()
                .data_type(STRING)
                .string_value(value);
            attributes.insert(name.clone(), value.build()?);
        }
        SendMessageBatchRequestEntry::builder()
            .id(id.to_string())
            .message_body(&self.body)
            .set_message_attributes(Some(attributes))
            .set_delay_seconds(delay_seconds)
            .set_message_group_id(fifo.map(|fifo| fifo.group.clone()))
            .set_message_deduplication_id(fifo.map(|fifo| fifo.deduplication.clone()))
            .build()
    }

    pub(super) fn to_sns(
        &self,
        id: usize,
        fifo: Option<&Fifo>,
    ) -> Result<aws_sdk_sns::types::PublishBatchRequestEntry, BuildError> {
        let mut attributes = HashMap::with_capacity(self.attributes.len());
        for (name, value) in &self.attributes {
            let value = aws_sdk_sns::types::MessageAttributeValue::builder()
                .data_type(STRING)
                .string_value(value);
            attributes.insert(name.clone(), value.build()?);
        }
        aws_sdk_sns::types::PublishBatchRequestEntry::builder()
            .id(id.to_string())
            .message(&self.body)
            .set_message_attributes(Some(attributes))
            .set_message_group_id(fifo.map(|fifo| fifo.group.clone()))
            .set_message_deduplication_id(fifo.map(|fifo| fifo.deduplication.clone()))
            .build()
    }
}

/// What a FIFO topic or queue asks for beside the message.
#[derive(Clone, Debug)]
pub(super) struct Fifo {
    /// Messages of one group keep their order.
    pub(super) group: String,
    /// What is sent again with this is dropped.
    pub(super) deduplication: String,
}

/// Whether AWS takes `value` as an attribute `name`.
fn has_place(name: &str, value: &str) -> bool {
    OWN.contains(&name) && !value.is_empty() && value.chars().all(is_allowed)
}

/// The characters that a body or an attribute may have:
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>.
const fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// A received message: what settles it, where it stands, and itself.
#[derive(Debug)]
pub(super) struct Arrival {
    /// What settles this delivery.
    pub(super) handle: String,
    /// The message group, of a FIFO queue.
    pub(super) group: Option<String>,
    /// What SQS knows the message by, at each delivery.
    pub(super) sqs_id: String,
    pub(super) message: Incoming,
}

/// Reads what SQS delivered; `None` without a handle, by which nothing could be settled.
pub(super) fn arrival(topic: &TopicName, message: Message) -> Option<Arrival> {
    let handle = message.receipt_handle?;
    let sqs_id = message.message_id.unwrap_or_default();
    let attributes = message.message_attributes.unwrap_or_default();
    let texts = attributes.iter().filter_map(|(name, value)| {
        let bytes = || {
            value
                .binary_value()
                .and_then(|bytes| std::str::from_utf8(bytes.as_ref()).ok())
        };
        Some((name.as_str(), value.string_value().or_else(bytes)?))
    });
    let mut read = unfold(texts);
    let payload = payload(message.body.unwrap_or_default(), read.headers.get(BODY));
    let earlier = read.headers.get(COUNT).and_then(|text| text.parse::<u32>().ok());
    read.headers.remove(BODY);
    read.headers.remove(COUNT);
    let system = message.attributes.unwrap_or_default();
    let number = |name| system.get(&name).and_then(|text| text.parse::<u64>().ok());
    let sent_at = number(MessageSystemAttributeName::SentTimestamp).map(clock::from_millis);
    let count = number(MessageSystemAttributeName::ApproximateReceiveCount);
    let group = system.get(&MessageSystemAttributeName::MessageGroupId).cloned();
    // Another producer's message has its key in the group alone; in ours the group may be a hash, or stand for none.
    let key = match (&read.id, read.key, &group) {
        (None, None, Some(group)) => Some(Bytes::copy_from_slice(group.as_bytes())),
        (_, key, _) => key,
    };
    Some(Arrival {
        message: Incoming {
            topic: topic.clone(),
            id: read.id.unwrap_or_else(|| MessageId::derived("sqs", &sqs_id)),
            key,
            headers: read.headers,
            payload,
            published_at: read.published_at.or(sent_at),
            position: None,
            delivery_count: count
                .and_then(|count| u32::try_from(count).ok())
                .map(|count| count.saturating_add(earlier.unwrap_or_default()))
                .and_then(NonZeroU32::new),
        },
        handle,
        group,
        sqs_id,
    })
}

fn payload(body: String, how: Option<&str>) -> Bytes {
    match how {
        Some("empty") => Bytes::new(),
        // What can't be decoded is kept as it is: whoever sent it meant something by it.
        Some("base64") => match base64::decode(&body) {
            Ok(bytes) => bytes.into(),
            Err(_) => body.into(),
        },
        _ => body.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::num::NonZeroU32;

    use aws_sdk_sqs::primitives::Blob;
    use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName};

    use super::{Fifo, MESSAGE_LEN_MAX, PAYLOAD_LEN_MAX, Wire, arrival};
    use crate::clock;
    use crate::error::ErrorKind;
    use crate::message::{Outgoing, TopicName};

    fn topic() -> TopicName {
        TopicName::new("a:b".parse().unwrap(), NonZeroU32::MIN)
    }

    fn attribute(text: &str) -> MessageAttributeValue {
        MessageAttributeValue::builder()
            .data_type("String")
            .string_value(text)
            .build()
            .unwrap()
    }

    /// What SQS would deliver of it.
    fn delivered(wire: &Wire) -> Message {
        let fifo = Fifo {
            group: "k".to_owned(),
            deduplication: "d".to_owned(),
        };
        let entry = wire.to_sqs(0, Some(&fifo), None).unwrap();
        Message::builder()
            .receipt_handle("handle")
            .message_id("7")
            .body(entry.message_body())
            .set_message_attributes(entry.message_attributes().cloned())
            .attributes(MessageSystemAttributeName::ApproximateReceiveCount, "2")
            .attributes(MessageSystemAttributeName::MessageGroupId, "k")
            .build()
    }

    #[test]
    fn a_message_comes_back_as_it_was() {
        for payload in [
            &b"{\"a\":1}"[..],
            b"",
            b"\xff\x00",
            b"nul \0",
            "\u{263a}\u{1f980}\u{fffe}".as_bytes(),
        ] {
            for key in [None, Some(&b"order 7"[..]), Some(b"\xff\x00")] {
                let mut message = Outgoing::new(topic(), payload.to_vec());
                message.key = key.map(|key| key.to_vec().into());
                message.published_at = clock::from_millis(1_700_000_000_123);
                for name in ["ce-type", "content-type", "traceparent", "tenant", "x-other"] {
                    message.headers.insert(name, format!("value of {name}"));
                }
                let wire = Wire::new(&message).unwrap();
                let sent = delivered(&wire);
                let attributes = sent.message_attributes().unwrap();
                assert!(attributes.len() <= 10, "{attributes:?}");
                let came = arrival(&topic(), sent).unwrap();
                assert_eq!(
                    (came.handle.as_str(), came.group.as_deref()),
                    ("handle", Some("k"))
                );
                let came = came.message;
                assert_eq!(came.id, message.id);
                assert_eq!(came.key, message.key);
                assert_eq!(came.headers, message.headers);
                assert_eq!(came.payload, message.payload);
                assert_eq!(came.published_at, Some(message.published_at));
                assert_eq!(came.delivery_count, NonZeroU32::new(2));
            }
        }
    }

    #[test]
    fn text_travels_as_it_is() {
        let wire = Wire::new(&Outgoing::new(
            topic(),
            "{\"total\": 9.5, \"who\": \"\u{1f980}\"}",
        ))
        .unwrap();
        assert_eq!(wire.body, "{\"total\": 9.5, \"who\": \"\u{1f980}\"}");
    }

    #[test]
    fn a_copy_counts_the_deliveries_before_it() {
        let message = Outgoing::new(topic(), "x");
        let wire = Wire::with_count(&message, NonZeroU32::new(3)).unwrap();
        let came = arrival(&topic(), delivered(&wire)).unwrap().message;
        assert_eq!(came.delivery_count, NonZeroU32::new(5));
        assert!(came.headers.is_empty(), "{:?}", came.headers);
    }

    #[test]
    fn a_message_from_elsewhere_is_read() {
        let mut attributes = HashMap::new();
        attributes.insert("X-Tenant".to_owned(), attribute("acme"));
        attributes.insert("x-body".to_owned(), attribute("base64"));
        let binary = MessageAttributeValue::builder()
            .data_type("Binary")
            .binary_value(Blob::new(vec![0xff]));
        attributes.insert("blob".to_owned(), binary.build().unwrap());
        let message = || {
            Message::builder()
                .receipt_handle("handle")
                .message_id("7")
                .body("not base64!")
                .set_message_attributes(Some(attributes.clone()))
                .attributes(MessageSystemAttributeName::MessageGroupId, "theirs")
                .attributes(MessageSystemAttributeName::SentTimestamp, "1700000000123")
                .build()
        };
        let came = arrival(&topic(), message()).unwrap().message;
        assert_eq!(came.id, arrival(&topic(), message()).unwrap().message.id);
        assert_eq!(came.payload, "not base64!");
        assert_eq!(came.key.as_deref(), Some(&b"theirs"[..]));
        assert_eq!(came.headers.iter().collect::<Vec<_>>(), [("x-tenant", "acme")]);
        assert_eq!(came.published_at.map(clock::to_millis), Some(1_700_000_000_123));
        assert_eq!(came.delivery_count, None);
        assert!(arrival(&topic(), Message::builder().body("no handle").build()).is_none());
        let bare = arrival(&topic(), Message::builder().receipt_handle("h").build()).unwrap();
        assert!(bare.message.payload.is_empty() && bare.message.key.is_none());
    }

    #[test]
    fn limits_count_the_headers() {
        let of = |payload: Vec<u8>, headers: usize| {
            let mut message = Outgoing::new(topic(), payload);
            for i in 0..headers {
                message.headers.insert(format!("h{i}"), "v".repeat(1024));
            }
            Wire::new(&message)
        };
        assert!(of(vec![b'x'; PAYLOAD_LEN_MAX], 6).unwrap().len <= MESSAGE_LEN_MAX);
        for (payload, headers, limit) in [
            (vec![b'x'; PAYLOAD_LEN_MAX + 1], 0, PAYLOAD_LEN_MAX),
            (vec![b'x'; PAYLOAD_LEN_MAX], 9, MESSAGE_LEN_MAX),
            (vec![0; PAYLOAD_LEN_MAX], 0, MESSAGE_LEN_MAX),
        ] {
            let error = of(payload, headers).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PayloadTooLarge);
            assert!(error.to_string().contains(&limit.to_string()), "{error}");
        }
    }
}
