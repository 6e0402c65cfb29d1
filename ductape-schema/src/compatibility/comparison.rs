//! Whether a reader takes all that a writer writes.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::document::Document;
use super::fits::{Fits, fits};
use super::node::Id;
use super::shape::{Kind, Parts, Shape, shapes};
use super::words::{self, Step, Why};

/// The work that one comparison may take; past it, what is left can't be shown.
const STEPS_MAX: u32 = 500_000;
/// How deep schemas are followed into each other.
const DEPTH_MAX: usize = 150;
/// The most that is told of one place.
const WHYS_MAX: usize = 50;

/// What is asked of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Question {
    /// Whether the reader takes all that is written.
    Within,
    /// Whether it takes nothing of it.
    Apart,
}

type Key = (Question, Parts, Id);

#[derive(Clone, Debug)]
enum Known {
    /// It is being looked at further out. What is asked within concerns smaller values, so that it may be taken to hold.
    Open,
    Holds,
    Fails(Rc<[Why]>),
}

/// One comparison.
pub(super) struct Comparison<'d> {
    pub(super) writer: &'d Document<'d>,
    pub(super) reader: &'d Document<'d>,
    /// `old` and `new`, as they are called to people.
    pub(super) writes: &'static str,
    pub(super) reads: &'static str,
    shapes: HashMap<Parts, Rc<[Shape<'d>]>>,
    known: HashMap<Key, Known>,
    /// What was found to hold, in the order in which it was: taken back with what it was found upon.
    trail: Vec<Key>,
    equal: HashSet<(Id, Id)>,
    unequal: HashSet<(Id, Id)>,
    steps: u32,
    depth: usize,
}

impl<'d> Comparison<'d> {
    pub(super) fn new(
        writer: &'d Document<'d>,
        reader: &'d Document<'d>,
        names: (&'static str, &'static str),
    ) -> Self {
        Self {
            writer,
            reader,
            writes: names.0,
            reads: names.1,
            shapes: HashMap::new(),
            known: HashMap::new(),
            trail: Vec::new(),
            equal: HashSet::new(),
            unequal: HashSet::new(),
            steps: STEPS_MAX,
            depth: 0,
        }
    }

    /// Why the reader does not take all that the writer writes.
    pub(super) fn whole(&mut self) -> Vec<Why> {
        self.place(&Parts::from([0]), 0)
    }

    /// Why the part `reader` does not take what satisfies `parts`.
    pub(super) fn place(&mut self, parts: &Parts, reader: Id) -> Vec<Why> {
        if parts.iter().any(|part| self.same(*part, reader)) {
            return Vec::new();
        }
        let key = (Question::Within, sorted(parts), reader);
        match self.known.get(&key) {
            Some(Known::Open | Known::Holds) => return Vec::new(),
            Some(Known::Fails(whys)) => return whys.to_vec(),
            None => {}
        }
        if !self.enter() {
            return vec![self.too_much()];
        }
        self.known.insert(key.clone(), Known::Open);
        let began = self.trail.len();
        let mut whys = Vec::new();
        for shape in self.shapes(&key.1).iter() {
            whys.append(&mut self.within(shape, reader));
            words::without_repeats(&mut whys, WHYS_MAX);
            if whys.len() == WHYS_MAX {
                break;
            }
        }
        self.depth -= 1;
        if whys.is_empty() {
            self.known.insert(key.clone(), Known::Holds);
            self.trail.push(key);
        } else {
            for taken_back in self.trail.drain(began..) {
                self.known.remove(&taken_back);
            }
            self.known.insert(key, Known::Fails(whys.clone().into()));
        }
        whys
    }

    /// Whether nothing that satisfies `parts` fits the part `reader`, as far as that can be shown.
    pub(super) fn place_apart(&mut self, parts: &Parts, reader: Id) -> bool {
        let key = (Question::Apart, sorted(parts), reader);
        match self.known.get(&key) {
            Some(Known::Holds) => return true,
            Some(Known::Open | Known::Fails(_)) => return false,
            None => {}
        }
        if !self.enter() {
            return false;
        }
        self.known.insert(key.clone(), Known::Open);
        let all = Rc::clone(&self.shapes(&key.1));
        let is_apart = all.iter().all(|shape| self.apart(shape, reader));
        self.depth -= 1;
        if is_apart {
            self.known.insert(key.clone(), Known::Holds);
            self.trail.push(key);
        } else {
            self.known.insert(key, Known::Fails(Rc::new([])));
        }
        is_apart
    }

    /// Why the part `reader` does not take all of `shape`, at the same place.
    pub(super) fn within(&mut self, shape: &Shape<'d>, reader: Id) -> Vec<Why> {
        if shape.parts.iter().any(|part| self.same(*part, reader)) {
            return Vec::new();
        }
        if !self.enter() {
            return vec![self.too_much()];
        }
        let whys = match &shape.kind {
            Kind::Values(values) => self.values(values, reader),
            _ => self.parts(shape, reader),
        };
        self.depth -= 1;
        whys
    }

    fn values(&mut self, values: &[&'d serde_json::Value], reader: Id) -> Vec<Why> {
        let mut whys = Vec::new();
        for value in values {
            let shown = words::value(value);
            match fits(self.reader, reader, value) {
                Fits::Yes => {}
                Fits::No => whys.push(Why::new(format!(
                    "{} messages may have {shown} here, which {} consumers don't know",
                    self.writes, self.reads
                ))),
                Fits::Unknown => whys.push(Why::new(format!(
                    "it can't be shown that {} consumers take {shown}, which {} messages may have here",
                    self.reads, self.writes
                ))),
            }
            if whys.len() == WHYS_MAX {
                break;
            }
        }
        whys
    }

    fn parts(&mut self, shape: &Shape<'d>, reader: Id) -> Vec<Why> {
        let node = self.reader.node(reader);
        if node.never {
            return vec![Why::new(format!("{} consumers take nothing here", self.reads))];
        }
        let mut whys = Vec::new();
        for keyword in &node.opaque {
            whys.push(Why::new(format!(
                "it can't be shown that {} consumers take what {} messages have here: `{keyword}` is not followed",
                self.reads, self.writes
            )));
        }
        if let Some(values) = &node.values {
            let known = words::values(values);
            whys.push(Why::new(format!(
                "{} consumers know only {known}, and {} messages may have {} here",
                self.reads,
                self.writes,
                words::of(&shape.kind)
            )));
            return whys;
        }
        if words::bits(&shape.kind) & !node.types != 0 {
            whys.push(Why::new(format!(
                "{} consumers take {} here, and {} messages may have {}",
                self.reads,
                words::types(node.types),
                self.writes,
                words::of(&shape.kind)
            )));
            return whys;
        }
        match &shape.kind {
            Kind::Values(_) => {}
            Kind::Number(number) => self.number(number, node, &mut whys),
            Kind::Text(text) => self.text(text, node, &mut whys),
            Kind::Array(array) => self.array(array, node, &mut whys),
            Kind::Object(object) => self.object(object, shape, reader, &mut whys),
        }
        for id in node.reference.iter().chain(&node.all) {
            whys.append(&mut self.within(shape, *id));
        }
        if let Some(any) = &node.any {
            whys.append(&mut self.one_of(shape, any, false));
        }
        if let Some(one) = &node.one {
            whys.append(&mut self.one_of(shape, one, true));
        }
        if let Some(not) = node.not
            && !self.apart(shape, not)
        {
            whys.push(Why::new(format!(
                "it can't be shown that {} messages have nothing here that {} consumers refuse (`not`)",
                self.writes, self.reads
            )));
        }
        if let Some((condition, then, otherwise)) = node.condition {
            // Whichever of the two applies: it takes it all, or it does not apply.
            if then.is_some() && !self.apart(shape, condition) {
                whys.extend(then.into_iter().flat_map(|then| self.within(shape, then)));
            }
            if otherwise.is_some() && !self.within(shape, condition).is_empty() {
                whys.extend(
                    otherwise
                        .into_iter()
                        .flat_map(|otherwise| self.within(shape, otherwise)),
                );
            }
        }
        whys
    }

    /// Whether one of `ways` takes the shape; the only one, where `alone`.
    fn one_of(&mut self, shape: &Shape<'d>, ways: &[Id], alone: bool) -> Vec<Why> {
        let mut near = Vec::new();
        for (at, way) in ways.iter().enumerate() {
            let found = self.within(shape, *way);
            if !found.is_empty() {
                if self.is_near(shape, *way) {
                    near.push(found);
                }
                continue;
            }
            let is_alone = |(other, id): (usize, &Id)| other == at || self.apart(shape, *id);
            if !alone || ways.iter().enumerate().all(is_alone) {
                return found;
            }
            return vec![Why::new(format!(
                "it can't be shown that only one alternative of {} consumers takes {} of {} messages (`oneOf`)",
                self.reads,
                words::of(&shape.kind),
                self.writes
            ))];
        }
        if near.len() == 1
            && let Some(found) = near.pop()
        {
            return found;
        }
        let what = self.shown(shape);
        vec![Why::new(if near.is_empty() {
            format!(
                "{} messages may have {what} here, which none of the {} alternatives of {} consumers is",
                self.writes,
                ways.len(),
                self.reads
            )
        } else {
            format!(
                "it can't be shown that one of the {} alternatives of {} consumers takes {what}, which {} messages may have here",
                ways.len(),
                self.reads,
                self.writes
            )
        })]
    }

    pub(super) fn shapes(&mut self, parts: &Parts) -> Rc<[Shape<'d>]> {
        if let Some(shapes) = self.shapes.get(parts) {
            return Rc::clone(shapes);
        }
        let made: Rc<[Shape<'d>]> = shapes(self.writer, parts).into();
        let parts_made = made.iter().map(|shape| shape.parts.len()).sum::<usize>();
        self.steps = self
            .steps
            .saturating_sub(u32::try_from(parts_made).unwrap_or(u32::MAX));
        self.shapes.insert(Rc::clone(parts), Rc::clone(&made));
        made
    }

    /// Whether a part of the writer and one of the reader say the same, with all that they refer to.
    pub(super) fn same(&mut self, writer: Id, reader: Id) -> bool {
        if self.equal.contains(&(writer, reader)) {
            return true;
        }
        if self.unequal.contains(&(writer, reader)) {
            return false;
        }
        let mut seen = HashSet::new();
        let mut todo = vec![(writer, reader)];
        while let Some((a, b)) = todo.pop() {
            if self.equal.contains(&(a, b)) || !seen.insert((a, b)) {
                continue;
            }
            self.steps = self.steps.saturating_sub(1);
            let (own, its) = (self.writer.node(a), self.reader.node(b));
            if self.steps == 0 || self.unequal.contains(&(a, b)) || !own.says_as(its) {
                self.unequal.insert((a, b));
                self.unequal.insert((writer, reader));
                return false;
            }
            todo.extend(own.children.iter().copied().zip(its.children.iter().copied()));
        }
        self.equal.extend(seen);
        true
    }

    /// Begins to look at something; `false` where that would be too much.
    pub(super) fn enter(&mut self) -> bool {
        if self.steps == 0 || self.depth >= DEPTH_MAX {
            return false;
        }
        self.steps -= 1;
        self.depth += 1;
        true
    }

    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    fn too_much(&self) -> Why {
        Why::new(format!(
            "it can't be shown that {} consumers take what {} messages have here: the schemas are nested too deeply, or too large",
            self.reads, self.writes
        ))
    }

    /// Adds what is wrong with a part within, one step further in.
    pub(super) fn inner(&mut self, step: &Step, parts: &Parts, reader: Id, whys: &mut Vec<Why>) {
        if whys.len() >= WHYS_MAX {
            return;
        }
        for mut why in self.place(parts, reader) {
            why.path.push(step.clone());
            whys.push(why);
        }
    }
}

fn sorted(parts: &Parts) -> Parts {
    let mut all = parts.to_vec();
    all.sort_unstable();
    all.dedup();
    all.into()
}
