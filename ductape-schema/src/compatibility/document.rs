//! A schema as the checker reads it: its parts in one list, each reference resolved.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::equal::equal;
use super::node::{ARRAY, BOOL, FRACTION, INTEGER, Id, NULL, Node, OBJECT, STRING};
use super::number::{Bound, Num, Range};

/// The deepest nesting of parts that is read. Text that is parsed is nested less deeply: `serde_json` stops at 128.
const DEPTH_MAX: usize = 130;

/// Keywords that say which values fit in ways that the checker does not follow.
const OPAQUE: &[&str] = &[
    "minContains",
    "maxContains",
    "additionalItems",
    "dependencies",
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "$recursiveAnchor",
];

/// A schema with all its parts.
#[derive(Debug)]
pub(super) struct Document<'a> {
    nodes: Vec<Node<'a>>,
    /// `{"type": "string"}`, for the names of properties.
    pub(super) string: Id,
}

impl<'a> Document<'a> {
    /// The root is part 0.
    pub(super) fn read(schema: &'a Value) -> Self {
        let mut reader = Reader {
            nodes: Vec::new(),
            places: HashMap::new(),
            references: Vec::new(),
            has_inner_ids: false,
        };
        reader.read(schema, String::new(), 0);
        let references = std::mem::take(&mut reader.references);
        for (id, text) in references {
            let place = text.strip_prefix('#').map(decoded);
            let found = place.and_then(|place| reader.places.get(&place).copied());
            let node = &mut reader.nodes[id];
            if let Some(target) = found.filter(|_| !reader.has_inner_ids) {
                node.reference = Some(target);
                node.children.push(target);
            } else {
                node.opaque.push("$ref");
                node.is_unlike = true;
            }
        }
        let string = reader.nodes.len();
        reader.nodes.push(Node {
            types: STRING,
            ..Node::any()
        });
        Self {
            nodes: reader.nodes,
            string,
        }
    }

    pub(super) fn node(&self, id: Id) -> &Node<'a> {
        &self.nodes[id]
    }
}

struct Reader<'a> {
    nodes: Vec<Node<'a>>,
    /// By JSON Pointer, and by anchor.
    places: HashMap<String, Id>,
    references: Vec<(Id, &'a str)>,
    has_inner_ids: bool,
}

impl<'a> Reader<'a> {
    fn read(&mut self, schema: &'a Value, place: String, depth: usize) -> Id {
        let id = self.nodes.len();
        self.nodes.push(Node::any());
        let mut node = Node::any();
        match schema {
            Value::Bool(fits) => node.never = !fits,
            Value::Object(_) if depth >= DEPTH_MAX => {
                node.opaque.push("a nesting as deep as this");
                node.is_unlike = true;
            }
            Value::Object(keywords) => {
                if let Some(Value::String(anchor)) = keywords.get("$anchor") {
                    self.places.insert(anchor.clone(), id);
                }
                self.has_inner_ids |= depth > 0 && keywords.contains_key("$id");
                // In one order, whichever way the map keeps them.
                let sorted: BTreeMap<&str, &Value> = keywords
                    .iter()
                    .map(|(keyword, value)| (keyword.as_str(), value))
                    .collect();
                for (keyword, value) in sorted {
                    let mut part = Part {
                        reader: self,
                        node: &mut node,
                        id,
                        place: &place,
                        depth: depth + 1,
                    };
                    if part.keyword(keyword, value, keywords).is_none() {
                        node.opaque.push(keyword);
                        node.says(format_args!("{keyword}={value};"));
                        // What it refers to may have changed.
                        node.is_unlike |= keyword.starts_with('$') || refers(value);
                    }
                }
            }
            _ => {
                node.opaque.push("what is no schema");
                node.is_unlike = true;
            }
        }
        self.nodes[id] = node;
        self.places.insert(place, id);
        id
    }
}

/// A part while it is read.
struct Part<'r, 'a> {
    reader: &'r mut Reader<'a>,
    node: &'r mut Node<'a>,
    id: Id,
    place: &'r str,
    depth: usize,
}

impl<'a> Part<'_, 'a> {
    /// Reads one keyword; `None` where its value is not of the kind that it takes, or it is not followed.
    fn keyword(&mut self, keyword: &'a str, value: &'a Value, all: &'a Map<String, Value>) -> Option<()> {
        match keyword {
            "$defs" | "definitions" => {
                for (name, schema) in value.as_object()? {
                    let place = format!("{}/{keyword}/{}", self.place, escaped(name));
                    self.reader.read(schema, place, self.depth);
                }
                return Some(());
            }
            "$ref" => self.reader.references.push((self.id, value.as_str()?)),
            "type" => self.node.types &= types(value)?,
            "enum" => self.values(value.as_array()?.iter().collect()),
            "const" => self.values(vec![value]),
            "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum" => {
                let open = keyword.starts_with("exclusive");
                let bound = Some(Bound {
                    at: num(value)?,
                    open,
                });
                let (low, high) = if keyword.ends_with("inimum") {
                    (bound, None)
                } else {
                    (None, bound)
                };
                self.node.range.intersect(&Range { low, high });
            }
            "multipleOf" => self.node.multiples.push(num(value)?),
            "minLength" => self.node.lengths.0 = count(value)?,
            "maxLength" => self.node.lengths.1 = Some(count(value)?),
            "minItems" => self.node.item_counts.0 = count(value)?,
            "maxItems" => self.node.item_counts.1 = Some(count(value)?),
            "minProperties" => self.node.property_counts.0 = count(value)?,
            "maxProperties" => self.node.property_counts.1 = Some(count(value)?),
            "pattern" => self.node.pattern = Some(value.as_str()?),
            "format" => self.node.format = Some(value.as_str()?),
            "uniqueItems" => self.node.unique = value.as_bool()?,
            "required" => self.node.required = texts(value)?.into_iter().collect(),
            "dependentRequired" => {
                for (name, needs) in value.as_object()? {
                    self.node.dependent_required.push((name, texts(needs)?));
                }
            }
            _ => return self.with_parts(keyword, value, all),
        }
        if keyword != "$ref" {
            self.node.says(format_args!("{keyword}={value};"));
        }
        Some(())
    }

    /// Reads a keyword that holds schemas.
    fn with_parts(&mut self, keyword: &'a str, value: &'a Value, all: &'a Map<String, Value>) -> Option<()> {
        match keyword {
            "allOf" => self.node.all = self.list(keyword, value)?,
            "anyOf" => self.node.any = Some(self.list(keyword, value)?),
            "oneOf" => self.node.one = Some(self.list(keyword, value)?),
            "prefixItems" => self.node.prefix = self.list(keyword, value)?,
            "not" => self.node.not = Some(self.one(keyword, value)),
            "items" if !value.is_array() => self.node.items = Some(self.one(keyword, value)),
            "additionalProperties" => self.node.additional = Some(self.one(keyword, value)),
            "unevaluatedProperties" => self.node.unevaluated = Some(self.one(keyword, value)),
            "propertyNames" => self.node.names = Some(self.one(keyword, value)),
            "properties" => self.node.properties = Some(self.map(keyword, value)?.into_iter().collect()),
            "patternProperties" => self.node.patterns = self.map(keyword, value)?,
            "dependentSchemas" => self.node.dependent = self.map(keyword, value)?,
            "if" => {
                let condition = self.one(keyword, value);
                let then = all.get("then").map(|value| self.one("then", value));
                let otherwise = all.get("else").map(|value| self.one("else", value));
                self.node.condition = Some((condition, then, otherwise));
            }
            "contains" | "unevaluatedItems" => {
                self.one(keyword, value);
                self.node.opaque.push(keyword);
            }
            _ if OPAQUE.contains(&keyword) || keyword == "items" => return None,
            // Annotations, and what no draft knows, say nothing of which values fit.
            _ => {}
        }
        Some(())
    }

    fn one(&mut self, keyword: &str, value: &'a Value) -> Id {
        let place = format!("{}/{keyword}", self.place);
        let id = self.reader.read(value, place, self.depth);
        self.node.says(format_args!("{keyword}:_;"));
        self.node.children.push(id);
        id
    }

    fn list(&mut self, keyword: &str, value: &'a Value) -> Option<Vec<Id>> {
        let mut ids = Vec::new();
        for (at, schema) in value.as_array()?.iter().enumerate() {
            ids.push(self.one(&format!("{keyword}/{at}"), schema));
        }
        Some(ids)
    }

    fn map(&mut self, keyword: &str, value: &'a Value) -> Option<Vec<(&'a str, Id)>> {
        self.node.own.push_str(keyword);
        let sorted: BTreeMap<&str, &Value> = value
            .as_object()?
            .iter()
            .map(|(name, schema)| (name.as_str(), schema))
            .collect();
        let mut read = Vec::new();
        for (name, schema) in sorted {
            let id = self.one(&format!("{keyword}/{}", escaped(name)), schema);
            read.push((name, id));
        }
        Some(read)
    }

    fn values(&mut self, values: Vec<&'a Value>) {
        let left = match self.node.values.take() {
            None => values,
            Some(before) => before
                .into_iter()
                .filter(|value| values.iter().any(|other| equal(value, other)))
                .collect(),
        };
        self.node.values = Some(left);
    }
}

/// Whether a reference stands anywhere in it.
fn refers(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name.starts_with('$') || refers(value)),
        Value::Array(items) => items.iter().any(refers),
        _ => false,
    }
}

fn num(value: &Value) -> Option<Num> {
    value.as_number().map(Num::of)
}

fn count(value: &Value) -> Option<u64> {
    num(value)?.count()
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

fn types(value: &Value) -> Option<u8> {
    let bits = |name: &Value| {
        Some(match name.as_str()? {
            "null" => NULL,
            "boolean" => BOOL,
            "integer" => INTEGER,
            "number" => INTEGER | FRACTION,
            "string" => STRING,
            "array" => ARRAY,
            "object" => OBJECT,
            _ => return None,
        })
    };
    match value {
        Value::Array(names) => names.iter().try_fold(0, |all, name| Some(all | bits(name)?)),
        name => bits(name),
    }
}

/// As a name stands in a JSON Pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A URI's fragment without its percent signs.
fn decoded(fragment: &str) -> String {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let Some(byte) = hex.filter(|_| *first == b'%') {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
