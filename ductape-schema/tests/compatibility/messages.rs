//! Random messages.

use serde_json::{Map, Value, json};

use crate::random::{NAMES, Random};

/// A value that likely fits the schema.
pub(crate) fn message(random: &mut Random, schema: &Value) -> Value {
    let mut message = value(random, schema, schema, 0);
    if random.one_in(3) {
        disturb(random, &mut message);
    }
    message
}

fn value(random: &mut Random, schema: &Value, root: &Value, depth: usize) -> Value {
    let Some(keywords) = schema.as_object().filter(|_| depth < 9) else {
        return any(random);
    };
    if let Some(value) = keywords.get("const") {
        return value.clone();
    }
    if let Some(Value::Array(values)) = keywords.get("enum")
        && !values.is_empty()
    {
        return random.pick(values).clone();
    }
    let mut merged = Map::new();
    if let Some(name) = keywords.get("$ref").and_then(Value::as_str) {
        let target = if name == "#" {
            Some(root)
        } else {
            root.pointer(name.trim_start_matches('#'))
        };
        return value(random, target.unwrap_or(&Value::Bool(true)), root, depth + 1);
    }
    let mut others: Vec<&Value> = Vec::new();
    for keyword in ["allOf", "anyOf", "oneOf"] {
        if let Some(Value::Array(ways)) = keywords.get(keyword)
            && !ways.is_empty()
        {
            if keyword == "allOf" || (keyword == "anyOf" && random.one_in(4)) {
                others.extend(ways);
            } else {
                others.push(random.pick(ways));
            }
        }
    }
    for keyword in ["if", "then", "else"] {
        others.extend(keywords.get(keyword).filter(|_| random.one_in(2)));
    }
    for other in others {
        match value(random, other, root, depth + 1) {
            Value::Object(fields) => merged.extend(fields),
            other if !keywords.contains_key("properties") => return other,
            _ => {}
        }
    }
    match kind(random, keywords) {
        "object" => fields(random, keywords, merged, root, depth),
        "array" => items(random, keywords, root, depth),
        "string" => {
            let texts = ["", "a", "ab", "abc", "1", "-2", "2020-01-01", "Z"];
            json!(random.pick(&texts))
        }
        "integer" => random
            .pick(&[
                json!(-1),
                json!(0),
                json!(1),
                json!(2),
                json!(3),
                json!(2.0),
                json!(300),
                json!(5_000_000_000_u64),
            ])
            .clone(),
        "number" => random
            .pick(&[
                json!(0.5),
                json!(1),
                json!(1.5),
                json!(2),
                json!(1e300),
                json!(-0.25),
            ])
            .clone(),
        "boolean" => json!(random.one_in(2)),
        "null" => Value::Null,
        _ if !merged.is_empty() => merged.into(),
        _ => any(random),
    }
}

fn kind<'k>(random: &mut Random, keywords: &'k Map<String, Value>) -> &'k str {
    match keywords.get("type") {
        Some(Value::String(name)) => name,
        Some(Value::Array(names)) if !names.is_empty() => random.pick(names).as_str().unwrap_or(""),
        _ if keywords.contains_key("properties") || keywords.contains_key("additionalProperties") => "object",
        _ if keywords.contains_key("items") || keywords.contains_key("contains") => "array",
        _ => "",
    }
}

fn fields(
    random: &mut Random,
    keywords: &Map<String, Value>,
    mut merged: Map<String, Value>,
    root: &Value,
    depth: usize,
) -> Value {
    let required = keywords.get("required").and_then(Value::as_array);
    let is_required =
        |name: &str| required.is_some_and(|required| required.iter().any(|other| other == name));
    for (name, part) in keywords
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        if is_required(name) || random.one_in(2) {
            merged.insert(name.clone(), value(random, part, root, depth + 1));
        }
    }
    for part in keywords
        .get("patternProperties")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::values)
    {
        for name in ["1", "-2"] {
            if random.one_in(2) {
                merged.insert(name.into(), value(random, part, root, depth + 1));
            }
        }
    }
    let additional = keywords
        .get("additionalProperties")
        .filter(|part| **part != json!(false));
    let open = !keywords.contains_key("properties") && !keywords.contains_key("patternProperties");
    if additional.is_some() || (open && random.one_in(2)) {
        for name in NAMES {
            if !merged.contains_key(*name) && random.one_in(3) {
                merged.insert(
                    (*name).into(),
                    value(random, additional.unwrap_or(&Value::Bool(true)), root, depth + 1),
                );
            }
        }
    }
    merged.into()
}

fn items(random: &mut Random, keywords: &Map<String, Value>, root: &Value, depth: usize) -> Value {
    let fits = Value::Bool(true);
    let count = |name: &str, usual: u64| keywords.get(name).and_then(Value::as_u64).unwrap_or(usual);
    let (least, most) = (count("minItems", 0), count("maxItems", 3));
    let length = usize::try_from(least).unwrap()
        + random.below(usize::try_from(most.saturating_sub(least)).unwrap() + 1);
    let prefix = keywords.get("prefixItems").and_then(Value::as_array);
    let item = |at: usize| {
        prefix
            .and_then(|prefix| prefix.get(at))
            .or(keywords.get("items"))
            .or(keywords.get("contains"))
            .unwrap_or(&fits)
    };
    (0..length)
        .map(|at| value(random, item(at), root, depth + 1))
        .collect()
}

fn any(random: &mut Random) -> Value {
    let all = [
        json!(null),
        json!(true),
        json!(1),
        json!(2.5),
        json!("A"),
        json!("1"),
        json!([]),
        json!([1]),
        json!({}),
        json!({ "a": 1 }),
        json!({ "b": "x", "kind": "A" }),
        json!({ "A": null }),
    ];
    random.pick(&all).clone()
}

/// Changes one thing of a value, fields that nothing lists included.
fn disturb(random: &mut Random, message: &mut Value) {
    match message {
        Value::Object(fields) if random.one_in(2) => {
            let name = *random.pick(NAMES);
            if fields.remove(name).is_none() {
                fields.insert(name.into(), any(random));
            }
        }
        Value::Object(fields) if !fields.is_empty() => {
            let at = random.below(fields.len());
            if let Some(inner) = fields.values_mut().nth(at) {
                disturb(random, inner);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let at = random.below(items.len());
            disturb(random, &mut items[at]);
        }
        other => *other = any(random),
    }
}
