//! The closed form of a schema, as a schema: what a program writes.
//!
//! Written from the rule in the documentation, not from the checker's code.

use serde_json::{Map, Value, json};

const SUBSCHEMAS: &[&str] = &["items", "additionalProperties", "propertyNames"];
const MAPS: &[&str] = &["properties", "patternProperties"];

/// How an object's fields are listed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lists {
    Never,
    /// In some of its alternatives.
    Sometimes,
    Always,
}

/// The closed form of a whole document.
pub(crate) fn closed(schema: &Value) -> Value {
    let mut made = place(schema, schema);
    if let (Some(made), Some(defs)) = (
        made.as_object_mut(),
        schema.get("$defs").and_then(Value::as_object),
    ) {
        // References go to the parts as they stand; what is at a place of its own within them is closed.
        let defs: Map<String, Value> = defs
            .iter()
            .map(|(name, part)| (name.clone(), within(part, schema)))
            .collect();
        made.insert("$defs".into(), defs.into());
    }
    made
}

/// A schema that stands at a place of its own: nothing else says anything of the same value.
fn place(schema: &Value, root: &Value) -> Value {
    let mut made = within(schema, root);
    let Some(object) = made.as_object_mut() else {
        return made;
    };
    match lists(schema, root, 0) {
        Lists::Always => {
            object.entry("unevaluatedProperties").or_insert(json!(false));
        }
        Lists::Sometimes => {
            for union in ["anyOf", "oneOf"] {
                if let Some(ways) = schema.get(union).and_then(Value::as_array) {
                    object.insert(union.into(), ways.iter().map(|way| place(way, root)).collect());
                }
            }
        }
        Lists::Never => {}
    }
    made
}

/// The same with all places within it closed.
fn within(schema: &Value, root: &Value) -> Value {
    let Some(keywords) = schema.as_object() else {
        return schema.clone();
    };
    let close = |keyword: &String, value: &Value| match (keyword.as_str(), value) {
        ("$defs", _) => Value::Null,
        ("prefixItems", Value::Array(parts)) => parts.iter().map(|part| place(part, root)).collect(),
        ("allOf" | "anyOf" | "oneOf", Value::Array(parts)) => {
            parts.iter().map(|part| within(part, root)).collect()
        }
        ("then" | "else", part) => within(part, root),
        (keyword, part) if SUBSCHEMAS.contains(&keyword) => place(part, root),
        (keyword, Value::Object(parts)) if MAPS.contains(&keyword) => {
            let parts: Map<String, Value> = parts
                .iter()
                .map(|(name, part)| (name.clone(), place(part, root)))
                .collect();
            parts.into()
        }
        _ => value.clone(),
    };
    let made = keywords
        .iter()
        .map(|(keyword, value)| (keyword.clone(), close(keyword, value)));
    made.filter(|(keyword, _)| keyword != "$defs")
        .collect::<Map<String, Value>>()
        .into()
}

fn lists(schema: &Value, root: &Value, depth: usize) -> Lists {
    if schema.get("properties").is_some() || depth > 8 {
        return if depth > 8 { Lists::Never } else { Lists::Always };
    }
    let mut found = Lists::Never;
    let mut also = |other: Lists| match (found, other) {
        (_, Lists::Always) => found = Lists::Always,
        (Lists::Never, Lists::Sometimes) => found = Lists::Sometimes,
        _ => {}
    };
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let part = if name == "#" {
            Some(root)
        } else {
            root.pointer(name.trim_start_matches('#'))
        };
        also(part.map_or(Lists::Never, |part| lists(part, root, depth + 1)));
    }
    for part in schema
        .get("allOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        also(lists(part, root, depth + 1));
    }
    for union in ["anyOf", "oneOf"] {
        let Some(ways) = schema.get(union).and_then(Value::as_array) else {
            continue;
        };
        // Alternatives that are no objects don't list, and needn't.
        let ways: Vec<Lists> = ways
            .iter()
            .filter(|way| may_be_object(way))
            .map(|way| lists(way, root, depth + 1))
            .collect();
        if ways.iter().all(|way| *way == Lists::Always) && !ways.is_empty() {
            also(Lists::Always);
        } else if ways.iter().any(|way| *way != Lists::Never) {
            also(Lists::Sometimes);
        }
    }
    found
}

fn may_be_object(schema: &Value) -> bool {
    match schema.get("type") {
        Some(Value::String(name)) => name == "object",
        Some(Value::Array(names)) => names.contains(&json!("object")),
        _ => schema != &json!(false),
    }
}
