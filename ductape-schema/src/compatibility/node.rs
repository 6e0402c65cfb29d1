//! One part of a schema.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use serde_json::Value;

use super::number::{Num, Range};

/// A part of a document.
pub(super) type Id = usize;

pub(super) const NULL: u8 = 1;
pub(super) const BOOL: u8 = 2;
pub(super) const INTEGER: u8 = 4;
/// A number that is not whole.
pub(super) const FRACTION: u8 = 8;
pub(super) const STRING: u8 = 16;
pub(super) const ARRAY: u8 = 32;
pub(super) const OBJECT: u8 = 64;
const ALL: u8 = 127;

/// One part: a schema within the document.
#[derive(Debug)]
pub(super) struct Node<'a> {
    /// `false`: nothing fits.
    pub(super) never: bool,
    pub(super) types: u8,
    /// What `enum` and `const` leave.
    pub(super) values: Option<Vec<&'a Value>>,
    pub(super) reference: Option<Id>,
    pub(super) all: Vec<Id>,
    pub(super) any: Option<Vec<Id>>,
    pub(super) one: Option<Vec<Id>>,
    pub(super) not: Option<Id>,
    /// `if`, `then`, `else`.
    pub(super) condition: Option<(Id, Option<Id>, Option<Id>)>,
    pub(super) range: Range,
    pub(super) multiples: Vec<Num>,
    pub(super) lengths: (u64, Option<u64>),
    pub(super) pattern: Option<&'a str>,
    pub(super) format: Option<&'a str>,
    pub(super) prefix: Vec<Id>,
    pub(super) items: Option<Id>,
    pub(super) item_counts: (u64, Option<u64>),
    pub(super) unique: bool,
    /// `None` where there is no such keyword.
    pub(super) properties: Option<BTreeMap<&'a str, Id>>,
    pub(super) patterns: Vec<(&'a str, Id)>,
    pub(super) additional: Option<Id>,
    pub(super) unevaluated: Option<Id>,
    pub(super) required: BTreeSet<&'a str>,
    pub(super) property_counts: (u64, Option<u64>),
    pub(super) names: Option<Id>,
    pub(super) dependent_required: Vec<(&'a str, Vec<&'a str>)>,
    pub(super) dependent: Vec<(&'a str, Id)>,
    /// The keywords that are not followed.
    pub(super) opaque: Vec<&'a str>,
    /// Whether it says more than `own` and `children` hold, so that it is not known to say the same as any other.
    pub(super) is_unlike: bool,
    /// Everything that this part says itself, with a gap for each of `children`.
    pub(super) own: String,
    pub(super) children: Vec<Id>,
}

impl Node<'_> {
    pub(super) fn any() -> Self {
        Self {
            never: false,
            types: ALL,
            values: None,
            reference: None,
            all: Vec::new(),
            any: None,
            one: None,
            not: None,
            condition: None,
            range: Range::default(),
            multiples: Vec::new(),
            lengths: (0, None),
            pattern: None,
            format: None,
            prefix: Vec::new(),
            items: None,
            item_counts: (0, None),
            unique: false,
            properties: None,
            patterns: Vec::new(),
            additional: None,
            unevaluated: None,
            required: BTreeSet::new(),
            property_counts: (0, None),
            names: None,
            dependent_required: Vec::new(),
            dependent: Vec::new(),
            opaque: Vec::new(),
            is_unlike: false,
            own: String::new(),
            children: Vec::new(),
        }
    }

    /// Adds to what this part says itself.
    pub(super) fn says(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a text does not fail.
        let _ = self.own.write_fmt(text);
    }

    /// Whether it may evaluate properties in ways that are not followed.
    pub(super) fn may_evaluate(&self) -> bool {
        !self.dependent.is_empty() || !self.opaque.is_empty()
    }

    /// Whether this part says the same as `other`, but for the parts that it refers to.
    pub(super) fn says_as(&self, other: &Node<'_>) -> bool {
        !self.is_unlike
            && !other.is_unlike
            && self.never == other.never
            && self.own == other.own
            && self.children.len() == other.children.len()
    }
}
