//! Whether one value fits a schema.

use serde_json::Value;

use super::document::Document;
use super::equal::equal;
use super::node::{ARRAY, BOOL, FRACTION, INTEGER, Id, NULL, Node, OBJECT, STRING};
use super::number::{Num, Range};
use super::pattern;

/// How many references and parts are followed for one value.
const DEPTH_MAX: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fits {
    Yes,
    No,
    Unknown,
}

impl Fits {
    const fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    /// Both hold.
    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Unknown,
        }
    }

    const fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }

    fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }
}

/// The kind of a value, as a bit.
pub(super) fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => NULL,
        Value::Bool(_) => BOOL,
        Value::Number(number) if Num::of(number).is_whole() => INTEGER,
        Value::Number(_) => FRACTION,
        Value::String(_) => STRING,
        Value::Array(_) => ARRAY,
        Value::Object(_) => OBJECT,
    }
}

/// Whether `value` fits the part `id`.
pub(super) fn fits(document: &Document<'_>, id: Id, value: &Value) -> Fits {
    Judge {
        document,
        depth: 0,
        steps: 10_000,
    }
    .fits(id, value)
}

struct Judge<'j, 'a> {
    document: &'j Document<'a>,
    depth: usize,
    steps: u32,
}

impl<'j, 'a> Judge<'j, 'a> {
    fn fits(&mut self, id: Id, value: &Value) -> Fits {
        if self.depth == DEPTH_MAX || self.steps == 0 {
            return Fits::Unknown;
        }
        self.depth += 1;
        self.steps -= 1;
        let answer = self.node(self.document.node(id), value);
        self.depth -= 1;
        answer
    }

    fn all(&mut self, ids: impl IntoIterator<Item = Id>, value: &Value) -> Fits {
        let mut answer = Fits::Yes;
        for id in ids {
            answer = answer.and(self.fits(id, value));
            if answer == Fits::No {
                break;
            }
        }
        answer
    }

    fn node(&mut self, node: &'j Node<'a>, value: &Value) -> Fits {
        let among = |values: &Vec<&Value>| values.iter().any(|other| equal(other, value));
        if node.never || kind(value) & node.types == 0 || !node.values.as_ref().is_none_or(among) {
            return Fits::No;
        }
        let own = match value {
            Value::Number(number) => number_fits(node, Num::of(number)),
            Value::String(text) => text_fits(node, text),
            Value::Array(items) => self.array(node, items),
            Value::Object(fields) => self.object(node, fields),
            Value::Null | Value::Bool(_) => Fits::Yes,
        };
        if own == Fits::No {
            return Fits::No;
        }
        let opaque = if node.opaque.is_empty() && node.unevaluated.is_none() {
            Fits::Yes
        } else {
            Fits::Unknown
        };
        own.and(opaque).and(self.applied(node, value))
    }

    fn applied(&mut self, node: &'j Node<'a>, value: &Value) -> Fits {
        let mut answer = self.all(node.reference.into_iter().chain(node.all.iter().copied()), value);
        if let Some(any) = &node.any {
            let mut either = Fits::No;
            for id in any {
                either = either.or(self.fits(*id, value));
            }
            answer = answer.and(either);
        }
        if let Some(one) = &node.one {
            let (mut sure, mut unsure) = (0, 0);
            for id in one {
                match self.fits(*id, value) {
                    Fits::Yes => sure += 1,
                    Fits::Unknown => unsure += 1,
                    Fits::No => {}
                }
            }
            answer = answer.and(match (sure, unsure) {
                (1, 0) => Fits::Yes,
                (0, 0) | (2.., _) => Fits::No,
                _ => Fits::Unknown,
            });
        }
        if let Some(not) = node.not {
            answer = answer.and(self.fits(not, value).not());
        }
        if let Some((condition, then, otherwise)) = node.condition {
            let holds = self.fits(condition, value);
            let then = self.all(then, value);
            let otherwise = self.all(otherwise, value);
            answer = answer.and(holds.and(then).or(holds.not().and(otherwise)));
        }
        answer
    }

    fn array(&mut self, node: &'j Node<'a>, items: &[Value]) -> Fits {
        let mut answer = Fits::of(within(items.len(), node.item_counts));
        for (at, item) in items.iter().enumerate() {
            let part = node.prefix.get(at).copied().or(node.items);
            answer = answer.and(self.all(part, item));
        }
        if node.unique {
            let repeats = |(at, item): (usize, &Value)| items[..at].iter().any(|other| equal(other, item));
            answer = answer.and(Fits::of(!items.iter().enumerate().any(repeats)));
        }
        answer
    }

    fn object(&mut self, node: &'j Node<'a>, fields: &serde_json::Map<String, Value>) -> Fits {
        let has = |name: &&str| fields.contains_key(*name);
        let mut answer =
            Fits::of(within(fields.len(), node.property_counts) && node.required.iter().all(has));
        for (name, needs) in &node.dependent_required {
            answer = answer.and(Fits::of(!has(name) || needs.iter().all(has)));
        }
        if node.dependent.iter().any(|(name, _)| has(name)) {
            answer = answer.and(Fits::Unknown);
        }
        for (name, value) in fields {
            let named = node
                .properties
                .as_ref()
                .and_then(|properties| properties.get(name.as_str()));
            let mut is_other = named.is_none();
            answer = answer.and(self.all(named.copied(), value));
            for (text, id) in &node.patterns {
                match pattern::matches(text, name) {
                    Some(false) => {}
                    Some(true) => {
                        is_other = false;
                        answer = answer.and(self.fits(*id, value));
                    }
                    None => {
                        is_other = false;
                        answer = answer.and(Fits::Unknown);
                    }
                }
            }
            if is_other {
                answer = answer.and(self.all(node.additional, value));
            }
            if let Some(names) = node.names {
                answer = answer.and(self.fits(names, &Value::String(name.clone())));
            }
        }
        answer
    }
}

fn number_fits(node: &Node<'_>, number: Num) -> Fits {
    // A format is an annotation to those who judge by the letter, and a type to those who read.
    let format = node.format.and_then(Range::of_format);
    let format = if format.is_none_or(|range| range.has(number)) {
        Fits::Yes
    } else {
        Fits::Unknown
    };
    let multiple = |of: &Num| match (number, *of) {
        (Num::Int(_), Num::Int(_)) => Fits::of(number.is_multiple_of(*of)),
        _ => Fits::Unknown,
    };
    let multiples = node.multiples.iter().map(multiple).fold(Fits::Yes, Fits::and);
    Fits::of(node.range.has(number)).and(format).and(multiples)
}

fn text_fits(node: &Node<'_>, text: &str) -> Fits {
    let unknown = node.pattern.is_some() || node.format.is_some();
    let fits = Fits::of(within(text.chars().count(), node.lengths));
    fits.and(if unknown { Fits::Unknown } else { Fits::Yes })
}

fn within(count: usize, (least, most): (u64, Option<u64>)) -> bool {
    let count = count as u64;
    count >= least && most.is_none_or(|most| count <= most)
}
