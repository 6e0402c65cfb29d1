//! Whether a schema may follow another: whether those who read by the one take what is written by the other.
//!
//! [`check`] compares two JSON Schemas (draft 2020-12). What it finds compatible is compatible; where it can't show that, it
//! answers a [`Break`] that says so. `tests/compatibility.rs` holds it to this with random schemas and values, judged by another
//! implementation of JSON Schema.
//!
//! # What is written, and what is read
//!
//! The schema of a struct is *open*: it lists fields and lets any others through, which is right for who reads, since `serde`
//! skips what it does not know. Taken by the letter it would mean as well that an old message may hold anything at all under
//! the name of a field that is added later, so that no field could ever be added. No program writes such messages: it writes the
//! fields that its schema lists. So the writer's side is compared in its **closed form**:
//!
//! - an object whose schema lists `properties` has no others, as if it said `"unevaluatedProperties": false`. Fields that are
//!   listed elsewhere for the same object (`allOf`, `$ref`, the alternative that holds, `required`) count as listed; those of `if`, `then` and `else` may be there as well;
//! - where `additionalProperties` or `unevaluatedProperties` says what others hold, as in maps and flattened maps, others are
//!   written as it says;
//! - an object whose schema lists nothing, as `{"type": "object"}` and `true`, may hold anything.
//!
//! The reader's side is compared as it stands. So a field that may be absent can be added and removed in either direction, a
//! field can't be added where readers refuse what they don't know (`deny_unknown_fields`), and a field that is added beside a
//! flattened map must take what the map holds.
//!
//! A message with fields that its version's schema does not list, as a foreign producer may write, is outside this promise.
//!
//! # Formats
//!
//! A `format` is an annotation in JSON Schema, but the only thing by which the schema of a `Uuid`, a date or an `i32` differs
//! from that of a text or an `i64`. So a reader's format must be the writer's, or a range of numbers that holds all of the
//! writer's; an integer without a format counts as an `i64`.
//!
//! # What is not followed
//!
//! `contains`, `unevaluatedItems`, `$dynamicRef`, references out of the document, and regular expressions beyond their text: a
//! place where the reader has one is compatible only with a writer's place that is the same.

mod alternatives;
mod apart;
mod comparison;
mod document;
mod equal;
mod fits;
mod kinds;
mod node;
mod number;
mod pattern;
mod shape;
mod words;

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use comparison::Comparison;
use document::Document;

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// How a contract may change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// New consumers read old messages: consumers are deployed first, and what is stored can be replayed. The default.
    #[default]
    Backward,
    /// Old consumers read new messages: producers are deployed first.
    Forward,
    /// Both.
    Full,
    /// Anything goes.
    None,
}

impl Mode {
    /// As it is written: `backward`, `forward`, `full` or `none`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backward => "backward",
            Self::Forward => "forward",
            Self::Full => "full",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no [`Mode`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownMode(String);

impl fmt::Display for UnknownMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no compatibility; write `backward`, `forward`, `full` or `none`",
            self.0.escape_debug()
        )
    }
}

impl Error for UnknownMode {}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        [Self::Backward, Self::Forward, Self::Full, Self::None]
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| UnknownMode(text.to_owned()))
    }
}

/// Who can't read what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Consumers of the new version can't read old messages.
    NewConsumers,
    /// Consumers of the old version can't read new messages.
    OldConsumers,
}

/// A place where a schema can't follow another, or can't be shown to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// Where in a message: `$.lines[*].price`. `[*]` is every item, `.*` every field.
    pub path: String,
    /// Who breaks.
    pub side: Side,
    /// Why, in a sentence without its full stop.
    pub reason: String,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.side {
            Side::NewConsumers => "new consumers break on old messages",
            Side::OldConsumers => "old consumers break on new messages",
        };
        write!(f, "`{}`: {who}: {}", self.path, self.reason)
    }
}

/// Where the schema `new` can't follow `old` in this mode; nothing where it can. Both are JSON Schemas of draft 2020-12.
///
/// The work is bounded: of two schemas that are too large, too deep or too entangled to compare it answers that it can't be
/// shown that they are compatible. At most 50 breaks of each side are told.
///
/// ```
/// use ductape_schema::compatibility::{Mode, check};
/// use serde_json::json;
///
/// let old = json!({ "type": "object", "properties": { "id": { "type": "string" } }, "required": ["id"] });
/// let new = json!({
///     "type": "object",
///     "properties": { "id": { "type": "string" }, "total": { "type": "number" } },
///     "required": ["id", "total"],
/// });
/// assert!(check(&old, &new, Mode::Forward).is_empty());
/// assert_eq!(
///     check(&old, &new, Mode::Backward)[0].to_string(),
///     "`$.total`: new consumers break on old messages: new consumers require it, and old messages don't have it"
/// );
/// ```
pub fn check(old: &Value, new: &Value, mode: Mode) -> Vec<Break> {
    if mode == Mode::None || old == new {
        return Vec::new();
    }
    let (old_read, new_read) = (Document::read(old), Document::read(new));
    let mut breaks = Vec::new();
    let mut compare = |side, writer: (&Document<'_>, &Value, _), reader: (&Document<'_>, &Value, _)| {
        let drafts = [writer, reader].into_iter().find_map(|(_, schema, name)| {
            let draft = schema.get("$schema")?.as_str()?;
            let reason =
                format!("it can't be shown: the {name} schema is of `{draft}`; `{DRAFT}` is compared");
            (draft.trim_end_matches('#') != DRAFT).then_some(reason)
        });
        if let Some(reason) = drafts {
            let path = "$".to_owned();
            breaks.push(Break { path, side, reason });
            return;
        }
        let whys = Comparison::new(writer.0, reader.0, (writer.2, reader.2)).whole();
        breaks.extend(whys.into_iter().map(|why| Break {
            path: why.place(),
            side,
            reason: why.text,
        }));
    };
    let (old, new) = ((&old_read, old, "old"), (&new_read, new, "new"));
    if matches!(mode, Mode::Backward | Mode::Full) {
        compare(Side::NewConsumers, old, new);
    }
    if matches!(mode, Mode::Forward | Mode::Full) {
        compare(Side::OldConsumers, new, old);
    }
    breaks
}
