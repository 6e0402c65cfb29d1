//! Rules that types hardly reach.

use ductape_schema::compatibility::{Mode, check};
use serde_json::{Value, json};

fn is_compatible(old: &Value, new: &Value) -> bool {
    check(old, new, Mode::Backward).is_empty()
}

#[test]
fn a_message_may_satisfy_two_alternatives_and_have_the_fields_of_both() {
    let text = json!({ "properties": { "b": { "type": "string" } }, "required": ["b"] });
    let old =
        json!({ "type": "object", "anyOf": [{ "properties": { "a": true }, "required": ["a"] }, text] });
    let mut alone = text;
    alone["maxProperties"] = json!(1);
    let first = json!({ "properties": { "a": true, "b": { "type": "integer" } }, "required": ["a"] });
    let new = json!({ "type": "object", "anyOf": [first, alone] });
    // `{"a": 1, "b": "x"}` fits both of the old, and none of the new.
    assert!(!is_compatible(&old, &new));
}

#[test]
fn what_was_found_upon_a_guess_is_forgotten_with_it() {
    let to = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    let of = |name: &str, to: &Value| json!({ "type": "object", "properties": { name: to } });
    let schema = |bad: &str, root: Value| {
        let mut schema =
            json!({ "type": "object", "$defs": { "H": of("h", &to("N")), "Q": of("m", &to("H")) } });
        schema["$defs"]["N"] =
            json!({ "type": "object", "properties": { "bad": { "type": bad }, "q": to("Q") } });
        for (keyword, value) in root.as_object().unwrap() {
            schema[keyword] = value.clone();
        }
        schema
    };
    // That `q` is taken rests on the guess that `h` is, which `bad` refutes.
    let old = schema("string", json!({ "properties": { "x": to("H"), "y": to("Q") } }));
    let ways = json!([{ "properties": { "x": to("H") } }, { "properties": { "y": to("Q") } }]);
    let new = schema("integer", json!({ "anyOf": ways }));
    // `{"x": {"h": {"bad": "s"}}, "y": {"m": {"h": {"bad": "s"}}}}` fits the old alone.
    assert!(!is_compatible(&old, &new));
}

#[test]
fn what_is_not_followed_is_the_same_only_with_all_that_it_refers_to() {
    let keywords = [
        json!({ "contains": { "$ref": "#/$defs/E" } }),
        json!({ "unevaluatedItems": { "$ref": "#/$defs/E" } }),
        json!({ "dependencies": { "a": { "$ref": "#/$defs/E" } } }),
        json!({ "items": [{ "$ref": "#/$defs/E" }] }),
        json!({ "$dynamicRef": "#E" }),
    ];
    for keyword in keywords {
        let of = |part: Value| json!({ "allOf": [keyword], "$defs": { "E": part } });
        let wide = of(json!({ "$dynamicAnchor": "E", "type": ["integer", "string"] }));
        let narrow = of(json!({ "$dynamicAnchor": "E", "type": "integer" }));
        assert!(!is_compatible(&wide, &narrow), "{keyword}");
    }
    let deep = |last: &str| {
        let step = |inner: Value, _| json!({ "properties": { "a": inner } });
        (0..200).fold(json!({ "type": last }), step)
    };
    assert!(!is_compatible(&deep("string"), &deep("integer")));
    let contains =
        |text: &str| json!({ "type": "array", "contains": { "type": "null" }, "description": text });
    assert!(is_compatible(&contains("One."), &contains("Two.")));
}

#[test]
fn what_is_required_and_not_listed_is_written_all_the_same() {
    let old = json!({ "type": "object", "properties": { "a": true }, "required": ["a", "b"] });
    let new = json!({ "type": "object", "properties": { "b": { "type": "string" } } });
    assert!(!is_compatible(&old, &new));
}

#[test]
fn an_object_that_lists_nothing_may_hold_anything() {
    let typed = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
    assert!(!is_compatible(&json!({ "type": "object" }), &typed));
    assert!(is_compatible(&typed, &json!({ "type": "object" })));
}

#[test]
fn keywords_that_are_rare() {
    let text = json!({ "type": "string" });
    for (old, new, expected) in [
        (text.clone(), json!({ "not": { "type": "integer" } }), true),
        (text.clone(), json!({ "not": { "minLength": 1 } }), false),
        (
            text.clone(),
            json!({ "if": { "type": "integer" }, "then": false }),
            true,
        ),
        (
            text.clone(),
            json!({ "if": { "type": "string" }, "then": { "maxLength": 1 } }),
            false,
        ),
        (
            text.clone(),
            json!({ "if": { "type": "string" }, "else": false }),
            true,
        ),
        (json!({ "multipleOf": 6 }), json!({ "multipleOf": 3 }), true),
        (json!({ "multipleOf": 3 }), json!({ "multipleOf": 6 }), false),
        (json!({ "type": "integer" }), json!({ "multipleOf": 1 }), true),
        (
            json!({ "type": "integer", "exclusiveMinimum": 0 }),
            json!({ "type": "number", "minimum": 1 }),
            true,
        ),
        (
            json!({ "type": "array", "maxItems": 1 }),
            json!({ "type": "array", "uniqueItems": true }),
            true,
        ),
        (
            json!({ "type": "array", "contains": { "type": "null" } }),
            json!({ "type": "array", "contains": { "type": "null" }, "maxItems": 9 }),
            false,
        ),
        (
            json!({ "properties": { "a": true, "b": true }, "required": ["a", "b"] }),
            json!({ "dependentRequired": { "a": ["b"] } }),
            true,
        ),
        (
            json!({ "properties": { "a": true, "b": true }, "required": ["a"] }),
            json!({ "dependentRequired": { "a": ["b"] } }),
            false,
        ),
        (
            json!({ "type": "object", "properties": { "a": true }, "additionalProperties": false }),
            json!({ "allOf": [{ "properties": { "a": true } }], "unevaluatedProperties": false }),
            true,
        ),
        (
            json!({ "type": "object", "properties": { "a": true, "b": true } }),
            json!({ "allOf": [{ "properties": { "a": true } }], "unevaluatedProperties": false }),
            false,
        ),
        (
            json!({ "type": "object", "properties": { "ab": true } }),
            json!({ "propertyNames": { "maxLength": 2 } }),
            true,
        ),
        (
            json!({ "type": "object", "properties": { "abc": true } }),
            json!({ "propertyNames": { "maxLength": 2 } }),
            false,
        ),
        (
            json!({ "enum": [1, 2.0] }),
            json!({ "type": "integer", "maximum": 2 }),
            true,
        ),
        (json!(false), json!({ "type": "string" }), true),
        (json!(true), json!({}), true),
    ] {
        assert_eq!(
            is_compatible(&old, &new),
            expected,
            "{old} {new}: {:?}",
            check(&old, &new, Mode::Backward)
        );
    }
}

#[test]
fn in_the_mode_none_anything_goes() {
    assert!(check(&json!(true), &json!(false), Mode::None).is_empty());
}
