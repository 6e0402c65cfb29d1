//! What a writer writes: a schema taken apart into shapes, each of one kind and without alternatives.
//!
//! A shape may hold more than the schema lets through, never less.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::Value;

use super::alternatives::{Alternative, alternatives};
use super::document::Document;
use super::fits::{Fits, fits};
use super::node::{ARRAY, BOOL, FRACTION, INTEGER, Id, NULL, Node, OBJECT, STRING};
use super::number::{Num, Range};
use super::pattern;

static NULL_VALUE: Value = Value::Null;
static BOOLS: [Value; 2] = [Value::Bool(false), Value::Bool(true)];

/// Parts that all hold at one place.
pub(super) type Parts = Rc<[Id]>;

/// What is written at one place in one of its alternatives.
#[derive(Debug)]
pub(super) struct Shape<'a> {
    pub(super) kind: Kind<'a>,
    /// The parts that the shape satisfies, each as a whole.
    pub(super) parts: Vec<Id>,
}

#[derive(Debug)]
pub(super) enum Kind<'a> {
    /// One of a few values.
    Values(Vec<&'a Value>),
    Number(NumberShape<'a>),
    Text(TextShape<'a>),
    Array(ArrayShape),
    Object(ObjectShape<'a>),
}

#[derive(Debug)]
pub(super) struct NumberShape<'a> {
    pub(super) is_whole: bool,
    pub(super) range: Range,
    pub(super) multiples: Vec<Num>,
    pub(super) formats: Vec<&'a str>,
}

#[derive(Debug)]
pub(super) struct TextShape<'a> {
    pub(super) least: u64,
    pub(super) most: Option<u64>,
    pub(super) patterns: Vec<&'a str>,
    pub(super) formats: Vec<&'a str>,
}

#[derive(Debug)]
pub(super) struct ArrayShape {
    pub(super) prefix: Vec<Parts>,
    pub(super) rest: Parts,
    pub(super) least: u64,
    pub(super) most: Option<u64>,
    pub(super) is_unique: bool,
}

#[derive(Debug)]
pub(super) struct ObjectShape<'a> {
    /// `None` where it can't be.
    pub(super) named: BTreeMap<&'a str, Option<Parts>>,
    pub(super) patterns: Vec<(&'a str, Parts)>,
    /// Properties of any other name; `None` where there are none.
    pub(super) others: Option<Parts>,
    pub(super) required: BTreeSet<&'a str>,
    pub(super) least: u64,
    pub(super) most: Option<u64>,
    pub(super) names: Vec<Id>,
}

impl ObjectShape<'_> {
    /// What may stand at `name`: nothing, or one of these.
    pub(super) fn at(&self, name: &str) -> Vec<Parts> {
        if let Some(named) = self.named.get(name) {
            return named.iter().map(Rc::clone).collect();
        }
        let matching = self
            .patterns
            .iter()
            .filter(|(text, _)| pattern::matches(text, name) != Some(false));
        matching
            .map(|(_, parts)| parts)
            .chain(&self.others)
            .map(Rc::clone)
            .collect()
    }

    /// The most properties it can have.
    pub(super) fn most(&self) -> Option<u64> {
        let named = (self.others.is_none() && self.patterns.is_empty())
            .then(|| self.named.values().flatten().count())
            .and_then(|count| u64::try_from(count).ok());
        match (named, self.most) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

/// The shapes of what satisfies all of `parts`.
pub(super) fn shapes<'a>(document: &Document<'a>, parts: &[Id]) -> Vec<Shape<'a>> {
    let mut shapes = Vec::new();
    for alternative in alternatives(document, parts) {
        Maker {
            document,
            alternative: &alternative,
        }
        .make(&mut shapes);
    }
    shapes
}

struct Maker<'m, 'a> {
    document: &'m Document<'a>,
    alternative: &'m Alternative,
}

impl<'a> Maker<'_, 'a> {
    fn nodes(&self) -> impl Iterator<Item = &Node<'a>> {
        self.alternative.parts.iter().map(|id| self.document.node(*id))
    }

    fn make(&self, shapes: &mut Vec<Shape<'a>>) {
        let types = self.alternative.types;
        let mut add = |kind| {
            shapes.push(Shape {
                kind,
                parts: self.alternative.parts.clone(),
            });
        };
        if let Some(values) = self.nodes().find_map(|node| node.values.as_ref()) {
            let fits_all = |value: &&Value| {
                let mut parts = self.alternative.parts.iter();
                parts.all(|id| fits(self.document, *id, value) != Fits::No)
            };
            let values: Vec<&Value> = values.iter().copied().filter(fits_all).collect();
            if !values.is_empty() {
                add(Kind::Values(values));
            }
            return;
        }
        if types & NULL != 0 {
            add(Kind::Values(vec![&NULL_VALUE]));
        }
        if types & BOOL != 0 {
            add(Kind::Values(BOOLS.iter().collect()));
        }
        if types & (INTEGER | FRACTION) != 0
            && let Some(number) = self.number(types & FRACTION == 0)
        {
            add(Kind::Number(number));
        }
        if types & STRING != 0
            && let Some(text) = self.text()
        {
            add(Kind::Text(text));
        }
        if types & ARRAY != 0
            && let Some(array) = self.array()
        {
            add(Kind::Array(array));
        }
        if types & OBJECT != 0
            && let Some(object) = self.object()
        {
            add(Kind::Object(object));
        }
    }

    fn number(&self, is_whole: bool) -> Option<NumberShape<'a>> {
        let mut range = Range::default();
        for node in self.nodes() {
            range.intersect(&node.range);
        }
        if is_whole {
            range = range.of_whole();
        }
        let shape = NumberShape {
            is_whole,
            range,
            multiples: self
                .nodes()
                .flat_map(|node| node.multiples.iter().copied())
                .collect(),
            formats: self.nodes().filter_map(|node| node.format).collect(),
        };
        (!range.is_empty()).then_some(shape)
    }

    fn text(&self) -> Option<TextShape<'a>> {
        let (least, most) = counts(self.nodes().map(|node| node.lengths));
        let shape = TextShape {
            least,
            most,
            patterns: self.nodes().filter_map(|node| node.pattern).collect(),
            formats: self.nodes().filter_map(|node| node.format).collect(),
        };
        most.is_none_or(|most| least <= most).then_some(shape)
    }

    fn array(&self) -> Option<ArrayShape> {
        let (least, mut most) = counts(self.nodes().map(|node| node.item_counts));
        let length = self.nodes().map(|node| node.prefix.len()).max().unwrap_or(0);
        let at = |at: usize| -> Parts {
            self.nodes()
                .filter_map(|node| node.prefix.get(at).copied().or(node.items))
                .collect()
        };
        let prefix: Vec<Parts> = (0..length).map(at).collect();
        let rest: Parts = self.nodes().filter_map(|node| node.items).collect();
        let never = |parts: &Parts| parts.iter().any(|id| self.document.node(*id).never);
        if let Some(end) = prefix.iter().chain([&rest]).position(never) {
            let end = end as u64;
            most = Some(most.map_or(end, |most| most.min(end)));
        }
        let shape = ArrayShape {
            prefix,
            rest,
            least,
            most,
            is_unique: self.nodes().any(|node| node.unique),
        };
        most.is_none_or(|most| least <= most).then_some(shape)
    }

    fn object(&self) -> Option<ObjectShape<'a>> {
        let (least, most) = counts(self.nodes().map(|node| node.property_counts));
        let is_never = |id: &Id| self.document.node(*id).never;
        let mut named: BTreeMap<&'a str, Option<Parts>> = BTreeMap::new();
        // What is required is written, also where nothing lists it.
        let nodes = || self.nodes();
        let listed = nodes().flat_map(|node| node.properties.iter().flat_map(BTreeMap::keys));
        for name in listed.chain(nodes().flat_map(|node| &node.required)) {
            if !named.contains_key(name) {
                let parts: Parts = self.nodes().flat_map(|node| at_name(node, name)).collect();
                named.insert(name, (!parts.iter().any(is_never)).then_some(parts));
            }
        }
        let additional = || self.nodes().filter_map(|node| Some((node, node.additional?)));
        // Beside patterns it holds for what matches none of them alone.
        let of_all = additional().filter(|(node, _)| node.patterns.is_empty());
        let base: Vec<Id> = of_all.map(|(_, id)| id).filter(|id| !is_never(id)).collect();
        let patterns = self.nodes().flat_map(|node| node.patterns.iter());
        let patterns = patterns.map(|(text, id)| (*text, base.iter().copied().chain([*id]).collect()));
        let patterns: Vec<(&'a str, Parts)> = patterns.collect();
        let has_others = !self.is_closed() && !additional().any(|(_, id)| is_never(&id));
        let mut shape = ObjectShape {
            named,
            patterns,
            others: has_others.then(|| base.into()),
            required: self
                .nodes()
                .flat_map(|node| node.required.iter().copied())
                .collect(),
            least,
            most,
            names: self.nodes().filter_map(|node| node.names).collect(),
        };
        self.beside(&mut shape);
        let missing = |name: &&str| shape.at(name).is_empty();
        if shape.required.iter().any(missing) {
            return None;
        }
        shape.least = least.max(shape.required.len() as u64);
        shape
            .most()
            .is_none_or(|most| shape.least <= most)
            .then_some(shape)
    }

    /// Whether the fields that are listed are all that there are: the rule of the closed form.
    fn is_closed(&self) -> bool {
        let lists = |node: &Node<'_>| {
            node.properties.is_some() || node.unevaluated.is_some_and(|id| self.document.node(id).never)
        };
        self.nodes().any(lists) && !self.nodes().any(|node| self.takes_others(node))
    }

    /// Whether a part says what fields of any name hold.
    fn takes_others(&self, node: &Node<'_>) -> bool {
        let takes = |id: Option<Id>| id.is_some_and(|id| !self.document.node(id).never);
        takes(node.additional) || takes(node.unevaluated) || node.may_evaluate()
    }

    /// Adds what the other alternatives of an `anyOf` list: a value may satisfy several.
    fn beside(&self, shape: &mut ObjectShape<'a>) {
        let mut todo = self.alternative.beside.clone();
        let mut seen = BTreeSet::new();
        let any: Parts = Vec::new().into();
        while let Some(id) = todo.pop() {
            if !seen.insert(id) {
                continue;
            }
            let node = self.document.node(id);
            todo.extend(node.reference.iter().chain(&node.all));
            todo.extend(node.any.iter().chain(&node.one).flatten());
            if let Some((condition, then, otherwise)) = node.condition {
                todo.extend([Some(condition), then, otherwise].into_iter().flatten());
            }
            let refused = self
                .nodes()
                .any(|own| own.additional.is_some_and(|id| self.document.node(id).never));
            if refused {
                continue;
            }
            for name in node.properties.iter().flat_map(BTreeMap::keys) {
                shape.named.entry(name).or_insert_with(|| Some(Rc::clone(&any)));
            }
            for (text, _) in &node.patterns {
                shape.patterns.push((text, Rc::clone(&any)));
            }
            if self.takes_others(node) && shape.others.is_none() {
                shape.others = Some(Rc::clone(&any));
            }
        }
    }
}

/// What a part says of the property `name`.
fn at_name(node: &Node<'_>, name: &str) -> Vec<Id> {
    let matching = node
        .patterns
        .iter()
        .filter(|(text, _)| pattern::matches(text, name) == Some(true));
    let mut parts: Vec<Id> = matching.map(|(_, id)| *id).collect();
    if let Some(id) = node
        .properties
        .as_ref()
        .and_then(|properties| properties.get(name))
    {
        parts.push(*id);
    } else if node.patterns.is_empty() {
        parts.extend(node.additional);
    }
    parts
}

/// The largest least, and the smallest most.
fn counts(all: impl Iterator<Item = (u64, Option<u64>)>) -> (u64, Option<u64>) {
    all.fold((0, None), |(least, most), (own_least, own_most)| {
        let smaller = match (most, own_most) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        (least.max(own_least), smaller)
    })
}
