//! Headers on transports that take only a few attributes, or only short ones.
//!
//! A header that the transport takes as it is travels as an attribute of its own, so that filters and other programs see
//! it; all others travel together as a JSON object of texts in one attribute, `x-h`. Names are those of
//! [`cloud_events`](crate::cloud_events) with the prefix `ce-`.

#![allow(dead_code)] // which of it is used depends on the features

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::cloud_events::{self, Read};
use crate::message::Outgoing;

/// The attribute of the headers that have none of their own.
pub(crate) const FOLDED: &str = "x-h";
/// The prefix of the attributes of `CloudEvents`.
const PREFIX: &str = "ce-";

/// Hands every attribute of `message` to `put`. `has_place` is asked once for each header, in order, whether the transport
/// takes it as it is; for a number that is limited it counts by itself, and leaves one for `x-h`.
pub(crate) fn fold(
    message: &Outgoing,
    mut has_place: impl FnMut(&str, &str) -> bool,
    mut put: impl FnMut(Cow<'_, str>, Cow<'_, str>),
) {
    let mut folded = Map::new();
    cloud_events::write(message, PREFIX, |name, value| {
        if name != FOLDED && has_place(&name, &value) {
            put(name, value);
        } else {
            folded.insert(name.into_owned(), Value::String(value.into_owned()));
        }
    });
    if !folded.is_empty() {
        put(FOLDED.into(), json(folded).into());
    }
}

/// The object as text that XML can carry too: the only characters that JSON leaves and XML forbids are these two.
fn json(folded: Map<String, Value>) -> String {
    let text = Value::Object(folded).to_string();
    if text.contains(['\u{fffe}', '\u{ffff}']) {
        return text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff");
    }
    text
}

/// What the attributes of a message say. One named `x-h` that is not ours is kept as any other producer's.
pub(crate) fn unfold<'a>(attributes: impl IntoIterator<Item = (&'a str, &'a str)>) -> Read {
    let mut read = Read::default();
    for (name, value) in attributes {
        match (name == FOLDED)
            .then(|| serde_json::from_str::<Map<String, Value>>(value))
            .and_then(Result::ok)
        {
            Some(folded) => {
                for (name, value) in &folded {
                    match value {
                        Value::String(text) => read.take(PREFIX, name, text),
                        other => read.take(PREFIX, name, &other.to_string()),
                    }
                }
            }
            None => read.take(PREFIX, name, value),
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::{FOLDED, fold, unfold};
    use crate::message::{Outgoing, TopicName};

    fn message() -> Outgoing {
        let topic = TopicName::new("a:b".parse().unwrap(), NonZeroU32::MIN);
        let mut message = Outgoing::new(topic, "{}").with_key("k");
        for (name, value) in [
            ("ce-type", "a:b"),
            ("x-h", "a header of that name"),
            (
                "control",
                "\u{0}\u{1f}\u{7f} \u{fffe}\u{ffff} \u{263a}\u{1f980} \" \\",
            ),
            ("empty", ""),
        ] {
            message.headers.insert(name, value);
        }
        message
    }

    fn folded(message: &Outgoing, has_place: impl FnMut(&str, &str) -> bool) -> Vec<(String, String)> {
        let mut attributes = Vec::new();
        fold(message, has_place, |name, value| {
            attributes.push((name.into_owned(), value.into_owned()));
        });
        attributes
    }

    fn unfolded(attributes: &[(String, String)]) -> super::Read {
        unfold(
            attributes
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        )
    }

    #[test]
    fn every_header_comes_back_however_few_have_a_place() {
        let message = message();
        for places in 0..10 {
            let mut left = places;
            let attributes = folded(&message, |_, value| {
                let has = left > 0 && !value.is_empty();
                left -= usize::from(has);
                has
            });
            assert!(attributes.len() <= places + 1, "{attributes:?}");
            let read = unfolded(&attributes);
            assert_eq!(read.id.as_ref(), Some(&message.id));
            assert_eq!(read.published_at, Some(message.published_at));
            assert_eq!(read.key, message.key);
            assert_eq!(read.headers, message.headers);
        }
    }

    #[test]
    fn what_is_folded_has_no_character_that_xml_forbids() {
        let attributes = folded(&message(), |_, _| false);
        let [(name, value)] = &attributes[..] else {
            panic!("{attributes:?}");
        };
        assert_eq!(name, FOLDED);
        let forbidden =
            |c: char| (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}');
        assert!(!value.contains(forbidden), "{value:?}");
    }

    #[test]
    fn an_attribute_of_that_name_from_elsewhere_is_a_header() {
        for text in ["not JSON", "[1]", "7"] {
            let read = unfold([(FOLDED, text)]);
            assert_eq!(read.headers.get(FOLDED), Some(text));
        }
        let read = unfold([(FOLDED, r#"{"n":7,"ce-id":"i"}"#)]);
        assert_eq!(read.headers.get("n"), Some("7"));
        assert_eq!(read.id.unwrap().to_string(), "i");
    }
}
