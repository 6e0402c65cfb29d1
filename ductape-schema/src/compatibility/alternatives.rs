//! A schema without its alternatives: each way to satisfy it by itself.

use std::collections::BTreeSet;

use super::document::Document;
use super::equal::equal;
use super::node::{ARRAY, BOOL, FRACTION, INTEGER, Id, NULL, Node, OBJECT, STRING};

/// The most alternatives that are told apart; past it, a union is taken for one that lets everything through.
const ALTERNATIVES_MAX: usize = 1024;

/// One way to satisfy some parts.
#[derive(Clone, Debug)]
pub(super) struct Alternative {
    /// The parts that hold then, each once.
    pub(super) parts: Vec<Id>,
    pub(super) types: u8,
    /// The other alternatives of each `anyOf`, which may hold as well.
    pub(super) beside: Vec<Id>,
}

/// A choice that is still to be made: each of its ways with what may hold beside it.
type Choice = Vec<(Vec<Id>, Vec<Id>)>;

struct Open {
    alternative: Alternative,
    seen: BTreeSet<Id>,
    todo: Vec<Id>,
    choices: Vec<Choice>,
}

/// The ways to satisfy all of `parts`.
pub(super) fn alternatives(document: &Document<'_>, parts: &[Id]) -> Vec<Alternative> {
    let mut found = Vec::new();
    let mut open = vec![Open {
        alternative: Alternative {
            parts: Vec::new(),
            types: NULL | BOOL | INTEGER | FRACTION | STRING | ARRAY | OBJECT,
            beside: Vec::new(),
        },
        seen: BTreeSet::new(),
        todo: parts.to_vec(),
        choices: Vec::new(),
    }];
    while let Some(mut one) = open.pop() {
        if !one.gather(document) {
            continue;
        }
        match one.choices.pop() {
            None => found.push(one.alternative),
            Some(choice) if found.len() + open.len() + choice.len() > ALTERNATIVES_MAX => {
                // What a part that is left out evaluates is not known.
                let all = choice
                    .into_iter()
                    .flat_map(|(way, beside)| way.into_iter().chain(beside));
                one.alternative.beside.extend(all.collect::<BTreeSet<Id>>());
                open.push(one);
            }
            Some(choice) => {
                for (way, beside) in choice.into_iter().rev() {
                    let mut alternative = one.alternative.clone();
                    alternative.beside.extend(beside);
                    open.push(Open {
                        alternative,
                        seen: one.seen.clone(),
                        todo: way,
                        choices: one.choices.clone(),
                    });
                }
            }
        }
    }
    found
}

impl Open {
    /// Adds what holds without a choice; `false` where nothing can satisfy it.
    fn gather(&mut self, document: &Document<'_>) -> bool {
        while let Some(id) = self.todo.pop() {
            if !self.seen.insert(id) {
                continue;
            }
            let node = document.node(id);
            self.alternative.types &= node.types;
            if node.never || self.alternative.types == 0 {
                return false;
            }
            if clashes(document, &self.alternative.parts, node) {
                return false;
            }
            self.alternative.parts.push(id);
            self.todo.extend(node.reference.iter().chain(&node.all));
            if let Some(any) = &node.any {
                let beside = |at: usize| {
                    let others = any.iter().enumerate().filter(|(other, _)| *other != at);
                    let others = others.filter(|(_, id)| !clashes(document, &[any[at]], document.node(**id)));
                    others.map(|(_, id)| *id).collect()
                };
                let ways = any.iter().enumerate();
                self.choices
                    .push(ways.map(|(at, id)| (vec![*id], beside(at))).collect());
            }
            if let Some(one) = &node.one {
                self.choices
                    .push(one.iter().map(|id| (vec![*id], Vec::new())).collect());
            }
            // Which of them hold is not followed; what they list may be written, and closes nothing.
            if let Some((condition, then, otherwise)) = node.condition {
                let parts = [Some(condition), then, otherwise];
                self.alternative.beside.extend(parts.into_iter().flatten());
            }
        }
        true
    }
}

/// Whether no value satisfies `node` and all of `parts`, as far as that is seen at once: a tag that differs.
fn clashes(document: &Document<'_>, parts: &[Id], node: &Node<'_>) -> bool {
    let clash = |id: &Id| {
        let other = document.node(*id);
        differ(other, node) || tag_differs(document, other, node) || tag_differs(document, node, other)
    };
    parts.iter().any(clash)
}

fn differ(a: &Node<'_>, b: &Node<'_>) -> bool {
    if a.types & b.types == 0 {
        return true;
    }
    match (&a.values, &b.values) {
        (Some(a), Some(b)) => !a.iter().any(|a| b.iter().any(|b| equal(a, b))),
        _ => false,
    }
}

/// Whether a property that `a` requires is another in `b`.
fn tag_differs(document: &Document<'_>, a: &Node<'_>, b: &Node<'_>) -> bool {
    let (Some(own), Some(its)) = (&a.properties, &b.properties) else {
        return false;
    };
    if (a.types | b.types) & !OBJECT != 0 {
        return false;
    }
    a.required
        .iter()
        .any(|name| match (own.get(name), its.get(name)) {
            (Some(a), Some(b)) => differ(document.node(*a), document.node(*b)),
            _ => false,
        })
}
