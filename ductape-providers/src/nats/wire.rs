//! Messages as NATS carries them: `CloudEvents` in binary mode, with the prefix `ce-` (`nats-protocol-binding.md` of
//! `CloudEvents` 1.0.2).
//!
//! The binding has values of attributes percent-encoded: all but printable ASCII, and spaces, `"` and `%`. Other headers are
//! one line of text each, whose ends NATS trims: a value that this would change is written with its control characters and
//! spaces at the ends as `%XX`, and its name is listed in the header `ductape-escaped`; every other value travels as it is.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::{HeaderMap, HeaderName, HeaderValue, Message};

use crate::cloud_events;
use crate::message::{Incoming, MessageId, Outgoing, Position, TopicName};

const PREFIX: &str = "ce-";
/// The header that names the headers whose values are escaped, with commas between.
const ESCAPED: &str = "ductape-escaped";
/// Names that begin so are the server's.
const SERVERS: &str = "Nats-";
/// What stands around the headers on the wire: `NATS/1.0`, and two line ends.
const FRAME_LEN: usize = 12;

const ID: HeaderName = HeaderName::from_static("ce-id");
const TIME: HeaderName = HeaderName::from_static("ce-time");
const SUBJECT: HeaderName = HeaderName::from_static("ce-subject");
const TYPE: HeaderName = HeaderName::from_static("ce-type");
const SOURCE: HeaderName = HeaderName::from_static("ce-source");
const SPEC_VERSION: HeaderName = HeaderName::from_static("ce-specversion");
/// What most programs look for; the binding knows [`DATA_CONTENT_TYPE`] alone.
const CONTENT_TYPE: HeaderName = HeaderName::from_static("content-type");
const DATA_CONTENT_TYPE: HeaderName = HeaderName::from_static("ce-datacontenttype");

/// Headers on their way, and how long they are on the wire.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) map: HeaderMap,
    pub(super) len: usize,
}

impl Lines {
    /// The headers of `message`, without the server's.
    pub(super) fn of(message: &Outgoing) -> Self {
        let mut lines = Self {
            map: HeaderMap::new(),
            len: FRAME_LEN,
        };
        let mut escaped_names = String::new();
        cloud_events::write(message, PREFIX, |name, value| {
            let value = if name.starts_with(PREFIX) {
                encoded(value)
            } else if travels(&value) {
                value.into_owned()
            } else {
                if !escaped_names.is_empty() {
                    escaped_names.push(',');
                }
                escaped_names.push_str(&name);
                escaped(&value)
            };
            match name.as_ref() {
                "ce-id" => lines.put(ID, value),
                "ce-time" => lines.put(TIME, value),
                "ce-subject" => lines.put(SUBJECT, value),
                "ce-type" => lines.put(TYPE, value),
                "ce-source" => lines.put(SOURCE, value),
                "ce-specversion" => lines.put(SPEC_VERSION, value),
                "content-type" => {
                    lines.put(DATA_CONTENT_TYPE, encoded(value.as_str().into()));
                    lines.put(CONTENT_TYPE, value);
                }
                other => {
                    // `Headers::check` was before, and allows no name that this refuses.
                    if let Ok(name) = other.parse() {
                        lines.put(name, value);
                    }
                }
            }
        });
        if !escaped_names.is_empty() {
            lines.put(HeaderName::from_static(ESCAPED), escaped_names);
        }
        lines
    }

    /// Adds a header whose value has no line end.
    pub(super) fn put(&mut self, name: HeaderName, value: impl Into<String>) {
        let value = value.into();
        let name_len = AsRef::<str>::as_ref(&name).len();
        self.len += name_len + value.len() + 4;
        // Its only other way in copies the text; none that is put here has a line end, at which this would panic.
        self.map.insert(name, HeaderValue::from(value));
    }
}

/// What the server is to know a message again by. It compares over a whole stream, in which topics stand side by side, so
/// that the topic's subject is a part of it.
pub(super) fn id_in(subject: &str, id: &MessageId) -> String {
    let text = format!("{subject}:{id}");
    if travels(&text) { text } else { escaped(&text) }
}

/// Whether a value comes as it went.
fn travels(value: &str) -> bool {
    let ends = [value.chars().next(), value.chars().next_back()];
    !value.bytes().any(|b| b.is_ascii_control())
        && !ends
            .into_iter()
            .flatten()
            .any(|end| end.is_whitespace() || end.is_control())
}

/// The value of an attribute, as the binding has it in a header.
fn encoded(value: Cow<'_, str>) -> String {
    let stays = |b: u8| matches!(b, b'!'..=b'~') && b != b'"' && b != b'%';
    if value.bytes().all(stays) {
        return value.into_owned();
    }
    let mut text = String::with_capacity(value.len() + 16);
    for byte in value.bytes() {
        if stays(byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// What such a value stands for. Older producers put it between quotes.
fn decoded(text: &str) -> String {
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let Some(quoted) = quoted else {
        return unescaped(text);
    };
    let mut plain = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        let c = if c == '\\' { chars.next() } else { Some(c) };
        plain.extend(c);
    }
    unescaped(&plain)
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 16);
    let last = value.len();
    for (at, c) in value.char_indices() {
        let at_an_end = at == 0 || at + c.len_utf8() == last;
        if c.is_control() || c == '%' || (at_an_end && c.is_whitespace()) {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a string can't fail.
                let _ = write!(text, "%{byte:02X}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// What `text` stands for; itself where it can't be read, since it is another producer's.
pub(super) fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = (*first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = hex {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// What the reply subject of a delivery says (`$JS.ACK.…`, ADR-15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The message's number in its stream.
    pub(super) sequence: u64,
    /// How often it was delivered, with this time.
    pub(super) delivered: u64,
    /// When the server stored it, in nanoseconds since 1970.
    pub(super) stored_nanos: u64,
}

impl Place {
    /// `None` when the message is no delivery of a consumer.
    pub(super) fn of(message: &Message) -> Option<Self> {
        let mut words = [""; 10];
        let mut count = 0;
        let rest = message.reply.as_deref()?.strip_prefix("$JS.ACK.")?;
        for word in rest.split('.').take(words.len()) {
            words[count] = word;
            count += 1;
        }
        // With a domain and an account before it, and perhaps more behind; older servers have neither.
        let from = match count {
            9.. => 4,
            7 => 2,
            _ => return None,
        };
        Some(Self {
            delivered: words[from].parse().ok()?,
            sequence: words[from + 1].parse().ok()?,
            stored_nanos: words[from + 3].parse().ok()?,
        })
    }
}

/// The message that came, wherever it comes from. Of several values of one header the first counts.
pub(super) fn incoming(topic: &TopicName, stream: &str, message: &Message, place: Place) -> Incoming {
    let mut read = cloud_events::Read::default();
    let (mut native_id, mut content_type) = (None, None);
    if let Some(headers) = &message.headers {
        let listed = headers.get(ESCAPED).map(HeaderValue::as_str);
        for (name, values) in headers.iter() {
            let name: &str = name.as_ref();
            let Some(value) = values.first().map(HeaderValue::as_str) else {
                continue;
            };
            if name.starts_with(SERVERS) {
                if name == "Nats-Msg-Id" {
                    native_id = Some(value);
                }
            } else if name == "ce-datacontenttype" {
                content_type = Some(decoded(value));
            } else if name.starts_with(PREFIX) {
                read.take(PREFIX, name, &decoded(value));
            } else if name != ESCAPED {
                if listed.is_some_and(|listed| listed.split(',').any(|listed| listed == name)) {
                    read.take(PREFIX, name, &unescaped(value));
                } else {
                    read.take(PREFIX, name, value);
                }
            }
        }
    }
    if let Some(content_type) = content_type
        && read.headers.get("content-type").is_none()
    {
        read.take(PREFIX, "content-type", &content_type);
    }
    let id = read.id.take().unwrap_or_else(|| match native_id {
        Some(id) => MessageId::from_text(id),
        None => MessageId::derived(stream, &place.sequence.to_string()),
    });
    let stored = UNIX_EPOCH.checked_add(Duration::from_nanos(place.stored_nanos));
    Incoming {
        topic: topic.clone(),
        id,
        key: read.key,
        headers: read.headers,
        payload: message.payload.clone(),
        published_at: read.published_at.or(stored),
        position: Some(Position(place.sequence)),
        delivery_count: u32::try_from(place.delivered).ok().and_then(NonZeroU32::new),
    }
}

/// The time at which the server is to deliver, as its schedules have it.
pub(super) fn at(time: SystemTime) -> String {
    format!("@at {}", cloud_events::time_text(time))
}

#[cfg(test)]
mod tests {
    use async_nats::{HeaderMap, Message};
    use bytes::Bytes;

    use super::{ESCAPED, Lines, Place, decoded, encoded, escaped, incoming, travels, unescaped};
    use crate::clock;
    use crate::message::{MessageId, Outgoing, TopicName};

    const REPLY: &str = "$JS.ACK.orders.created__bill.3.17.21.1700000000123456789.4";
    const PLACE: Place = Place {
        sequence: 17,
        delivered: 3,
        stored_nanos: 1_700_000_000_123_456_789,
    };

    fn topic() -> TopicName {
        TopicName::new("orders:created".parse().unwrap(), std::num::NonZeroU32::MIN)
    }

    fn delivery(reply: Option<&str>, headers: Option<HeaderMap>) -> Message {
        Message {
            subject: "orders.created".into(),
            reply: reply.map(Into::into),
            payload: Bytes::from_static(b"{}"),
            headers,
            status: None,
            description: None,
            length: 0,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let ascii: String = (0..128u8).map(char::from).collect();
        let mut message = Outgoing::new(topic(), "{}").with_key("k 1");
        message.published_at = clock::from_millis(1_700_000_000_123);
        for (at, value) in [
            "", " ", " a ", "\r\nx: y", "100%", "%41", "\u{263a}", "\u{a0}", "\u{85}", &ascii,
        ]
        .into_iter()
        .enumerate()
        {
            message.headers.insert(format!("h{at}"), value);
        }
        message.headers.insert("ce-type", "orders:created");
        message.headers.insert("ce-all", ascii.as_str());
        message
            .headers
            .insert("content-type", "text/plain; note=\"100 %\"");
        let lines = Lines::of(&message);
        for values in lines.map.iter().map(|(_, values)| values) {
            assert!(values[0].as_str().trim() == values[0].as_str());
        }
        let came = incoming(&topic(), "orders", &delivery(Some(REPLY), Some(lines.map)), PLACE);
        let mut wanted: Vec<_> = message.headers.iter().collect();
        let mut found: Vec<_> = came.headers.iter().collect();
        wanted.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, wanted);
        assert_eq!((came.id, came.key), (message.id, message.key));
        assert_eq!(came.published_at, Some(message.published_at));
        assert_eq!(came.delivery_count.map(std::num::NonZeroU32::get), Some(3));
    }

    #[test]
    fn only_what_would_not_travel_is_escaped() {
        let mut message = Outgoing::new(topic(), "{}");
        message.headers.insert("tenant", "100 % \u{263a}");
        let lines = Lines::of(&message);
        assert_eq!(lines.map.get("tenant").unwrap().as_str(), "100 % \u{263a}");
        assert!(lines.map.get(ESCAPED).is_none());
        assert!(travels("a b") && !travels(" a") && !travels("a\0b"));
    }

    #[test]
    fn escapes_are_undone_and_others_text_is_left() {
        for text in ["", " ", "%", "a\r\nb", "\u{a0}x\u{2003}", "%%\n%41"] {
            assert_eq!(unescaped(&escaped(text)), text, "{text:?}");
        }
        for text in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(unescaped(text), text);
        }
    }

    #[test]
    fn attributes_are_written_and_read_as_the_binding_has_them() {
        // Its own example, `nats-protocol-binding.md`, 3.1.3.2.
        let (plain, wire) = ("Euro \u{20ac} \u{1f600}", "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(encoded(plain.into()), wire);
        assert_eq!(decoded(wire), plain);
        assert_eq!(encoded("a:b/c?\"%41\"".into()), "a:b/c?%22%2541%22");
        for (wire, plain) in [
            ("%e2%82%ac%41", "\u{20ac}A"),
            ("\"a \\\"b\\\" %41\"", "a \"b\" A"),
            ("\"", "\""),
            ("%C0%A0", "%C0%A0"),
        ] {
            assert_eq!(decoded(wire), plain);
        }

        let mut message = Outgoing::new(topic(), "{}").with_key("100 %41");
        message.headers.insert("content-type", "text/plain");
        let lines = Lines::of(&message);
        assert_eq!(lines.map.get("ce-subject").unwrap().as_str(), "100%20%2541");
        assert_eq!(
            lines.map.get("ce-datacontenttype").unwrap().as_str(),
            "text/plain"
        );
        let mut headers = HeaderMap::new();
        headers.insert("ce-datacontenttype", "text/plain");
        headers.insert("ce-subject", "100%20%2541");
        let came = incoming(&topic(), "orders", &delivery(Some(REPLY), Some(headers)), PLACE);
        assert_eq!(came.key.as_deref(), Some(&b"100 %41"[..]));
        assert_eq!(
            came.headers.iter().collect::<Vec<_>>(),
            [("content-type", "text/plain")]
        );
    }

    #[test]
    fn the_length_is_that_on_the_wire() {
        let mut message = Outgoing::new(topic(), "{}");
        message.headers.insert("tenant", "acme");
        let lines = Lines::of(&message);
        let sum: usize = lines
            .map
            .iter()
            .map(|(name, values)| AsRef::<str>::as_ref(name).len() + values[0].as_str().len() + 4)
            .sum();
        assert_eq!(lines.len, sum + "NATS/1.0\r\n\r\n".len());
    }

    #[test]
    fn a_foreign_message_is_taken_as_it_is() {
        let mut headers = HeaderMap::new();
        headers.insert("X-Tenant", "acme");
        headers.append("X-Twice", "one");
        headers.append("X-Twice", "two");
        headers.insert("Nats-Msg-Id", "order-7");
        let came = incoming(&topic(), "orders", &delivery(Some(REPLY), Some(headers)), PLACE);
        assert_eq!(came.id, MessageId::from_text("order-7"));
        assert_eq!(came.headers.get("x-tenant"), Some("acme"));
        assert_eq!(came.headers.get("x-twice"), Some("one"));
        assert_eq!(came.headers.len(), 2);

        let bare = incoming(&topic(), "orders", &delivery(Some(REPLY), None), PLACE);
        assert_eq!(bare.id, MessageId::derived("orders", "17"));
        assert_eq!(bare.published_at.map(clock::to_millis), Some(1_700_000_000_123));
    }

    #[test]
    fn a_reply_says_where_a_message_stands() {
        let of = |reply| Place::of(&delivery(Some(reply), None));
        assert_eq!(of(REPLY), Some(PLACE));
        assert_eq!(
            of("$JS.ACK._.hash.orders.created__bill.3.17.21.1700000000123456789.4.token"),
            Some(PLACE)
        );
        for bad in [
            "_INBOX.a.b",
            "$JS.ACK.a.b",
            "$JS.ACK.a.b.x.17.21.1.4",
            "$JS.ACK.a.b.1.2.3.4.5.6",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(Place::of(&delivery(None, None)), None);
    }
}
