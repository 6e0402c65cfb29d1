//! Random schemas, and changes of schemas.

use serde_json::{Map, Value, json};

/// A small generator of numbers: xorshift, by Marsaglia.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..4 {
            random.next();
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % end
    }

    pub(crate) fn one_in(&mut self, end: usize) -> bool {
        self.below(end) == 0
    }

    pub(crate) fn pick<'p, T>(&mut self, all: &'p [T]) -> &'p T {
        &all[self.below(all.len())]
    }
}

pub(crate) const NAMES: &[&str] = &["a", "b", "c", "1", "-2"];
const TAGS: &[&str] = &["A", "B", "C"];

/// A document: a schema that may refer to two others, and to itself.
pub(crate) fn schema(random: &mut Random) -> Value {
    let mut made = match random.below(4) {
        0 => part(random, 0),
        1 => tagged(random, 0),
        _ => object(random, 0),
    };
    let defs = json!({ "D": part(random, 1), "E": part(random, 1) });
    if let Some(object) = made.as_object_mut() {
        object.insert("$defs".into(), defs);
    } else {
        made = json!({ "allOf": [made], "$defs": defs });
    }
    made
}

fn part(random: &mut Random, depth: usize) -> Value {
    let deep = depth >= 3;
    match random.below(if deep { 7 } else { 19 }) {
        0 => number(random),
        1 => text(random),
        2 => scalar(random),
        3 => json!({ "type": random.pick(&["boolean", "null", "string", "integer", "number"]) }),
        4 => constants(random),
        5 => random
            .pick(&[json!(true), json!({}), json!({ "type": "object" }), json!(false)])
            .clone(),
        6 | 7 => json!({ "$ref": random.pick(&["#/$defs/D", "#/$defs/E", "#"]) }),
        8..=11 => object(random, depth),
        12 => array(random, depth),
        13 => map(random, depth),
        14 => tagged(random, depth),
        15 => {
            let ways = parts(random, depth, 2);
            let union = random.pick(&["anyOf", "oneOf", "anyOf", "allOf"]);
            json!({ *union: ways })
        }
        16 => json!({ "anyOf": [part(random, depth + 1), { "type": "null" }] }),
        17 => {
            // Fields of its own beside those of others.
            let mut made = object(random, depth);
            let keyword = random.pick(&["allOf", "oneOf", "anyOf"]);
            made[*keyword] = json!([object(random, depth + 1), part(random, depth + 1)]);
            made
        }
        _ => rare(random, depth),
    }
}

fn parts(random: &mut Random, depth: usize, most: usize) -> Vec<Value> {
    let count = 1 + random.below(most + 1);
    (0..count).map(|_| part(random, depth + 1)).collect()
}

fn scalar(random: &mut Random) -> Value {
    let one = ["array", "string", "boolean", "null", "number"];
    json!({ "type": [random.pick(&one), random.pick(&["integer", "object"])] })
}

fn number(random: &mut Random) -> Value {
    let mut made = json!({ "type": random.pick(&["integer", "number"]) });
    for keyword in ["minimum", "exclusiveMinimum"] {
        if random.one_in(4) {
            made[keyword] = random.pick(&[json!(-1), json!(0), json!(0.5), json!(1)]).clone();
        }
    }
    for keyword in ["maximum", "exclusiveMaximum"] {
        if random.one_in(4) {
            made[keyword] = random.pick(&[json!(1), json!(1.5), json!(2), json!(3.0)]).clone();
        }
    }
    if random.one_in(6) {
        made["multipleOf"] = random.pick(&[json!(1), json!(2), json!(0.5), json!(4)]).clone();
    }
    if random.one_in(4) {
        made["format"] = json!(random.pick(&["int32", "uint8", "int64", "double"]));
    }
    made
}

fn text(random: &mut Random) -> Value {
    let mut made = json!({ "type": "string" });
    for keyword in ["minLength", "maxLength"] {
        if random.one_in(3) {
            made[keyword] = json!(random.below(3));
        }
    }
    if random.one_in(6) {
        made["pattern"] = json!(random.pick(&["^a", "^\\d+$", "^-?\\d+$"]));
    }
    if random.one_in(6) {
        made["format"] = json!(random.pick(&["date", "uuid"]));
    }
    made
}

fn constants(random: &mut Random) -> Value {
    let all = [
        json!("A"),
        json!("B"),
        json!(1),
        json!(1.0),
        json!(2.5),
        json!(null),
        json!(true),
        json!({ "a": 1 }),
        json!([]),
    ];
    if random.one_in(3) {
        return json!({ "const": random.pick(&all) });
    }
    let some: Vec<&Value> = all.iter().filter(|_| random.one_in(2)).collect();
    if some.is_empty() {
        json!({ "const": "A" })
    } else {
        json!({ "enum": some })
    }
}

fn object(random: &mut Random, depth: usize) -> Value {
    let mut fields = Map::new();
    for name in NAMES.iter().take(3) {
        if random.one_in(2) {
            fields.insert((*name).into(), part(random, depth + 1));
        }
    }
    let required: Vec<&String> = fields.keys().filter(|_| random.one_in(3)).collect();
    let mut made = json!({ "type": "object", "required": required });
    made["properties"] = fields.into();
    if random.one_in(6) {
        made["additionalProperties"] = json!(false);
    } else if random.one_in(8) {
        made["additionalProperties"] = part(random, depth + 1);
    } else if random.one_in(10) {
        made["unevaluatedProperties"] = json!(false);
    }
    if random.one_in(10) {
        made["minProperties"] = json!(random.below(3));
    }
    if random.one_in(10) {
        made["maxProperties"] = json!(1 + random.below(3));
    }
    made
}

fn map(random: &mut Random, depth: usize) -> Value {
    let values = part(random, depth + 1);
    match random.below(4) {
        0 => {
            json!({ "type": "object", "patternProperties": { "^\\d+$": values }, "additionalProperties": false })
        }
        1 => {
            json!({ "type": "object", "patternProperties": { "^-?\\d+$": values }, "additionalProperties": false })
        }
        2 => {
            json!({ "type": "object", "additionalProperties": values, "propertyNames": { "maxLength": 1 + random.below(2) } })
        }
        _ => json!({ "type": "object", "additionalProperties": values }),
    }
}

fn array(random: &mut Random, depth: usize) -> Value {
    let mut made = json!({ "type": "array" });
    if random.one_in(3) {
        made["prefixItems"] = parts(random, depth, 1).into();
    }
    if !random.one_in(4) {
        made["items"] = part(random, depth + 1);
    }
    for keyword in ["minItems", "maxItems"] {
        if random.one_in(4) {
            made[keyword] = json!(random.below(3));
        }
    }
    if random.one_in(8) {
        made["uniqueItems"] = json!(true);
    }
    made
}

fn tagged(random: &mut Random, depth: usize) -> Value {
    let mut ways = Vec::new();
    for tag in TAGS {
        if random.one_in(3) {
            continue;
        }
        let way = match random.below(3) {
            0 => {
                json!({ "type": "object", "properties": { *tag: part(random, depth + 1) }, "required": [tag], "additionalProperties": false })
            }
            1 => json!({ "type": "string", "const": tag }),
            _ => {
                let mut way = object(random, depth);
                way["properties"]["kind"] = json!({ "const": tag });
                way["required"] = json!(["kind"]);
                way
            }
        };
        ways.push(way);
    }
    if ways.is_empty() {
        return json!({ "type": "string", "enum": TAGS });
    }
    json!({ *random.pick(&["oneOf", "oneOf", "anyOf"]): ways })
}

fn rare(random: &mut Random, depth: usize) -> Value {
    let (one, other) = (part(random, depth + 1), part(random, depth + 1));
    match random.below(6) {
        0 => json!({ "not": one }),
        1 => json!({ "if": one, "then": other }),
        2 => json!({ "if": one, "then": other, "else": part(random, depth + 1) }),
        3 => json!({ "type": "object", "dependentRequired": { "a": ["b"] }, "properties": { "a": one } }),
        4 => json!({ "type": "object", "dependentSchemas": { "a": one }, "properties": { "b": other } }),
        _ => json!({ "type": "array", "contains": one }),
    }
}

/// The schema with one thing changed.
pub(crate) fn mutated(random: &mut Random, schema: &Value) -> Value {
    let mut made = schema.clone();
    change(random, &mut made, 0);
    if !made.is_object() {
        made = json!({ "allOf": [made] });
    }
    if made.get("$defs").is_none() {
        made["$defs"] = schema["$defs"].clone();
    }
    made
}

/// Whether a part refers to itself at the same place, which has no meaning.
pub(crate) fn is_knotted(schema: &Value) -> bool {
    let parts = [schema, &schema["$defs"]["D"], &schema["$defs"]["E"]];
    let mut edges = [[false; 3]; 3];
    for (part, edges) in parts.iter().zip(&mut edges) {
        at_once(part, edges);
    }
    for via in 0..3 {
        for from in 0..3 {
            for to in 0..3 {
                edges[from][to] |= edges[from][via] && edges[via][to];
            }
        }
    }
    (0..3).any(|at| edges[at][at])
}

fn at_once(schema: &Value, edges: &mut [bool; 3]) {
    match schema.get("$ref").and_then(Value::as_str) {
        Some("#") => edges[0] = true,
        Some("#/$defs/D") => edges[1] = true,
        Some(_) => edges[2] = true,
        None => {}
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        for part in schema
            .get(keyword)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            at_once(part, edges);
        }
    }
    for part in ["not", "if", "then", "else"]
        .into_iter()
        .filter_map(|keyword| schema.get(keyword))
    {
        at_once(part, edges);
    }
    for part in schema
        .get("dependentSchemas")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::values)
    {
        at_once(part, edges);
    }
}

fn change(random: &mut Random, schema: &mut Value, depth: usize) {
    let mut inner: Vec<&mut Value> = Vec::new();
    if let Some(keywords) = schema.as_object_mut() {
        for (keyword, value) in keywords.iter_mut() {
            match (keyword.as_str(), value) {
                // What is referred to may be used nowhere, so that a change of it would be none.
                ("$defs", _) if !random.one_in(4) => {}
                ("properties" | "patternProperties" | "$defs", Value::Object(parts)) => {
                    inner.extend(parts.values_mut());
                }
                ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(parts)) => inner.extend(parts),
                ("items" | "additionalProperties" | "not" | "if" | "then" | "else" | "contains", value) => {
                    inner.push(value);
                }
                _ => {}
            }
        }
    }
    if !inner.is_empty() && !random.one_in(3) {
        let at = random.below(inner.len());
        return change(random, inner.swap_remove(at), depth + 1);
    }
    match schema.as_object_mut() {
        Some(keywords) if !random.one_in(6) => rewrite(random, keywords, depth),
        _ => *schema = part(random, 2),
    }
}

fn rewrite(random: &mut Random, keywords: &mut Map<String, Value>, depth: usize) {
    let is_object = keywords.contains_key("properties");
    let bounds = [
        "minimum",
        "maximum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
    ];
    match random.below(10) {
        0..=3 if is_object => {
            let name = *random.pick(NAMES);
            if let Some(Value::Object(fields)) = keywords.get_mut("properties")
                && fields.remove(name).is_none()
            {
                fields.insert(name.into(), part(random, depth.max(1) + 1));
            }
        }
        4 | 5 if is_object => {
            let name = *random.pick(NAMES);
            if let Some(Value::Array(names)) = keywords.get_mut("required") {
                let before = names.len();
                names.retain(|other| other != name);
                if before == names.len() && random.one_in(2) {
                    names.push(name.into());
                }
            }
        }
        6 => {
            let count = keywords.len();
            let left = random.below(count.max(1));
            let name = keywords.keys().nth(left).cloned();
            if let Some(name) = name.filter(|name| name != "$defs") {
                keywords.remove(&name);
            }
        }
        7 => {
            for union in ["anyOf", "oneOf"] {
                if let Some(Value::Array(ways)) = keywords.get_mut(union) {
                    ways.push(part(random, depth.max(1) + 1));
                    return;
                }
            }
            if let Some(Value::Array(values)) = keywords.get_mut("enum") {
                values.push(json!("Z"));
            }
        }
        8 if keywords.get("type").is_some_and(Value::is_string) && !is_object => {
            let wider = json!([keywords["type"], "null"]);
            keywords.insert("type".into(), wider);
        }
        _ => {
            for bound in bounds {
                if let Some(value) = keywords.get_mut(bound)
                    && random.one_in(2)
                {
                    *value = json!(random.below(4));
                    return;
                }
            }
            if keywords.get("type") == Some(&json!("integer")) {
                keywords.insert("type".into(), json!("number"));
            } else {
                keywords.insert("description".into(), json!(format!("{}", random.below(100))));
            }
        }
    }
}
