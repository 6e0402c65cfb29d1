//! What people are told.

use std::fmt::Write as _;

use serde_json::Value;

use super::fits;
use super::node::{ARRAY, BOOL, FRACTION, INTEGER, NULL, OBJECT, STRING};
use super::shape::Kind;

/// The most that is shown of a value, in characters.
const SHOWN_MAX: usize = 40;

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Field(String),
    /// Fields of any name.
    Fields,
    Item(usize),
    Items,
}

/// Why a place breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Why {
    /// From the inside outwards.
    pub(super) path: Vec<Step>,
    pub(super) text: String,
}

impl Why {
    pub(super) const fn new(text: String) -> Self {
        Self {
            path: Vec::new(),
            text,
        }
    }

    pub(super) fn at_field(name: &str, text: String) -> Self {
        let path = vec![Step::Field(name.to_owned())];
        Self { path, text }
    }

    /// The place as a JSON path.
    pub(super) fn place(&self) -> String {
        let mut path = "$".to_owned();
        for step in self.path.iter().rev() {
            match step {
                Step::Field(name) if is_plain(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Step::Field(name) => {
                    let _ = write!(path, "[{}]", Value::from(name.as_str()));
                }
                Step::Fields => path.push_str(".*"),
                Step::Item(at) => {
                    let _ = write!(path, "[{at}]");
                }
                Step::Items => path.push_str("[*]"),
            }
        }
        path
    }
}

fn is_plain(name: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(letter) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// Leaves each reason once, and at most `most`.
pub(super) fn without_repeats(whys: &mut Vec<Why>, most: usize) {
    let mut left: Vec<Why> = Vec::new();
    for why in whys.drain(..) {
        if left.len() < most && !left.contains(&why) {
            left.push(why);
        }
    }
    *whys = left;
}

/// A value, cut where it is long.
pub(super) fn value(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN_MAX {
        return format!("`{text}`");
    }
    let cut: String = text.chars().take(SHOWN_MAX).collect();
    format!("`{cut}…`")
}

/// A few values.
pub(super) fn values(values: &[&Value]) -> String {
    const MOST: usize = 5;
    let shown: Vec<String> = values.iter().take(MOST).map(|one| value(one)).collect();
    let more = values.len().saturating_sub(MOST);
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} others")
    };
    format!("{}{more}", shown.join(", "))
}

/// The kinds of values that a shape has.
pub(super) fn bits(kind: &Kind<'_>) -> u8 {
    match kind {
        Kind::Values(values) => values.iter().fold(0, |bits, value| bits | fits::kind(value)),
        Kind::Number(number) if number.is_whole => INTEGER,
        Kind::Number(_) => INTEGER | FRACTION,
        Kind::Text(_) => STRING,
        Kind::Array(_) => ARRAY,
        Kind::Object(_) => OBJECT,
    }
}

/// What a shape is.
pub(super) fn of(kind: &Kind<'_>) -> String {
    match kind {
        Kind::Values(known) => values(known),
        other => types(bits(other)),
    }
}

/// Kinds of values in words.
pub(super) fn types(bits: u8) -> String {
    let number = INTEGER | FRACTION;
    let mut names = Vec::new();
    if bits & number == number {
        names.push("a number");
    }
    for (bit, name) in [
        (INTEGER, "an integer"),
        (STRING, "a string"),
        (BOOL, "a boolean"),
        (OBJECT, "an object"),
        (ARRAY, "an array"),
        (NULL, "null"),
    ] {
        if bits & bit != 0 && !(bit == INTEGER && bits & number == number) {
            names.push(name);
        }
    }
    match names.as_slice() {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}
