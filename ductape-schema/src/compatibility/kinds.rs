//! Numbers, texts, arrays and objects against the keywords of a reader.

use std::collections::BTreeSet;

use serde_json::Value;

use super::comparison::Comparison;
use super::fits::{Fits, fits};
use super::node::{Id, Node};
use super::number::{Num, Range};
use super::pattern;
use super::shape::{ArrayShape, NumberShape, ObjectShape, Parts, Shape, TextShape};
use super::words::{self, Step, Why};

/// The fields that a reader looks at.
#[derive(Default)]
struct Evaluated<'a> {
    all: bool,
    names: BTreeSet<&'a str>,
}

impl<'d> Comparison<'d> {
    pub(super) fn number(&self, shape: &NumberShape<'d>, node: &Node<'d>, whys: &mut Vec<Why>) {
        let (reads, writes) = (self.reads, self.writes);
        if !node.range.holds_low_of(&shape.range) || !node.range.holds_high_of(&shape.range) {
            whys.push(Why::new(format!(
                "{writes} messages may have a number here that is out of the range of {reads} consumers"
            )));
            return;
        }
        for multiple in &node.multiples {
            let own = |own: &Num| own.is_multiple_of(*multiple);
            let is_one = shape.is_whole && Num::Int(1).is_multiple_of(*multiple);
            if !is_one && !shape.multiples.iter().any(own) {
                whys.push(Why::new(format!(
                    "it can't be shown that each number of {writes} messages is a multiple that {reads} consumers take"
                )));
            }
        }
        let Some(format) = node.format else { return };
        let fits = match Range::of_format(format) {
            Some(range) => {
                let mut own = shape.range;
                let formats = shape.formats.iter().filter_map(|format| Range::of_format(format));
                let mut has_format = false;
                for format in formats {
                    own.intersect(&format);
                    has_format = true;
                }
                if !has_format && let Some(usual) = Range::of_format("int64") {
                    // Where nothing is said, an integer is what most languages take for one.
                    own.intersect(&usual);
                }
                range.holds_low_of(&own) && range.holds_high_of(&own)
            }
            // Each number is read as a float.
            None => matches!(format, "float" | "double") || shape.formats.contains(&format),
        };
        if !fits {
            whys.push(Why::new(format!(
                "{writes} messages may have a number here that `{format}` of {reads} consumers does not hold"
            )));
        }
    }

    pub(super) fn text(&self, shape: &TextShape<'d>, node: &Node<'d>, whys: &mut Vec<Why>) {
        let (reads, writes) = (self.reads, self.writes);
        let (least, most) = node.lengths;
        if shape.least < least {
            whys.push(Why::new(format!(
                "{reads} consumers take {least} characters or more, and {writes} messages may have {}",
                shape.least
            )));
        }
        self.most("characters", shape.most, most, whys);
        if let Some(pattern) = node.pattern
            && !shape.patterns.contains(&pattern)
            && !shape.patterns.iter().any(|own| pattern::implies(own, pattern))
        {
            whys.push(Why::new(format!(
                "it can't be shown that what {writes} messages have here matches `{pattern}`, which {reads} consumers ask for"
            )));
        }
        if let Some(format) = node.format
            && !shape.formats.contains(&format)
        {
            whys.push(Why::new(format!(
                "{reads} consumers take a `{format}` here, and {writes} messages may have any other text"
            )));
        }
    }

    fn most(&self, what: &str, own: Option<u64>, most: Option<u64>, whys: &mut Vec<Why>) {
        let Some(most) = most.filter(|most| own.is_none_or(|own| own > *most)) else {
            return;
        };
        let own = own.map_or_else(|| "any number".to_owned(), |own| own.to_string());
        whys.push(Why::new(format!(
            "{} consumers take {most} {what} at most, and {} messages may have {own}",
            self.reads, self.writes
        )));
    }

    pub(super) fn array(&mut self, shape: &ArrayShape, node: &'d Node<'d>, whys: &mut Vec<Why>) {
        let (least, most) = node.item_counts;
        if shape.least < least {
            whys.push(Why::new(format!(
                "{} consumers take {least} items or more, and {} messages may have {}",
                self.reads, self.writes, shape.least
            )));
        }
        self.most("items", shape.most, most, whys);
        if node.unique && !shape.is_unique && shape.most.is_none_or(|most| most > 1) {
            whys.push(Why::new(format!(
                "{} consumers take no item twice, and {} messages may have one twice",
                self.reads, self.writes
            )));
        }
        let listed = shape.prefix.len().max(node.prefix.len());
        for at in 0..listed {
            if shape.most.is_some_and(|most| most <= at as u64) {
                return;
            }
            if let Some(part) = node.prefix.get(at).copied().or(node.items) {
                let own = shape.prefix.get(at).unwrap_or(&shape.rest);
                self.inner(&Step::Item(at), own, part, whys);
            }
        }
        if let Some(part) = node.items
            && shape.most.is_none_or(|most| most > listed as u64)
        {
            self.inner(&Step::Items, &shape.rest, part, whys);
        }
    }

    pub(super) fn object(
        &mut self,
        shape: &ObjectShape<'d>,
        whole: &Shape<'d>,
        reader: Id,
        whys: &mut Vec<Why>,
    ) {
        let node = self.reader.node(reader);
        let (reads, writes) = (self.reads, self.writes);
        for name in node
            .required
            .iter()
            .filter(|name| !shape.required.contains(*name))
        {
            let text = if shape.at(name).is_empty() {
                format!("{reads} consumers require it, and {writes} messages don't have it")
            } else {
                format!("{reads} consumers require it, and {writes} messages may lack it")
            };
            whys.push(Why::at_field(name, text));
        }
        for (name, part) in node.properties.iter().flatten() {
            for own in shape.at(name) {
                self.inner(&Step::Field((*name).to_owned()), &own, *part, whys);
            }
        }
        self.patterns(shape, node, whys);
        if let Some(additional) = node.additional {
            let known = Evaluated {
                all: false,
                names: node
                    .properties
                    .iter()
                    .flat_map(|properties| properties.keys().copied())
                    .collect(),
            };
            self.others(shape, node, &known, additional, whys);
        }
        if let Some(unevaluated) = node.unevaluated {
            let mut known = Evaluated::default();
            self.evaluated(whole, reader, &mut known);
            if !known.all {
                self.others(shape, node, &known, unevaluated, whys);
            }
        }
        let (least, most) = node.property_counts;
        if shape.least < least {
            whys.push(Why::new(format!(
                "{reads} consumers take {least} fields or more, and {writes} messages may have {}",
                shape.least
            )));
        }
        self.most("fields", shape.most(), most, whys);
        if let Some(names) = node.names {
            self.names(shape, names, whys);
        }
        for (name, needs) in &node.dependent_required {
            for need in needs.iter().filter(|need| !shape.required.contains(*need)) {
                if !shape.at(name).is_empty() {
                    let text = format!(
                        "{reads} consumers require it beside `{name}`, and {writes} messages may lack it"
                    );
                    whys.push(Why::at_field(need, text));
                }
            }
        }
        for (name, part) in &node.dependent {
            if !shape.at(name).is_empty() {
                whys.append(&mut self.within(whole, *part));
            }
        }
    }

    fn patterns(&mut self, shape: &ObjectShape<'d>, node: &'d Node<'d>, whys: &mut Vec<Why>) {
        for (text, part) in &node.patterns {
            if let Some((_, own)) = shape.patterns.iter().find(|(own, _)| own == text) {
                self.inner(&Step::Fields, own, *part, whys);
                continue;
            }
            for (name, own) in &shape.named {
                if let Some(own) = own
                    && pattern::matches(text, name) != Some(false)
                {
                    self.inner(&Step::Field((*name).to_owned()), own, *part, whys);
                }
            }
            let patterns = shape.patterns.iter().map(|(_, own)| own);
            for own in patterns.chain(&shape.others) {
                self.inner(&Step::Fields, own, *part, whys);
            }
        }
    }

    /// Holds the fields that the reader does not know to what it says of others.
    fn others(
        &mut self,
        shape: &ObjectShape<'d>,
        node: &'d Node<'d>,
        known: &Evaluated<'d>,
        part: Id,
        whys: &mut Vec<Why>,
    ) {
        let is_closed = self.reader.node(part).never;
        let matching = |name: &str| {
            node.patterns
                .iter()
                .any(|(text, _)| pattern::matches(text, name) == Some(true))
        };
        for (name, own) in &shape.named {
            let Some(own) = own else { continue };
            if known.names.contains(name) || matching(name) {
                continue;
            }
            if !is_closed {
                self.inner(&Step::Field((*name).to_owned()), own, part, whys);
            } else if !self.is_impossible(own) {
                let text = format!(
                    "{} messages may have it, and {} consumers refuse fields that they don't know",
                    self.writes, self.reads
                );
                whys.push(Why::at_field(name, text));
            }
        }
        for (text, own) in &shape.patterns {
            if !node.patterns.iter().any(|(its, _)| pattern::implies(text, its)) {
                self.inner(&Step::Fields, own, part, whys);
            }
        }
        if let Some(own) = &shape.others {
            self.inner(&Step::Fields, own, part, whys);
        }
    }

    fn is_impossible(&mut self, parts: &Parts) -> bool {
        self.shapes(parts).is_empty()
    }

    /// The fields that a part of the reader surely looks at where it takes `shape`.
    fn evaluated(&mut self, shape: &Shape<'d>, reader: Id, known: &mut Evaluated<'d>) {
        if known.all || !self.enter() {
            return;
        }
        let node = self.reader.node(reader);
        known.all = node.additional.is_some();
        known.names.extend(
            node.properties
                .iter()
                .flat_map(|properties| properties.keys().copied()),
        );
        for id in node.reference.iter().chain(&node.all) {
            self.evaluated(shape, *id, known);
        }
        for id in node.any.iter().chain(&node.one).flatten() {
            if self.within(shape, *id).is_empty() {
                self.evaluated(shape, *id, known);
            }
        }
        self.leave();
    }

    fn names(&mut self, shape: &ObjectShape<'d>, names: Id, whys: &mut Vec<Why>) {
        for (name, own) in &shape.named {
            let text = Value::from(*name);
            if own.is_some() && fits(self.reader, names, &text) != Fits::Yes {
                let text = format!(
                    "it can't be shown that {} consumers take a field of this name, {}",
                    self.reads,
                    words::value(&text)
                );
                whys.push(Why::at_field(name, text));
            }
        }
        if shape.others.is_some() || !shape.patterns.is_empty() {
            let own: Parts = shape.names.iter().copied().chain([self.writer.string]).collect();
            self.inner(&Step::Fields, &own, names, whys);
        }
    }
}
