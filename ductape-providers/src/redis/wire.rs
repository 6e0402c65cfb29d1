//! A stream's entry ⇄ a message.
//!
//! The payload is the field `data`, the attributes of `CloudEvents` are fields that begin with `ce-`, every other header is
//! a field of its own name. Names with a `:` are this provider's: no header can have one.

use std::fmt;
use std::io::Write as _;
use std::num::NonZeroU32;
use std::str::FromStr;

use bytes::Bytes;
use bytestring::ByteString;
use redis::{Cmd, RedisWrite as _, Value};

use super::faststream;
use super::packed::{self, Reference, Shared};
use crate::clock;
use crate::cloud_events::{time_of, time_text};
use crate::headers::Headers;
use crate::message::{Incoming, MessageId, Outgoing, Position, TopicName};

const DATA: &str = "data";
const ID: &str = "ce-id";
const TIME: &str = "ce-time";
const SUBJECT: &str = "ce-subject";
/// A key that is not text: an attribute must be.
const KEY: &str = "ductape:key";
/// A header whose name another field has.
const ESCAPE: &str = "header:";
/// How often a message was delivered before it was written again.
pub(super) const COUNT: &str = "ductape:count";
/// Where a message that was written again stood first.
pub(super) const ENTRY: &str = "ductape:entry";

/// Names that most messages have: they cost no memory of their own.
const USUAL: [&str; 10] = [
    "ce-type",
    "ce-source",
    "content-type",
    "ce-specversion",
    "ce-dataschema",
    "traceparent",
    "ce-correlationid",
    "ce-causationid",
    "ductape-attempt",
    "ductape-first-failed-at",
];

/// Where an entry stands in a stream: the server's milliseconds, and a number within them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EntryId {
    pub(super) ms: u64,
    pub(super) seq: u64,
}

impl EntryId {
    /// The bits of a position that number entries within a millisecond. What is left suffices for times until the year 2527.
    const SEQ_BITS: u32 = 20;

    /// One number that keeps the order. Beyond a million entries in one millisecond they share the last.
    pub(super) fn position(self) -> Position {
        let ms = self.ms.min(u64::MAX >> Self::SEQ_BITS);
        Position(ms << Self::SEQ_BITS | self.seq.min((1 << Self::SEQ_BITS) - 1))
    }

    pub(super) fn of_position(position: Position) -> Self {
        Self {
            ms: position.0 >> Self::SEQ_BITS,
            seq: position.0 & ((1 << Self::SEQ_BITS) - 1),
        }
    }

    /// The last one that can stand before it.
    pub(super) fn before(self) -> Self {
        match (self.ms, self.seq) {
            (0, 0) => self,
            (ms, 0) => Self {
                ms: ms - 1,
                seq: u64::MAX,
            },
            (ms, seq) => Self { ms, seq: seq - 1 },
        }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        std::str::from_utf8(bytes).ok()?.parse().ok()
    }

    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::BulkString(bytes) => Self::read(bytes),
            Value::SimpleString(text) => text.parse().ok(),
            _ => None,
        }
    }
}

impl FromStr for EntryId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (ms, seq) = text.split_once('-').ok_or(())?;
        let number = |text: &str| text.parse().map_err(|_| ());
        Ok(Self {
            ms: number(ms)?,
            seq: number(seq)?,
        })
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// Writes the fields of `message` as arguments of `command`: two, where the headers are packed.
pub(super) fn write_packed(
    command: &mut Cmd,
    message: &Outgoing,
    shared: Option<Reference>,
    room: &mut Vec<u8>,
) {
    room.clear();
    packed::write(message, shared, room);
    command
        .arg(DATA)
        .arg(&*message.payload)
        .arg(packed::FIELD)
        .arg(&**room);
}

/// Writes the fields of `message` as arguments of `command`.
pub(super) fn write(command: &mut Cmd, message: &Outgoing) {
    command.arg(DATA).arg(&*message.payload).arg(ID);
    if let Some(uuid) = message.id.as_uuid() {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        command.arg(uuid.hyphenated().encode_lower(&mut text).as_bytes());
    } else {
        let _ = write!(command.writer_for_next_arg(), "{}", message.id);
    }
    command.arg(TIME).arg(time_text(message.published_at));
    if let Some(key) = &message.key {
        let is_text = std::str::from_utf8(key).is_ok_and(|text| !text.chars().any(char::is_control));
        command.arg(if is_text { SUBJECT } else { KEY }).arg(&**key);
    }
    for (name, value) in message.headers.iter() {
        match name {
            DATA | ID | TIME | SUBJECT => command.arg(format!("{ESCAPE}{name}")),
            _ => command.arg(name),
        };
        command.arg(value);
    }
}

/// What stands for the shared headers of an entry.
pub(super) fn reference(fields: &Value) -> Option<Reference> {
    let Value::Array(fields) = fields else { return None };
    fields.chunks_exact(2).find_map(|pair| match pair {
        [Value::BulkString(name), Value::BulkString(value)] if name == packed::FIELD.as_bytes() => {
            packed::reference(value)
        }
        _ => None,
    })
}

/// How many bytes and arguments a message has, about.
pub(super) fn size(message: &Outgoing) -> (usize, usize) {
    const OWN_BYTES: usize = 128;
    let (shared, own) = message.headers.parts();
    let shared = shared.map_or(&[][..], |shared| shared);
    let headers = shared
        .iter()
        .chain(own)
        .map(|(name, value)| name.len() + value.len() + 2);
    let key = message.key.as_ref().map_or(0, Bytes::len);
    let arguments = 16 + 2 * (shared.len() + own.len());
    (
        message.payload.len() + key + OWN_BYTES + headers.sum::<usize>(),
        arguments,
    )
}

/// A message as an entry holds it.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) message: Incoming,
    /// How often it was delivered before this entry was written.
    pub(super) earlier: u32,
}

/// Reads the entry at `id`. Whatever is in it, a message comes of it: of another producer's entry
/// without `data`, its only field, or all of them as a JSON object.
pub(super) fn read(topic: &TopicName, id: EntryId, fields: Vec<Value>, shared: &Shared) -> Read {
    let mut payload: Option<Bytes> = None;
    let mut message_id = None;
    let mut key = None;
    let mut published_at = None;
    let mut earlier = 0;
    let mut stands = id;
    let mut headers = Headers::new();
    let mut foreign: Vec<(Vec<u8>, Bytes)> = Vec::new();
    let is_ours = fields
        .chunks_exact(2)
        .any(|pair| matches!(&pair[0], Value::BulkString(name) if name == DATA.as_bytes()));
    let mut fields = fields.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        let (Some(name), Some(value)) = (into_bytes(name), into_bytes(value)) else {
            continue;
        };
        match std::str::from_utf8(&name) {
            Ok(DATA) => payload = Some(value.into()),
            Ok(packed::FIELD) => {
                if let Some(packed) = packed::read(&value) {
                    message_id = Some(packed.id);
                    published_at = Some(packed.published_at);
                    key = packed.key.or(key);
                    if let Some(common) = packed.shared.and_then(|reference| shared.known(reference)) {
                        headers = Headers::shared(common);
                    }
                    for (name, value) in packed.own {
                        headers.insert(name, value);
                    }
                }
            }
            Ok(ID) => message_id = Some(MessageId::from_text(&String::from_utf8_lossy(&value))),
            Ok(TIME) => published_at = std::str::from_utf8(&value).ok().and_then(time_of),
            Ok(SUBJECT | KEY) => key = Some(Bytes::from(value)),
            Ok(COUNT) => {
                earlier = std::str::from_utf8(&value)
                    .ok()
                    .and_then(|n| n.parse().ok())
                    .unwrap_or(0);
            }
            Ok(ENTRY) => stands = EntryId::read(&value).unwrap_or(id),
            // Without `data` it may be the payload, which need not be text.
            other => match other.ok().filter(|_| is_ours).and_then(header_name) {
                Some(name) => headers.insert(name, into_text(value)),
                None => foreign.push((name, value.into())),
            },
        }
    }
    if let [(name, value)] = &*foreign
        && name == faststream::FIELD
        && let Some((theirs, inner)) = faststream::read(value)
    {
        (payload, headers) = (Some(inner), theirs.headers);
        message_id = message_id.or(theirs.id);
        key = key.or(theirs.key);
        published_at = published_at.or(theirs.published_at);
    }
    let payload = payload.unwrap_or_else(|| foreign_payload(&foreign));
    if is_ours && !foreign.is_empty() {
        tracing::debug!(%topic, entry = %id, "an entry has fields whose names no header can have");
    }
    let message_id =
        message_id.unwrap_or_else(|| MessageId::derived(&topic.to_string(), &stands.to_string()));
    Read {
        message: Incoming {
            topic: topic.clone(),
            id: message_id,
            key,
            headers,
            payload,
            published_at: published_at.or_else(|| Some(clock::from_millis(stands.ms))),
            position: Some(stands.position()),
            delivery_count: None,
        },
        earlier,
    }
}

/// The payload of an entry that has no `data`.
fn foreign_payload(foreign: &[(Vec<u8>, Bytes)]) -> Bytes {
    if let [(_, only)] = foreign {
        return only.clone();
    }
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let object: serde_json::Map<String, serde_json::Value> = foreign
        .iter()
        .map(|(name, value)| (lossy(name), lossy(value).into()))
        .collect();
    serde_json::Value::Object(object).to_string().into()
}

/// The header that a field stands for; `None` when no header can have the name.
fn header_name(name: &str) -> Option<ByteString> {
    if let Some(usual) = USUAL.iter().find(|usual| **usual == name) {
        return Some(ByteString::from_static(usual));
    }
    let name = name.strip_prefix(ESCAPE).unwrap_or(name);
    let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    let good = |name: &str| (1..=Headers::NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(allowed);
    if good(name) {
        return Some(name.into());
    }
    let lower = name.to_ascii_lowercase();
    good(&lower).then(|| lower.into())
}

fn into_text(value: Vec<u8>) -> ByteString {
    match String::from_utf8(value) {
        Ok(text) => text.into(),
        Err(other) => String::from_utf8_lossy(other.as_bytes()).into_owned().into(),
    }
}

fn into_bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        Value::Int(number) => Some(number.to_string().into_bytes()),
        _ => None,
    }
}

/// The elements of a list; nothing of anything else.
pub(super) fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        _ => Vec::new(),
    }
}

/// The text of an answer.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        Value::Okay => Some("OK".to_owned()),
        _ => None,
    }
}

/// The number of an answer.
pub(super) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        other => text(other)?.parse().ok(),
    }
}

/// Names and values that come in turn, as text; what is not text is left out.
pub(super) fn pairs(value: &Value) -> Vec<(String, String)> {
    let of = |name: &Value, value: &Value| Some((text(name)?, text(value)?));
    match value {
        Value::Array(values) => values
            .chunks_exact(2)
            .filter_map(|pair| of(&pair[0], &pair[1]))
            .collect(),
        Value::Map(entries) => entries
            .iter()
            .filter_map(|(name, value)| of(name, value))
            .collect(),
        _ => Vec::new(),
    }
}

/// A count of deliveries that is at least one.
pub(super) fn counted(count: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(count.max(1))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use redis::{Arg, Cmd, Value};

    use super::super::packed::Shared;
    use super::{EntryId, Read, read, write, write_packed};
    use crate::message::{MessageId, Outgoing, Position, TopicName};

    const ID: EntryId = EntryId {
        ms: 1_700_000_000_123,
        seq: 4,
    };

    fn topic() -> TopicName {
        TopicName::new("a:b".parse().unwrap(), NonZeroU32::MIN)
    }

    fn shared() -> Shared {
        Shared::new("{a.b}:headers".to_owned())
    }

    fn fields(of: &[(&str, &[u8])]) -> Vec<Value> {
        of.iter()
            .flat_map(|(name, value)| [name.as_bytes(), value])
            .map(|bytes| Value::BulkString(bytes.to_vec()))
            .collect()
    }

    fn through(message: &Outgoing) -> Read {
        let mut command = Cmd::new();
        write(&mut command, message);
        let written = command.args_iter().filter_map(|arg| match arg {
            Arg::Simple(bytes) => Some(Value::BulkString(bytes.to_vec())),
            _ => None,
        });
        read(&topic(), ID, written.collect(), &shared())
    }

    #[test]
    fn what_is_written_is_read() {
        for key in [
            None,
            Some(&b"k-1"[..]),
            Some(b""),
            Some(b"\xff\x00"),
            Some(b"line\nline"),
        ] {
            let mut message = Outgoing::new(topic(), vec![0, 255, b'{']);
            message.key = key.map(bytes::Bytes::from_static);
            for name in ["data", "ce-type", "x", "ce-id", "ce_id", "ductape-count"] {
                message.headers.insert(name, format!("of {name}"));
            }
            let came = through(&message).message;
            assert_eq!((&came.id, &came.key), (&message.id, &message.key));
            assert_eq!(
                (&came.headers, &came.payload),
                (&message.headers, &message.payload)
            );
            assert_eq!(came.published_at, Some(message.published_at));
            assert_eq!(came.position, Some(ID.position()));
        }
        let mut message = Outgoing::new(topic(), "{}");
        message.id = MessageId::from_text("order 7");
        assert_eq!(through(&message).message.id, message.id);
    }

    #[test]
    fn what_is_packed_is_read_and_anothers_field_of_that_name_does_no_harm() {
        let mut message = Outgoing::new(topic(), "{}").with_key("k");
        message.headers.insert("tenant", "acme");
        let mut command = Cmd::new();
        write_packed(&mut command, &message, None, &mut Vec::new());
        let written = command.args_iter().filter_map(|arg| match arg {
            Arg::Simple(bytes) => Some(Value::BulkString(bytes.to_vec())),
            _ => None,
        });
        let came = read(&topic(), ID, written.collect(), &shared()).message;
        assert_eq!(
            (&came.id, &came.key, &came.headers),
            (&message.id, &message.key, &message.headers)
        );
        assert_eq!(came.published_at, Some(message.published_at));
        let odd = fields(&[("data", b"{}"), (":h", b"\x01\x04")]);
        assert_eq!(
            read(&topic(), ID, odd, &shared()).message.payload,
            b"{}".as_slice()
        );
    }

    #[test]
    fn anothers_entry_becomes_a_message_with_an_id_that_stays() {
        let one = fields(&[("order", br#"{"id":1}"#)]);
        let came = read(&topic(), ID, one.clone(), &shared()).message;
        assert_eq!(came.payload, br#"{"id":1}"#.as_slice());
        assert_eq!(came.id, read(&topic(), ID, one, &shared()).message.id);
        let binary = fields(&[("order", b"\xff\x00")]);
        assert_eq!(
            read(&topic(), ID, binary, &shared()).message.payload,
            b"\xff\x00".as_slice()
        );
        let several = fields(&[("order", b"1"), ("TOTAL!", b"9.5")]);
        let came = read(&topic(), ID, several, &shared()).message;
        assert_eq!(came.payload, br#"{"TOTAL!":"9.5","order":"1"}"#.as_slice());
        assert_eq!(crate::clock::to_millis(came.published_at.unwrap()), ID.ms);
        for odd in [
            vec![],
            fields(&[("", b"\xff")]),
            vec![Value::Nil, Value::Int(3)],
            fields(&[("data", b"")]),
        ] {
            let _ = read(&topic(), ID, odd, &shared());
        }
    }

    #[test]
    fn positions_keep_the_order_and_come_back() {
        let id = |ms, seq| EntryId { ms, seq };
        for (earlier, later) in [
            (id(0, 1), id(1, 0)),
            (id(7, 1), id(7, 2)),
            (id(1_700_000_000_000, 1_000_000), id(1_700_000_000_001, 0)),
        ] {
            assert!(earlier.position() < later.position());
            assert_eq!(EntryId::of_position(earlier.position()), earlier);
        }
        assert!(id(u64::MAX, u64::MAX).position() >= Position(u64::MAX));
        assert_eq!(id(7, 0).before(), id(6, u64::MAX));
        assert_eq!(id(0, 0).before(), id(0, 0));
        assert_eq!("7-3".parse(), Ok(id(7, 3)));
        assert!("7".parse::<EntryId>().is_err() && "-".parse::<EntryId>().is_err());
    }
}
