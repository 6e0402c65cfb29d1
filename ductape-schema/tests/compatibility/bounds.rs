//! Schemas that are large, deep or tied in knots: an answer, and soon.

use std::time::{Duration, Instant};

use ductape_schema::compatibility::{Break, Mode, check};
use serde_json::{Map, Value, json};

/// Far above what it takes, also on a machine that does other things.
const SOON: Duration = Duration::from_secs(20);

fn checked(old: &Value, new: &Value) -> Vec<Break> {
    let began = Instant::now();
    let breaks = check(old, new, Mode::Full);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    breaks
}

fn object(fields: usize, of: &Value) -> Value {
    let fields: Map<String, Value> = (0..fields).map(|n| (format!("field_{n}"), of.clone())).collect();
    json!({ "type": "object", "properties": fields, "required": ["field_0"] })
}

#[test]
fn two_hundred_fields() {
    let old = object(200, &json!({ "type": "integer", "maximum": 5 }));
    let new = object(201, &json!({ "type": "integer", "maximum": 5 }));
    assert_eq!(checked(&old, &new), []);
    let wider = object(200, &json!({ "type": "integer", "maximum": 6 }));
    let breaks = checked(&old, &wider);
    assert_eq!(breaks.len(), 50, "as many are told as can be read");
    assert!(
        breaks
            .iter()
            .all(|one| one.reason.contains("out of the range of old consumers"))
    );
}

#[test]
fn a_megabyte() {
    let part = object(
        60,
        &json!({ "type": ["string", "null"], "maxLength": 100, "description": "x".repeat(50) }),
    );
    let make = |most: u32| {
        let mut schema = object(160, &part);
        schema["properties"]["field_7"]["properties"]["field_9"]["maxLength"] = json!(most);
        schema
    };
    let (old, new) = (make(100), make(99));
    assert!(old.to_string().len() > 1_000_000);
    let breaks = checked(&old, &new);
    assert_eq!(breaks.len(), 1);
    assert_eq!(breaks[0].path, "$.field_7.field_9");
    assert_eq!(checked(&old, &make(101)).len(), 1);
}

#[test]
fn recursion() {
    let tree = |types: Value| {
        json!({
            "$ref": "#/$defs/Tree",
            "$defs": {
                "Tree": {
                    "type": "object",
                    "properties": {
                        "value": { "type": types },
                        "left": { "anyOf": [{ "$ref": "#/$defs/Tree" }, { "type": "null" }] },
                        "children": { "type": "array", "items": { "$ref": "#/$defs/Other" } },
                    },
                    "required": ["value"],
                },
                "Other": { "allOf": [{ "$ref": "#/$defs/Tree" }], "properties": { "tree": { "$ref": "#" } } },
            },
        })
    };
    assert_eq!(checked(&tree(json!("integer")), &tree(json!("integer"))), []);
    let breaks = checked(&tree(json!("integer")), &tree(json!("number")));
    assert!(breaks.iter().any(|one| one.path == "$.value"), "{breaks:?}");
    assert!(
        breaks
            .iter()
            .all(|one| one.path.rsplit('.').next() == Some("value")),
        "{breaks:?}"
    );
}

#[test]
fn what_refers_to_itself_alone_has_no_meaning_and_an_answer() {
    let knot = json!({ "$ref": "#/$defs/A", "$defs": { "A": { "$ref": "#/$defs/B" }, "B": { "$ref": "#/$defs/A" } } });
    let fork = json!({ "$defs": { "A": { "allOf": [{ "$ref": "#/$defs/A" }, { "$ref": "#/$defs/A" }] } }, "$ref": "#/$defs/A" });
    let plain = json!({ "type": "string" });
    for schema in [&knot, &fork] {
        assert_eq!(checked(schema, schema), []);
        assert!(!checked(schema, &plain).is_empty());
        assert!(!checked(&plain, schema).is_empty());
    }
}

#[test]
fn a_long_chain_of_references() {
    let chain = |last: &str| {
        let mut defs: Map<String, Value> = (0..3000)
            .map(|n| {
                (
                    format!("D{n}"),
                    json!({ "properties": { "next": { "$ref": format!("#/$defs/D{}", n + 1) } } }),
                )
            })
            .collect();
        defs.insert("D3000".into(), json!({ "type": last }));
        json!({ "$ref": "#/$defs/D0", "$defs": defs })
    };
    let mut same = chain("string");
    same["description"] = json!("another");
    assert_eq!(checked(&chain("string"), &same), []);
    let breaks = checked(&chain("string"), &chain("number"));
    assert!(
        breaks.iter().all(|one| one.reason.contains("nested too deeply")),
        "{breaks:?}"
    );
    assert_eq!(breaks.len(), 2);
}

#[test]
fn unions_of_unions() {
    let union = |wide: usize, last: u32| {
        let one = |n: usize| -> Vec<Value> {
            (0..wide).map(|m| json!({ "properties": { format!("f{n}_{m}"): { "maximum": last } }, "required": [format!("f{n}_{m}")] })).collect()
        };
        json!({ "type": "object", "allOf": (0..6).map(|n| json!({ "anyOf": one(n) })).collect::<Vec<_>>() })
    };
    assert_eq!(checked(&union(10, 1), &union(10, 1)), []);
    assert!(!checked(&union(10, 1), &union(10, 2)).is_empty());
}

#[test]
fn an_enum_of_many_variants() {
    let variants = |count: usize| {
        let one = |n: usize| json!({ "type": "object", "properties": { "kind": { "const": format!("v{n}") }, "n": { "type": "integer" } }, "required": ["kind", "n"] });
        json!({ "oneOf": (0..count).map(one).collect::<Vec<_>>() })
    };
    assert_eq!(check(&variants(200), &variants(201), Mode::Backward), []);
    let breaks = checked(&variants(200), &variants(201));
    assert_eq!(breaks.len(), 1);
    assert!(breaks[0].reason.contains("`kind` `\"v200\"`"), "{}", breaks[0]);
}

#[test]
fn what_is_no_schema_is_told() {
    for (schema, told) in [
        (json!(5), "what is no schema"),
        (json!({ "type": "text" }), "`type` is not followed"),
        (json!({ "minLength": -1 }), "`minLength` is not followed"),
        (
            json!({ "$ref": "https://example.com/other.json" }),
            "`$ref` is not followed",
        ),
        (json!({ "$ref": "#/$defs/Missing" }), "`$ref` is not followed"),
        (
            json!({ "$schema": "http://json-schema.org/draft-07/schema#" }),
            "draft-07",
        ),
    ] {
        let breaks = check(&json!({ "type": "string" }), &schema, Mode::Backward);
        assert!(breaks[0].to_string().contains(told), "{schema}: {breaks:?}");
    }
}
