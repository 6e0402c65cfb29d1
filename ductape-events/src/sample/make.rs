use serde_json::{Map, Number, Value};

use super::text::text;
use super::{SampleVariant, Tagging};

/// How often a definition may contain itself in a sample.
const NESTED_MAX: usize = 1;
/// How deep a sample goes, whatever its schema says.
const DEPTH_MAX: usize = 48;
/// The most elements or properties that a minimum can ask for.
const ELEMENTS_MAX: usize = 64;

/// One of the ways to read a schema where it leaves a choice.
#[derive(Clone, Copy, Default)]
pub(super) struct Strategy {
    /// Whether what is not required is left out.
    required_only: bool,
    /// Whether `default` and `examples` are taken where they stand.
    given: bool,
    /// Which alternative is the first choice.
    alternative: usize,
}

impl Strategy {
    /// All of them, the fullest sample first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let alternatives = 0..6;
        alternatives.flat_map(|alternative| {
            [(false, false), (false, true), (true, false), (true, true)].map(|(required_only, given)| Self {
                required_only,
                given,
                alternative,
            })
        })
    }
}

/// Makes a value of a schema.
pub(super) struct Maker<'a> {
    root: &'a Value,
    strategy: Strategy,
    /// The definitions that the value being made is within.
    within: Vec<&'a str>,
    depth: usize,
}

impl<'a> Maker<'a> {
    pub(super) fn new(root: &'a Value, strategy: Strategy) -> Self {
        Self {
            root,
            strategy,
            within: Vec::new(),
            depth: 0,
        }
    }

    /// The whole event; of `variant`, where that is found.
    pub(super) fn whole(&mut self, variant: Option<SampleVariant>) -> Option<Value> {
        let Some((variant, alternative)) = variant.and_then(|one| Some((one, self.alternative_of(one)?)))
        else {
            return self.make(self.root);
        };
        // Variants without content may share one list of names.
        if variant.tagging == Tagging::External && is_name(alternative, variant.name) {
            return Some(Value::from(variant.name));
        }
        self.make(alternative)
    }

    /// The alternative of the root that is `variant`.
    fn alternative_of(&self, variant: SampleVariant) -> Option<&'a Value> {
        let alternatives = ["oneOf", "anyOf"]
            .into_iter()
            .find_map(|key| self.root[key].as_array());
        let alternatives = alternatives.map_or(std::slice::from_ref(self.root), Vec::as_slice);
        let is_name = |schema| is_name(schema, variant.name);
        match variant.tagging {
            Tagging::External => alternatives.iter().find(|alternative| {
                is_name(alternative) || alternative["properties"].get(variant.name).is_some()
            }),
            Tagging::Internal(tag) | Tagging::Adjacent(tag, _) => alternatives
                .iter()
                .find(|alternative| is_name(&alternative["properties"][tag])),
            Tagging::Untagged(index) => alternatives.get(index + self.strategy.alternative),
        }
    }

    /// A value of `schema`; `None` where there is no finite one.
    fn make(&mut self, schema: &'a Value) -> Option<Value> {
        let Value::Object(keywords) = schema else {
            return (schema == &Value::Bool(true)).then_some(Value::Null);
        };
        if self.depth >= DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        let made = self.make_of(keywords);
        self.depth -= 1;
        made
    }

    fn make_of(&mut self, keywords: &'a Map<String, Value>) -> Option<Value> {
        if self.strategy.given {
            let example = keywords.get("examples").and_then(|examples| examples.get(0));
            if let Some(given) = example.or_else(|| keywords.get("default")) {
                return Some(given.clone());
            }
        }
        if let Some(value) = keywords.get("const") {
            return Some(value.clone());
        }
        if let Some(values) = keywords.get("enum").and_then(Value::as_array) {
            return values
                .get(self.strategy.alternative % values.len().max(1))
                .cloned();
        }
        // Each of these describes the same value, so that what they make is laid together.
        let mut parts = Vec::new();
        if let Some(reference) = keywords.get("$ref").and_then(Value::as_str) {
            parts.push(self.referred(reference)?);
        }
        for schema in keywords
            .get("allOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            parts.push(self.make(schema)?);
        }
        for key in ["oneOf", "anyOf"] {
            if let Some(alternatives) = keywords.get(key).and_then(Value::as_array) {
                parts.push(self.one_of(alternatives)?);
            }
        }
        if let Some(name) = type_name(keywords) {
            parts.push(self.typed(name, keywords, !parts.is_empty())?);
        }
        let mut parts = parts.into_iter();
        let first = parts.next().unwrap_or_default();
        Some(parts.fold(first, laid_together))
    }

    fn referred(&mut self, reference: &'a str) -> Option<Value> {
        let nested = self.within.iter().filter(|outer| **outer == reference).count();
        if nested > NESTED_MAX {
            return None;
        }
        let schema = self.root.pointer(reference.strip_prefix('#')?)?;
        self.within.push(reference);
        let made = self.make(schema);
        self.within.pop();
        made
    }

    /// Of the first alternative that has a value; null only where there is no other.
    fn one_of(&mut self, alternatives: &'a [Value]) -> Option<Value> {
        let is_null = |schema: &Value| schema["type"] == "null";
        let count = alternatives.len().max(1);
        let turned = alternatives
            .iter()
            .cycle()
            .skip(self.strategy.alternative % count)
            .take(count);
        let (nulls, others): (Vec<_>, Vec<_>) = turned.partition(|schema| is_null(schema));
        others
            .into_iter()
            .chain(nulls)
            .find_map(|schema| self.make(schema))
    }

    /// A value of the type `name`.
    fn typed(&mut self, name: &str, keywords: &'a Map<String, Value>, has_other: bool) -> Option<Value> {
        match name {
            "object" => self.object(keywords),
            // With a `$ref` or alternatives beside it, a bare type adds nothing to what they made.
            _ if has_other => Some(Value::Null),
            "array" => self
                .array(keywords)
                .or_else(|| is_nullable(keywords).then_some(Value::Null)),
            "string" => text(keywords).map(Value::String),
            "integer" => number(keywords, true),
            "number" => number(keywords, false),
            "boolean" => Some(Value::Bool(true)),
            _ => Some(Value::Null),
        }
    }

    fn object(&mut self, keywords: &'a Map<String, Value>) -> Option<Value> {
        let required: Vec<&str> = keywords
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut made = Map::new();
        for (name, schema) in keywords
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let is_required = required.contains(&name.as_str());
            if self.strategy.required_only && !is_required {
                continue;
            }
            match self.make(schema) {
                Some(value) => {
                    made.insert(name.clone(), value);
                }
                None if is_required => return None,
                None => {}
            }
        }
        let least = size(keywords, "minProperties").unwrap_or(0).min(ELEMENTS_MAX);
        let is_map = made.is_empty() && !keywords.contains_key("properties") && !self.strategy.required_only;
        self.entries(keywords, least.max(usize::from(is_map)), &mut made);
        (made.len() >= least).then_some(Value::Object(made))
    }

    /// Adds entries of a map until there are `count`.
    fn entries(&mut self, keywords: &'a Map<String, Value>, count: usize, made: &mut Map<String, Value>) {
        let patterns = keywords.get("patternProperties").and_then(Value::as_object);
        let by_pattern = patterns.and_then(|patterns| patterns.iter().next());
        for at in made.len()..count {
            let (name, schema) = match (by_pattern, keywords.get("additionalProperties")) {
                (Some((pattern, schema)), _) => {
                    let Some(name) = super::pattern::matching(pattern, at) else {
                        return;
                    };
                    (name, schema)
                }
                (None, Some(schema)) if schema != &Value::Bool(false) => {
                    let Some(name) = map_key(keywords, at) else { return };
                    (name, schema)
                }
                _ => return,
            };
            let Some(value) = self.make(schema) else { return };
            made.insert(name, value);
        }
    }

    fn array(&mut self, keywords: &'a Map<String, Value>) -> Option<Value> {
        let mut made = Vec::new();
        for schema in keywords
            .get("prefixItems")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            made.push(self.make(schema)?);
        }
        let least = size(keywords, "minItems").unwrap_or(0).min(ELEMENTS_MAX);
        let most = size(keywords, "maxItems").unwrap_or(usize::MAX);
        let wanted = if made.is_empty() && !self.strategy.required_only {
            least.max(1)
        } else {
            least
        };
        let is_set = keywords.get("uniqueItems") == Some(&Value::Bool(true));
        let element = keywords.get("items").unwrap_or(&Value::Bool(true));
        while made.len() < wanted.min(most) {
            let Some(mut value) = self.make(element) else {
                break;
            };
            if is_set && made.contains(&value) {
                let Some(other) = another(&value, made.len()) else {
                    break;
                };
                value = other;
            }
            made.push(value);
        }
        (made.len() >= least).then_some(Value::Array(made))
    }
}

/// Whether `schema` is of the text `name`, among others or alone.
fn is_name(schema: &Value, name: &str) -> bool {
    let names = schema["enum"].as_array();
    schema["const"] == name || names.is_some_and(|names| names.iter().any(|other| other == name))
}

/// The key of the entry `at` of a map.
fn map_key(keywords: &Map<String, Value>, at: usize) -> Option<String> {
    let usual = || {
        if at == 0 {
            "key".to_owned()
        } else {
            format!("key{at}")
        }
    };
    let Some(schema) = keywords.get("propertyNames").and_then(Value::as_object) else {
        return Some(usual());
    };
    match schema.get("enum") {
        Some(Value::Array(names)) => names.get(at)?.as_str().map(str::to_owned),
        _ => text(schema),
    }
}

/// The `type`, or what the other keywords stand for; `None` where they say nothing of it.
fn type_name(keywords: &Map<String, Value>) -> Option<&str> {
    let has = |key: &str| keywords.contains_key(key);
    Some(match keywords.get("type") {
        Some(Value::String(name)) => name.as_str(),
        Some(Value::Array(names)) => {
            let mut names = names.iter().filter_map(Value::as_str);
            names.find(|name| *name != "null").unwrap_or("null")
        }
        _ if has("properties") || has("additionalProperties") || has("patternProperties") => "object",
        _ if has("items") || has("prefixItems") => "array",
        _ if has("pattern") || has("format") || has("minLength") => "string",
        _ if has("minimum") || has("maximum") => "number",
        _ => return None,
    })
}

fn is_nullable(keywords: &Map<String, Value>) -> bool {
    let names = keywords.get("type").and_then(Value::as_array);
    names.is_some_and(|names| names.iter().any(|name| name == "null"))
}

/// Another value of the same kind, for sets.
fn another(value: &Value, at: usize) -> Option<Value> {
    match value {
        Value::Number(number) => {
            let step = u64::try_from(at).ok()?;
            number
                .as_u64()
                .and_then(|number| number.checked_add(step))
                .map(Value::from)
        }
        Value::String(text) => Some(Value::String(format!("{text}{at}"))),
        Value::Bool(flag) => Some(Value::Bool(!flag)),
        _ => None,
    }
}

/// Two values that stand for the same thing: objects together, else the one that is not null.
fn laid_together(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Object(mut one), Value::Object(other)) => {
            one.extend(other);
            Value::Object(one)
        }
        (Value::Null, other) => other,
        (one, _) => one,
    }
}

fn size(keywords: &Map<String, Value>, key: &str) -> Option<usize> {
    keywords
        .get(key)?
        .as_u64()
        .and_then(|size| usize::try_from(size).ok())
}

/// A number within the bounds: 1 for whole ones and 1.5 for others, where they allow it.
fn number(keywords: &Map<String, Value>, is_whole: bool) -> Option<Value> {
    let bound = |key: &str| keywords.get(key).and_then(Value::as_f64);
    // The next representable step past an exclusive bound.
    let step = if is_whole { 1.0 } else { 0.5 };
    let above = bound("exclusiveMinimum").map(|bound| bound + step);
    let below = bound("exclusiveMaximum").map(|bound| bound - step);
    let least = [bound("minimum"), above].into_iter().flatten().reduce(f64::max);
    let most = [bound("maximum"), below].into_iter().flatten().reduce(f64::min);
    let mut value = if is_whole { 1.0 } else { 1.5 };
    if let Some(least) = least.filter(|least| value < *least) {
        value = if is_whole { least.ceil() } else { least };
    }
    if let Some(most) = most.filter(|most| value > *most) {
        value = if is_whole { most.floor() } else { most };
    }
    if let (Some(low), Some(high)) = (bound("exclusiveMinimum"), bound("exclusiveMaximum"))
        && !is_whole
        && !(low < value && value < high)
    {
        value = f64::midpoint(low, high);
    }
    if let Some(multiple) = bound("multipleOf").filter(|multiple| *multiple > 0.0) {
        value = (value / multiple).ceil() * multiple;
    }
    // Large whole bounds are beyond what a float holds exactly, so they are taken as they stand.
    if is_whole {
        let exact = ["minimum", "maximum"]
            .into_iter()
            .filter_map(|key| keywords.get(key));
        let exact = exact
            .filter(|bound| bound.as_f64() == Some(value))
            .find(|bound| !bound.is_f64());
        return exact
            .cloned()
            .or_else(|| format!("{value:.0}").parse::<i64>().ok().map(Value::from));
    }
    Number::from_f64(value).map(Value::Number)
}
