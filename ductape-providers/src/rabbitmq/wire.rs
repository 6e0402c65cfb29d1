//! A message as AMQP 0.9.1 carries it, and back.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::time::SystemTime;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use uuid::Uuid;

use crate::clock;
use crate::cloud_events::{self, Read, time_text};
use crate::headers::Headers;
use crate::message::{Incoming, MessageId, Outgoing, TopicName};

/// The prefix of attributes, <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/amqp-protocol-binding.md>;
/// [`PREFIX_COLON`] is the other that it allows.
const PREFIX: &str = "cloudEvents_";
const PREFIX_COLON: &str = "cloudEvents:";
/// That of another binding, which is read too,
/// <https://github.com/knative-extensions/eventing-rabbitmq/blob/main/cloudevents-protocol-spec/spec.md>.
const PREFIX_KNATIVE: &str = "ce-";
/// Our header whose place is the property of that name.
const CONTENT_TYPE: &str = "content-type";
/// How often a message was delivered before this copy of it was made.
const DELIVERIES: &str = "ductape-deliveries";
/// When a message that waits in several parts is due, in milliseconds since 1970.
const NOT_BEFORE: &str = "ductape-not-before";
/// The topic, where several have one routing key.
const TOPIC: &str = "ductape-topic";
/// Survives a restart of the server.
const PERSISTENT: u8 = 2;

/// What a message carries beside itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extra<'a> {
    /// How often it was delivered before.
    pub(super) deliveries: u32,
    /// When it is due, where this is not its last wait.
    pub(super) not_before: Option<SystemTime>,
    /// The topic, where several have one routing key.
    pub(super) topic: Option<&'a str>,
}

/// The properties and headers of a message.
pub(super) fn properties(message: &Outgoing, extra: &Extra<'_>) -> BasicProperties {
    let mut headers = FieldTable::default();
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_timestamp(clock::to_millis(message.published_at) / 1000);
    if let Ok(id) = ShortString::try_new(message.id.to_string()) {
        properties = properties.with_message_id(id);
    }
    let mut content_type = None;
    cloud_events::write(message, PREFIX, |name, value| {
        if name == CONTENT_TYPE
            && let Ok(short) = ShortString::try_new(&*value)
        {
            content_type = Some(short);
        } else {
            put(&mut headers, name, value.as_bytes());
        }
    });
    if let Some(content_type) = content_type {
        properties = properties.with_content_type(content_type);
    }
    if extra.deliveries > 0 {
        put(&mut headers, DELIVERIES, extra.deliveries.to_string().as_bytes());
    }
    if let Some(time) = extra.not_before {
        put(
            &mut headers,
            NOT_BEFORE,
            clock::to_millis(time).to_string().as_bytes(),
        );
    }
    if let Some(topic) = extra.topic {
        put(&mut headers, TOPIC, topic.as_bytes());
    }
    properties.with_headers(headers)
}

/// Names are short enough: [`Headers::check`] has seen them.
fn put<'a>(headers: &mut FieldTable, name: impl Into<Cow<'a, str>>, value: &[u8]) {
    if let Ok(name) = ShortString::try_new(name.into()) {
        headers.insert(name, AMQPValue::LongString(LongString::from(value)));
    }
}

/// A delivery, read.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) message: Incoming,
    /// When it is due, if that may be later.
    pub(super) not_before: Option<SystemTime>,
    /// The topic that it says it is of.
    pub(super) topic: Option<String>,
}

/// Reads a delivery. Whatever another producer sent is a message: what can't be kept of its headers is left out.
pub(super) fn read(delivery: Delivery, topic: &TopicName) -> Received {
    let mut read = Read::default();
    let (mut deliveries, mut not_before, mut of) = (0, None, None);
    let properties = &delivery.properties;
    for (name, value) in properties.headers().iter().flat_map(FieldTable::inner) {
        match name.as_str() {
            DELIVERIES => deliveries = number(value).unwrap_or_default(),
            NOT_BEFORE => not_before = number(value).map(clock::from_millis),
            TOPIC => of = text(value).map(Cow::into_owned),
            name if is_servers_own(name) => {}
            name => take(&mut read, name, value),
        }
    }
    if let Some(content_type) = properties.content_type()
        && read.headers.get(CONTENT_TYPE).is_none()
    {
        read.take(PREFIX, CONTENT_TYPE, content_type.as_str());
    }
    let sent = properties
        .timestamp()
        .map(|seconds| clock::from_millis(seconds.saturating_mul(1000)));
    let id = read
        .id
        .or_else(|| {
            properties
                .message_id()
                .as_ref()
                .map(|id| MessageId::from_text(id.as_str()))
        })
        .unwrap_or_else(|| derived(&delivery));
    // Not what the server counts (`x-delivery-count`): that has each time that a program ended and gave back what it had not
    // begun.
    let count = deliveries.saturating_add(1);
    let message = Incoming {
        topic: topic.clone(),
        id,
        key: read.key,
        headers: read.headers,
        payload: Bytes::from(delivery.data),
        published_at: read.published_at.or(sent),
        position: None,
        delivery_count: NonZeroU32::new(u32::try_from(count).unwrap_or(u32::MAX)),
    };
    Received {
        message,
        not_before,
        topic: of,
    }
}

/// Whether the server puts a header of this name on what it delivers: where the message died, how often it was given out.
fn is_servers_own(name: &str) -> bool {
    [
        "x-death",
        "x-delivery-count",
        "x-first-death-",
        "x-last-death-",
        "x-acquired-count",
        "x-opt-deaths",
    ]
    .iter()
    .any(|own| name.starts_with(own))
}

fn take(read: &mut Read, name: &str, value: &AMQPValue) {
    let prefixes = [PREFIX_COLON, PREFIX_KNATIVE];
    let prefix = prefixes
        .into_iter()
        .find(|prefix| name.starts_with(prefix))
        .unwrap_or(PREFIX);
    let millis = match value {
        AMQPValue::Timestamp(seconds) => Some(seconds.saturating_mul(1000)),
        // A timestamp of AMQP 1.0, which has no type of its own here.
        AMQPValue::LongLongInt(millis) => u64::try_from(*millis).ok(),
        _ => None,
    };
    let text = match millis {
        Some(millis) if name.strip_prefix(prefix) == Some("time") => {
            Some(time_text(clock::from_millis(millis)).into())
        }
        _ => text(value),
    };
    let Some(text) = text else {
        tracing::debug!(name = ?name, "a header of another producer has a type that can't be kept");
        return;
    };
    if text.len() > Headers::VALUE_LEN_MAX && !name.starts_with(prefix) {
        tracing::debug!(name = ?name, "a header of another producer is too long to be kept");
        return;
    }
    read.take(prefix, name, &text);
}

/// The value as text; `None` for what has no plain text.
fn text(value: &AMQPValue) -> Option<Cow<'_, str>> {
    Some(match value {
        AMQPValue::LongString(text) => Cow::Borrowed(std::str::from_utf8(text.as_bytes()).ok()?),
        AMQPValue::ByteArray(bytes) => Cow::Borrowed(std::str::from_utf8(bytes.as_slice()).ok()?),
        AMQPValue::ShortString(text) => Cow::Borrowed(text.as_str()),
        AMQPValue::Boolean(value) => value.to_string().into(),
        AMQPValue::ShortShortInt(number) => number.to_string().into(),
        AMQPValue::ShortShortUInt(number) => number.to_string().into(),
        AMQPValue::ShortInt(number) => number.to_string().into(),
        AMQPValue::ShortUInt(number) => number.to_string().into(),
        AMQPValue::LongInt(number) => number.to_string().into(),
        AMQPValue::LongUInt(number) => number.to_string().into(),
        AMQPValue::LongLongInt(number) => number.to_string().into(),
        AMQPValue::Timestamp(number) => number.to_string().into(),
        AMQPValue::Float(number) => number.to_string().into(),
        AMQPValue::Double(number) => number.to_string().into(),
        AMQPValue::DecimalValue(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::Void => return None,
    })
}

fn number(value: &AMQPValue) -> Option<u64> {
    text(value)?.parse().ok()
}

/// The id of a message that brought none: the same for the same body, time and content type, at each delivery.
fn derived(delivery: &Delivery) -> MessageId {
    let properties = &delivery.properties;
    let scope = format!(
        "rabbitmq {:?} {:?}",
        properties.timestamp(),
        properties.content_type()
    );
    let scope = Uuid::new_v5(&Uuid::NAMESPACE_OID, scope.as_bytes());
    MessageId::from(Uuid::new_v5(&scope, &delivery.data))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use lapin::BasicProperties;
    use lapin::message::Delivery;
    use lapin::types::{AMQPValue, DecimalValue, FieldTable};

    use super::{Extra, Received, properties, read};
    use crate::clock;
    use crate::message::{MessageId, Outgoing, TopicName};

    fn topic() -> TopicName {
        TopicName::new("orders:created".parse().unwrap(), NonZeroU32::MIN)
    }

    fn delivered(properties: BasicProperties, data: &[u8]) -> Received {
        let mut delivery = Delivery::mock(1, "e".into(), "k".into(), false, data.to_vec());
        delivery.properties = properties;
        read(delivery, &topic())
    }

    fn foreign(headers: &[(&str, AMQPValue)]) -> BasicProperties {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), value.clone());
        }
        BasicProperties::default().with_headers(table)
    }

    #[test]
    fn a_message_comes_back_as_it_was() {
        let mut message = Outgoing::new(topic(), "{}").with_key(vec![0xff, 0]);
        message.published_at = clock::from_millis(1_700_000_000_123);
        message.headers.insert("content-type", "application/json");
        message.headers.insert("ce-type", "orders:created");
        message.headers.insert("tenant", "");
        let extra = Extra {
            deliveries: 2,
            not_before: Some(message.published_at + Duration::from_secs(5)),
            topic: Some("orders.created"),
        };
        let sent = properties(&message, &extra);
        assert_eq!(sent.delivery_mode(), &Some(2));
        assert_eq!(sent.content_type().as_ref().unwrap().as_str(), "application/json");
        assert_eq!(
            sent.message_id().as_ref().unwrap().as_str(),
            message.id.to_string()
        );
        let table = sent.headers().as_ref().unwrap();
        assert!(table.contains_key("cloudEvents_type") && !table.contains_key("content-type"));
        let came = delivered(sent, b"{}");
        assert_eq!(came.message.id, message.id);
        assert_eq!(came.message.key, message.key);
        assert_eq!(came.message.headers, message.headers);
        assert_eq!(came.message.published_at, Some(message.published_at));
        assert_eq!(came.message.delivery_count, NonZeroU32::new(3));
        assert_eq!(came.not_before, extra.not_before);
        assert_eq!(came.topic.as_deref(), Some("orders.created"));
    }

    #[test]
    fn headers_of_other_types_are_kept_as_text_where_they_have_one() {
        let came = delivered(
            foreign(&[
                ("cloudEvents:id", AMQPValue::LongString("7".into())),
                ("cloudEvents:time", AMQPValue::Timestamp(1_700_000_000)),
                ("n", AMQPValue::LongInt(-7)),
                ("b", AMQPValue::Boolean(true)),
                ("d", AMQPValue::Double(0.5)),
                ("Upper", AMQPValue::ShortString("x".into())),
                ("raw", AMQPValue::LongString(vec![0xff].into())),
                ("void", AMQPValue::Void),
                ("table", AMQPValue::FieldTable(FieldTable::default())),
                (
                    "decimal",
                    AMQPValue::DecimalValue(DecimalValue { scale: 1, value: 2 }),
                ),
                ("x-death", AMQPValue::LongString("servers own".into())),
                (
                    "x-first-death-reason",
                    AMQPValue::LongString("servers own".into()),
                ),
                ("x-delivery-count", AMQPValue::LongLongInt(4)),
                ("ductape-deliveries", AMQPValue::LongString("not a number".into())),
            ]),
            b"\xff",
        );
        let mut headers: Vec<_> = came.message.headers.iter().collect();
        headers.sort_unstable();
        assert_eq!(
            headers,
            [("b", "true"), ("d", "0.5"), ("n", "-7"), ("upper", "x")]
        );
        assert_eq!(came.message.id, MessageId::from_text("7"));
        assert_eq!(
            came.message.published_at,
            Some(clock::from_millis(1_700_000_000_000))
        );
        assert_eq!(came.message.delivery_count, NonZeroU32::new(1));
    }

    #[test]
    fn attributes_of_each_binding_are_read() {
        let text = |text: &str| AMQPValue::LongString(text.into());
        let millis = AMQPValue::LongLongInt(1_700_000_000_123);
        for (prefix, time) in [
            ("cloudEvents_", millis.clone()),
            ("cloudEvents:", millis),
            ("ce-", text("2023-11-14T22:13:20.123Z")),
        ] {
            let names = ["id", "subject", "type", "time"].map(|name| format!("{prefix}{name}"));
            let values = [text("7"), text("order 7"), text("a:b"), time];
            let headers: Vec<_> = names.iter().map(String::as_str).zip(values).collect();
            let came = delivered(foreign(&headers), b"{}").message;
            assert_eq!(came.id, MessageId::from_text("7"), "{prefix}");
            assert_eq!(came.key.as_deref(), Some(&b"order 7"[..]), "{prefix}");
            assert_eq!(
                came.published_at,
                Some(clock::from_millis(1_700_000_000_123)),
                "{prefix}"
            );
            assert_eq!(came.headers.iter().collect::<Vec<_>>(), [("ce-type", "a:b")]);
        }
    }

    #[test]
    fn a_message_without_anything_has_an_id_that_stays() {
        let bare = || delivered(BasicProperties::default(), b"hello").message;
        assert_eq!(bare().id, bare().id);
        assert_eq!((bare().key, bare().published_at), (None, None));
        assert_eq!(bare().delivery_count, NonZeroU32::new(1));
        assert_ne!(
            bare().id,
            delivered(BasicProperties::default(), b"other").message.id
        );
        let later = delivered(BasicProperties::default().with_timestamp(5), b"hello").message;
        assert_ne!(bare().id, later.id);
        let named = delivered(BasicProperties::default().with_message_id("m-1".into()), b"hello");
        assert_eq!(named.message.id, MessageId::from_text("m-1"));
    }
}
