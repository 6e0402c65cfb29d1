//! Whether a reader takes nothing of what a writer writes: what tells the alternatives of a union apart.

use std::collections::BTreeSet;

use serde_json::Value;

use super::comparison::Comparison;
use super::fits::{self, Fits, fits};
use super::node::{Id, Node};
use super::number::Num;
use super::shape::{ArrayShape, Kind, ObjectShape, Shape};
use super::words;

impl<'d> Comparison<'d> {
    /// Whether nothing of `shape` fits the part `reader`, as far as that can be shown.
    pub(super) fn apart(&mut self, shape: &Shape<'d>, reader: Id) -> bool {
        if let Kind::Values(values) = &shape.kind {
            return values
                .iter()
                .all(|value| fits(self.reader, reader, value) == Fits::No);
        }
        if !self.enter() {
            return false;
        }
        let is_apart = self.parts_apart(shape, self.reader.node(reader));
        self.leave();
        is_apart
    }

    fn parts_apart(&mut self, shape: &Shape<'d>, node: &'d Node<'d>) -> bool {
        if node.never || words::bits(&shape.kind) & node.types == 0 {
            return true;
        }
        if let Some(values) = &node.values
            && values.iter().all(|value| !may_be(&shape.kind, value))
        {
            return true;
        }
        let own = match &shape.kind {
            Kind::Values(_) => false,
            Kind::Number(number) => {
                let mut both = number.range;
                both.intersect(&node.range);
                both.is_empty()
            }
            Kind::Text(text) => counts_apart((text.least, text.most), node.lengths),
            Kind::Array(array) => self.array_apart(array, node),
            Kind::Object(object) => self.object_apart(object, node),
        };
        if own {
            return true;
        }
        if node
            .reference
            .iter()
            .chain(&node.all)
            .any(|id| self.apart(shape, *id))
        {
            return true;
        }
        for ways in [&node.any, &node.one].into_iter().flatten() {
            if ways.iter().all(|way| self.apart(shape, *way)) {
                return true;
            }
        }
        node.not.is_some_and(|not| self.within(shape, not).is_empty())
    }

    fn array_apart(&mut self, shape: &ArrayShape, node: &'d Node<'d>) -> bool {
        if counts_apart((shape.least, shape.most), node.item_counts) {
            return true;
        }
        let sure = usize::try_from(shape.least).unwrap_or(usize::MAX);
        let listed = shape.prefix.len().max(node.prefix.len()) + 1;
        (0..sure.min(listed)).any(|at| {
            let own = shape.prefix.get(at).unwrap_or(&shape.rest);
            let its = node.prefix.get(at).copied().or(node.items);
            its.is_some_and(|its| self.place_apart(own, its))
        })
    }

    fn object_apart(&mut self, shape: &ObjectShape<'d>, node: &'d Node<'d>) -> bool {
        if counts_apart((shape.least, shape.most()), node.property_counts) {
            return true;
        }
        if node.required.iter().any(|name| shape.at(name).is_empty()) {
            return true;
        }
        // A field that is surely there, or must be, and whose values all are others than the reader's.
        let sure = shape.required.iter().chain(&node.required);
        let mut fields: Vec<&str> = sure.copied().collect();
        fields.dedup();
        fields.into_iter().any(|name| {
            let named = node
                .properties
                .as_ref()
                .and_then(|properties| properties.get(name));
            let its = match named {
                Some(part) => Some(*part),
                None if node.patterns.is_empty() => node.additional,
                None => None,
            };
            its.is_some_and(|its| shape.at(name).iter().all(|own| self.place_apart(own, its)))
        })
    }

    /// Whether `way` is meant for `shape`, though it may not take it: the tag is the same, or all fields that it requires may be
    /// there. What is wrong with it then is what people want to know.
    pub(super) fn is_near(&mut self, shape: &Shape<'d>, way: Id) -> bool {
        let mut todo = vec![way];
        let mut seen = BTreeSet::new();
        let tag = self.tag(shape);
        while let Some(id) = todo.pop() {
            let node = self.reader.node(id);
            if node.never || words::bits(&shape.kind) & node.types == 0 {
                return false;
            }
            if seen.insert(id) {
                todo.extend(node.reference.iter().chain(&node.all));
            }
            let Kind::Object(object) = &shape.kind else {
                continue;
            };
            let lacks = |name: &&str| object.at(name).is_empty();
            match &tag {
                Some((name, value)) => {
                    let its = node
                        .properties
                        .as_ref()
                        .and_then(|properties| properties.get(*name));
                    if its.is_some_and(|its| fits(self.reader, *its, value) == Fits::No) {
                        return false;
                    }
                }
                None if node.required.iter().any(lacks) => return false,
                None => {}
            }
        }
        true
    }

    /// The field that tells a shape from others: required, and always the same text.
    fn tag<'s>(&mut self, shape: &'s Shape<'d>) -> Option<(&'s str, &'d Value)> {
        let Kind::Object(object) = &shape.kind else {
            return None;
        };
        for (name, parts) in &object.named {
            let Some(parts) = parts.as_ref().filter(|_| object.required.contains(name)) else {
                continue;
            };
            if let [tag] = &*self.shapes(parts)
                && let Kind::Values(values) = &tag.kind
                && let [value] = values.as_slice()
                && value.is_string()
            {
                return Some((name, value));
            }
        }
        None
    }

    /// A shape as people would call it: by its tag, or by its fields.
    pub(super) fn shown(&mut self, shape: &Shape<'d>) -> String {
        const MOST: usize = 3;
        let Kind::Object(object) = &shape.kind else {
            return words::of(&shape.kind);
        };
        if let Some((name, value)) = self.tag(shape) {
            return format!("an object with `{name}` {}", words::value(value));
        }
        let names: Vec<String> = object
            .required
            .iter()
            .take(MOST)
            .map(|name| format!("`{name}`"))
            .collect();
        if names.is_empty() {
            return "an object".to_owned();
        }
        format!("an object with {}", names.join(", "))
    }
}

fn counts_apart((least, most): (u64, Option<u64>), (its_least, its_most): (u64, Option<u64>)) -> bool {
    its_most.is_some_and(|its_most| least > its_most) || most.is_some_and(|most| most < its_least)
}

/// Whether a value may be one of a shape's; `true` where that is not known.
fn may_be(kind: &Kind<'_>, value: &Value) -> bool {
    if fits::kind(value) & words::bits(kind) == 0 {
        return false;
    }
    match (kind, value) {
        (Kind::Number(shape), Value::Number(number)) => shape.range.has(Num::of(number)),
        (Kind::Text(shape), Value::String(text)) => {
            let length = text.chars().count() as u64;
            length >= shape.least && shape.most.is_none_or(|most| length <= most)
        }
        (Kind::Object(shape), Value::Object(fields)) => {
            let is_there = |name: &&str| fields.contains_key(*name);
            shape.required.iter().all(is_there) && fields.keys().all(|name| !shape.at(name).is_empty())
        }
        _ => true,
    }
}
