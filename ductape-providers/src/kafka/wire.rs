//! Kafka's records ⇄ our messages.
//!
//! `CloudEvents` in binary mode: the attributes are headers that begin with `ce_`
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md>). The key is the
//! record's key, and for other consumers the attribute `subject` where it is text.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use rdkafka::Message as _;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Header as KafkaHeader, Headers as _, OwnedHeaders};

use super::topology::Topic;
use crate::clock;
use crate::cloud_events;
use crate::headers::{Header, Headers};
use crate::message::{Incoming, MessageId, Outgoing, Position, TopicName};

const PREFIX: &str = "ce_";
const OWN_PREFIX: &str = "ce-";
/// When a message to one group is due, in milliseconds since 1970.
const NOT_BEFORE: &str = "ductape-not-before";

/// What is put before a header of the program whose name an attribute of the transport has.
const ESCAPE: &str = "ductape-own-";

/// Small payloads and keys are copied into one block after the other, so that they cost no allocation each.
const BLOCK_BYTES: usize = 16 * 1024;
const SMALL_BYTES_MAX: usize = 4 * 1024;

/// The place of an offset in the log of a topic: larger is later within a partition. `None` beyond 65,535 partitions or
/// 2^48 messages.
pub(super) fn position(partition: i32, offset: i64) -> Option<Position> {
    let partition = u64::from(u16::try_from(partition).ok()?);
    let offset = u64::try_from(offset).ok().filter(|offset| *offset < 1 << 48)?;
    Some(Position(partition << 48 | offset))
}

/// The partition and the offset that a position stands for.
pub(super) fn place(position: Position) -> (i32, i64) {
    let partition = i32::try_from(position.0 >> 48).unwrap_or(i32::MAX);
    let offset = i64::try_from(position.0 & ((1 << 48) - 1)).unwrap_or(i64::MAX);
    (partition, offset)
}

/// Writes the headers of messages, one after the other.
#[derive(Debug, Default)]
pub(super) struct Writer {
    text: String,
}

impl Writer {
    /// The headers of `message`. On a topic that others share, its event is among them in any case.
    pub(super) fn headers(&mut self, message: &Outgoing, topic: &Topic) -> OwnedHeaders {
        let mut all = OwnedHeaders::new_with_capacity(10);
        let id = message.id.as_uuid();
        all = match id {
            Some(id) => add(all, "ce_id", id.hyphenated().encode_lower(&mut [0; 36])),
            None => add(all, "ce_id", self.write(&message.id)),
        };
        all = add(all, "ce_time", self.time(message.published_at));
        if let Some(Ok(subject)) = message.key.as_deref().map(std::str::from_utf8)
            && !subject.chars().any(char::is_control)
        {
            all = add(all, "ce_subject", subject);
        }
        let (mut has_type, mut has_schema) = (false, false);
        for (name, value) in message.headers.iter() {
            all = match name.strip_prefix(OWN_PREFIX) {
                _ if is_taken(name) => {
                    self.text.clear();
                    self.text.push_str(ESCAPE);
                    self.text.push_str(name);
                    add(all, &self.text, value)
                }
                Some(attribute) => {
                    has_type |= attribute == "type";
                    has_schema |= attribute == "dataschema";
                    self.text.clear();
                    self.text.push_str(PREFIX);
                    self.text.push_str(attribute);
                    add(all, &self.text, value)
                }
                None => add(all, name, value),
            };
        }
        if topic.shared {
            let name = &message.topic;
            if !has_type {
                all = add(all, "ce_type", name.event().as_str());
            }
            if !has_schema && name.version().get() > 1 {
                all = add(all, "ce_dataschema", &schema(name));
            }
        }
        if let Some(due) = message.not_before {
            // Rounded up, so that it is never early.
            let millis = due
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_nanos()
                .div_ceil(1_000_000);
            all = add(all, NOT_BEFORE, self.write(&millis));
        }
        all
    }

    fn write(&mut self, value: &impl std::fmt::Display) -> &str {
        self.text.clear();
        let _ = write!(self.text, "{value}");
        &self.text
    }

    /// RFC 3339, as everywhere; years beyond 9999 can't be written.
    fn time(&mut self, time: SystemTime) -> &str {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        // Days since 0000-03-01, by Howard Hinnant's algorithm (https://howardhinnant.github.io/date_algorithms.html).
        let days = days + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, year) = if month < 10 {
            (month + 3, year)
        } else {
            (month - 9, year + 1)
        };
        let year = year + era * 400;
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        let nanos = since.subsec_nanos();
        self.text.clear();
        let _ = write!(
            self.text,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z"
        );
        &self.text
    }
}

/// Whether a header of this name would be read as something else.
fn is_taken(name: &str) -> bool {
    name.starts_with(PREFIX) || name.starts_with(ESCAPE) || matches!(name, "ce-id" | "ce-time" | "ce-subject")
}

fn add(headers: OwnedHeaders, key: &str, value: &str) -> OwnedHeaders {
    headers.insert(KafkaHeader {
        key,
        value: Some(value),
    })
}

/// What the contract of a topic is called in the attribute `dataschema`.
fn schema(topic: &TopicName) -> String {
    format!("{}/v{}", topic.event(), topic.version())
}

/// Reads records, one after the other.
#[derive(Debug)]
pub(super) struct Reader {
    topic: TopicName,
    schema: String,
    shared: bool,
    block: BytesMut,
    /// The headers that the last messages had in common, as they were written and as ours.
    common: Vec<(Box<str>, Box<[u8]>)>,
    headers: Headers,
}

/// A record, read.
#[derive(Debug)]
pub(super) struct Read {
    /// `None` when it is another topic's.
    pub(super) message: Option<Incoming>,
    pub(super) due: Option<SystemTime>,
}

/// What the headers of a record say.
#[derive(Default)]
struct Attributes {
    id: Option<MessageId>,
    time: Option<SystemTime>,
    subject: Option<String>,
    due: Option<SystemTime>,
    headers: Headers,
}

impl Reader {
    pub(super) fn new(topic: &Topic) -> Self {
        Self {
            schema: schema(&topic.name),
            topic: topic.name.clone(),
            shared: topic.shared,
            block: BytesMut::new(),
            common: Vec::new(),
            headers: Headers::new(),
        }
    }

    /// Reads a record; `in_log` says that it stands in the topic's own log.
    pub(super) fn read(&mut self, record: &BorrowedMessage<'_>, in_log: bool) -> Read {
        let mut attributes = record
            .headers()
            .map_or_else(Attributes::default, |headers| self.attributes(headers));
        if self.shared && in_log && !self.is_ours(&attributes.headers) {
            return Read {
                message: None,
                due: None,
            };
        }
        let key = record.key().map(|key| self.copy(key));
        if let Some(subject) = attributes.subject.take()
            && key.as_deref() != Some(subject.as_bytes())
        {
            attributes.headers.insert("ce-subject", subject);
        }
        let at = record
            .timestamp()
            .to_millis()
            .and_then(|millis| u64::try_from(millis).ok());
        let id = attributes.id.unwrap_or_else(|| {
            let name = format!("{}/{}", record.partition(), record.offset());
            MessageId::derived(&format!("kafka:{}", record.topic()), &name)
        });
        let message = Incoming {
            topic: self.topic.clone(),
            id,
            key,
            headers: attributes.headers,
            payload: record
                .payload()
                .map_or_else(Bytes::new, |payload| self.copy(payload)),
            published_at: attributes.time.or_else(|| at.map(clock::from_millis)),
            position: position(record.partition(), record.offset()).filter(|_| in_log),
            delivery_count: None,
        };
        Read {
            message: Some(message),
            due: attributes.due,
        }
    }

    fn is_ours(&self, headers: &Headers) -> bool {
        headers.get("ce-type") == Some(self.topic.event().as_str())
            && match headers.get("ce-dataschema") {
                Some(schema) => schema == self.schema,
                None => self.topic.version().get() == 1,
            }
    }

    fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        if bytes.len() > SMALL_BYTES_MAX {
            return Bytes::copy_from_slice(bytes);
        }
        if self.block.capacity() < bytes.len() {
            self.block = BytesMut::with_capacity(BLOCK_BYTES);
        }
        self.block.extend_from_slice(bytes);
        self.block.split().freeze()
    }

    fn attributes(&mut self, headers: &BorrowedHeaders) -> Attributes {
        let mut attributes = Attributes::default();
        let mut rest: Vec<KafkaHeader<'_, &[u8]>> = Vec::with_capacity(headers.count());
        // The client panics at a header whose name is not UTF-8.
        let read = catch_unwind(AssertUnwindSafe(|| {
            let all = (0..headers.count()).filter_map(|at| headers.try_get(at));
            rest.extend(all.filter(|header| !special(header, &mut attributes)));
        }));
        if read.is_err() {
            attributes = Attributes::default();
            let each = (0..headers.count()).map(|at| catch_unwind(AssertUnwindSafe(|| headers.try_get(at))));
            rest.clear();
            rest.extend(each.filter_map(Result::ok).flatten());
            rest.retain(|header| !special(header, &mut attributes));
        }
        attributes.headers = self.headers_of(&rest);
        attributes
    }

    /// Our headers: those that the last messages had too are shared with them.
    fn headers_of(&mut self, rest: &[KafkaHeader<'_, &[u8]>]) -> Headers {
        let same = |(name, value): &(Box<str>, Box<[u8]>), header: &KafkaHeader<'_, &[u8]>| {
            **name == *header.key && header.value.unwrap_or_default() == &**value
        };
        let both = self.common.iter().zip(rest);
        let mut matching = both.take_while(|(common, header)| same(common, header)).count();
        if matching < self.common.len() || self.common.is_empty() {
            if matching == 0 {
                let copied = |header: &KafkaHeader<'_, &[u8]>| {
                    (header.key.into(), header.value.unwrap_or_default().into())
                };
                self.common = rest.iter().map(copied).collect();
                matching = rest.len();
            } else {
                self.common.truncate(matching);
            }
            let mut headers = Headers::new();
            for (name, value) in &self.common {
                keep(&mut headers, name, Some(value));
            }
            let all: Vec<Header> = headers
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect();
            self.headers = if all.is_empty() {
                headers
            } else {
                Headers::shared(all.into())
            };
        }
        let mut headers = self.headers.clone();
        for header in &rest[matching..] {
            keep(&mut headers, header.key, header.value);
        }
        headers
    }
}

/// Takes a header that is a field of a message; `false` for all others.
fn special(header: &KafkaHeader<'_, &[u8]>, attributes: &mut Attributes) -> bool {
    let text = || header.value.and_then(|value| std::str::from_utf8(value).ok());
    match header.key {
        "ce_id" => attributes.id = text().map(MessageId::from_text),
        "ce_time" => attributes.time = text().and_then(cloud_events::time_of),
        "ce_subject" => attributes.subject = text().map(str::to_owned),
        NOT_BEFORE => {
            let millis = text().and_then(|text| text.parse().ok());
            attributes.due = millis.and_then(|millis| UNIX_EPOCH.checked_add(Duration::from_millis(millis)));
        }
        _ => return false,
    }
    true
}

/// Keeps another header where it can be: what is not text, or has a name that a message can't carry, is left out.
fn keep(headers: &mut Headers, name: &str, value: Option<&[u8]>) {
    let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    let mut name = match (name.strip_prefix(ESCAPE), name.strip_prefix(PREFIX)) {
        (Some(own), _) => own.to_owned(),
        (None, Some(attribute)) => format!("{OWN_PREFIX}{attribute}"),
        (None, None) => name.to_owned(),
    };
    name.make_ascii_lowercase();
    let good = !name.is_empty() && name.len() <= Headers::NAME_LEN_MAX && name.bytes().all(allowed);
    match std::str::from_utf8(value.unwrap_or_default()) {
        Ok(value) if good => headers.insert(ByteString::from(name), ByteString::from(value)),
        _ => tracing::debug!(?name, "a header of another producer can't be kept"),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::{Duration, UNIX_EPOCH};

    use rdkafka::message::{Header as KafkaHeader, Headers as _, OwnedHeaders};

    use super::{Reader, Writer, place, position};
    use crate::clock;
    use crate::cloud_events::time_text;
    use crate::headers::Headers;
    use crate::kafka::topology::Topology;
    use crate::message::{Outgoing, Position, TopicName};

    fn topic(version: u32) -> TopicName {
        TopicName::new("a:b".parse().unwrap(), NonZeroU32::new(version).unwrap())
    }

    fn config(shared: bool) -> crate::config::KafkaConfig {
        let mut shape = serde_json::json!({"type": "KAFKA", "brokers": ["a:1"], "clientId": "c"});
        if shared {
            shape["topic"] = "all".into();
        }
        match crate::config::ProviderConfig::from_value(&shape).unwrap() {
            crate::config::ProviderConfig::Kafka(config) => config,
            other => panic!("{other:?}"),
        }
    }

    fn reader(shared: bool, version: u32) -> Reader {
        Reader::new(&Topology::default().topic(&config(shared), &topic(version)))
    }

    fn written(message: &Outgoing, shared: bool) -> OwnedHeaders {
        let topic = Topology::default().topic(&config(shared), &message.topic);
        Writer::default().headers(message, &topic)
    }

    #[test]
    fn what_is_written_is_read() {
        let mut reader = reader(false, 1);
        for round in 0..3 {
            let mut message = Outgoing::new(topic(1), "{}").with_key("k");
            message.headers.insert("ce-type", "a:b");
            message.headers.insert("content-type", "application/json");
            message.headers.insert("ce_id", "a header of that name");
            message.headers.insert("traceparent", round.to_string());
            message.not_before = UNIX_EPOCH.checked_add(Duration::from_millis(1_700_000_000_123));
            let wire = written(&message, false);
            let names: Vec<String> = wire.iter().map(|header| header.key.to_owned()).collect();
            assert!(names.contains(&"ce_type".to_owned()), "{names:?}");
            let read = reader.attributes(wire.as_borrowed());
            assert_eq!(read.id, Some(message.id));
            assert_eq!(read.time, Some(message.published_at));
            assert_eq!(read.due, message.not_before);
            assert_eq!(read.subject.as_deref(), Some("k"));
            assert_eq!(read.headers, message.headers, "round {round}");
        }
        assert!(reader.common.len() >= 2, "{:?}", reader.common);
    }

    #[test]
    fn anothers_headers_are_kept_where_they_can_be() {
        let header = |key, value: Option<&'static [u8]>| KafkaHeader { key, value };
        let wire = OwnedHeaders::new()
            .insert(header("X-Tenant", Some(b"acme")))
            .insert(header("sp ace", Some(b"lost")))
            .insert(header("bytes", Some(b"\xff\xfe")))
            .insert(header("none", None))
            .insert(header("twice", Some(b"1")))
            .insert(header("twice", Some(b"2")))
            .insert(header("ce_id", Some(b"\xff")))
            .insert(header("ce_time", Some(b"yesterday")));
        let mut reader = reader(false, 1);
        for _ in 0..2 {
            let read = reader.attributes(wire.as_borrowed());
            let headers: Vec<_> = read.headers.iter().collect();
            assert_eq!(headers, [("x-tenant", "acme"), ("none", ""), ("twice", "2")]);
            assert!(read.id.is_none() && read.time.is_none());
        }
    }

    #[test]
    fn on_a_shared_topic_each_event_is_told_apart() {
        for version in [1, 2] {
            let wire = written(&Outgoing::new(topic(version), "{}"), true);
            for reads in [1, 2] {
                let mut reader = reader(true, reads);
                let read = reader.attributes(wire.as_borrowed());
                assert_eq!(reader.is_ours(&read.headers), version == reads);
            }
        }
        assert!(!reader(true, 1).is_ours(&Headers::new()));
    }

    #[test]
    fn times_are_written_as_everywhere() {
        let mut writer = Writer::default();
        for millis in [
            0,
            951_782_400_000,
            951_868_799_999,
            1_709_164_800_000,
            1_700_000_000_123,
            4_102_444_799_999,
        ] {
            let time = clock::from_millis(millis);
            assert_eq!(
                crate::cloud_events::time_of(writer.time(time)),
                Some(time),
                "{}",
                time_text(time)
            );
        }
        let now = clock::wall();
        assert_eq!(crate::cloud_events::time_of(writer.time(now)), Some(now));
    }

    #[test]
    fn a_position_is_a_partition_and_an_offset() {
        assert_eq!(position(3, 77).map(place), Some((3, 77)));
        assert_eq!(position(0, 5), Some(Position(5)));
        assert!(position(3, 77) < position(3, 78));
        assert_eq!(position(65_536, 0), None);
        assert_eq!(position(0, 1 << 48), None);
    }
}
