//! What `#[sensitive]` hides: values that the schema marks are replaced before anything is written down.

use bytes::Bytes;
use serde_json::Value;

/// How the schema marks what is hidden.
const MARK: &str = "x-sensitive";
/// What stands in its place.
const MASKED: &str = "***";
/// How much of a schema is looked at for one payload, and how far from one part of it to the next without going on in the
/// payload: one that wants more refers to itself in circles.
const STEPS_MAX: usize = 1_000_000;
const REFERENCES_MAX: usize = 64;

/// Hides what the schema of a topic marks.
#[derive(Debug)]
pub(super) struct Mask {
    schema: Value,
}

impl Mask {
    /// The mask of a schema; `None` where it marks nothing.
    pub(super) fn of(schema: Value) -> Option<Self> {
        is_marked_within(&schema).then_some(Self { schema })
    }

    /// The payload with `"***"` for what is hidden. Of one that is not JSON nothing is left.
    pub(super) fn hide(&self, payload: &[u8]) -> Bytes {
        let hidden = serde_json::from_slice(payload).map_or(Value::Null, |mut value| {
            let mut steps = STEPS_MAX;
            self.walk(&self.schema, &mut value, (0, &mut steps), &mut mask);
            value
        });
        match hidden {
            Value::Null => Bytes::from(Value::from(MASKED).to_string()),
            hidden => Bytes::from(hidden.to_string()),
        }
    }

    /// Whether a payload has the mask itself where something is to be hidden.
    pub(super) fn is_hidden(&self, payload: &[u8]) -> bool {
        let mut is_hidden = false;
        if let Ok(mut value) = serde_json::from_slice(payload) {
            let mut steps = STEPS_MAX;
            self.walk(&self.schema, &mut value, (0, &mut steps), &mut |hidden| {
                is_hidden |= hidden.as_str() == Some(MASKED);
            });
        }
        is_hidden
    }

    fn walk(
        &self,
        schema: &Value,
        value: &mut Value,
        (references, steps): (usize, &mut usize),
        hide: &mut impl FnMut(&mut Value),
    ) {
        let Some(schema) = schema.as_object() else {
            return;
        };
        *steps = steps.saturating_sub(1);
        if *steps == 0 || references > REFERENCES_MAX || is_marked(schema.get(MARK)) {
            hide(value);
            return;
        }
        let target = schema.get("$ref").and_then(Value::as_str);
        if let Some(target) = target.and_then(|target| self.resolve(target)) {
            self.walk(target, value, (references + 1, steps), hide);
        }
        for all in ["allOf", "anyOf", "oneOf"] {
            for one in schema.get(all).and_then(Value::as_array).into_iter().flatten() {
                self.walk(one, value, (references + 1, steps), hide);
            }
        }
        for one in ["then", "else", "not"]
            .iter()
            .filter_map(|name| schema.get(*name))
        {
            self.walk(one, value, (references + 1, steps), hide);
        }
        match value {
            Value::Object(fields) => {
                let of = |name: &str| schema.get(name).and_then(Value::as_object);
                for (name, field) in fields {
                    if let Some(known) = of("properties").and_then(|known| known.get(name)) {
                        self.walk(known, field, (0, steps), hide);
                    }
                    // Which pattern is meant is not asked: what one of them hides is hidden.
                    for pattern in of("patternProperties").into_iter().flat_map(|all| all.values()) {
                        self.walk(pattern, field, (0, steps), hide);
                    }
                    if let Some(others) = schema.get("additionalProperties")
                        && of("properties").is_none_or(|known| !known.contains_key(name))
                    {
                        self.walk(others, field, (0, steps), hide);
                    }
                }
            }
            Value::Array(items) => {
                let first = schema.get("prefixItems").and_then(Value::as_array);
                let first: &[Value] = first.map_or(&[], Vec::as_slice);
                for (at, item) in items.iter_mut().enumerate() {
                    if let Some(of) = first.get(at).or_else(|| schema.get("items")) {
                        self.walk(of, item, (0, steps), hide);
                    }
                }
            }
            _ => {}
        }
    }

    /// What a reference within the schema points at.
    fn resolve(&self, target: &str) -> Option<&Value> {
        self.schema.pointer(target.strip_prefix('#')?)
    }
}

fn is_marked(mark: Option<&Value>) -> bool {
    mark.is_some_and(|mark| *mark == Value::Bool(true))
}

fn is_marked_within(schema: &Value) -> bool {
    match schema {
        Value::Object(entries) => is_marked(entries.get(MARK)) || entries.values().any(is_marked_within),
        Value::Array(items) => items.iter().any(is_marked_within),
        _ => false,
    }
}

/// Hides a value. That there is none is no secret.
fn mask(value: &mut Value) {
    if !value.is_null() {
        *value = Value::from(MASKED);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Mask;

    fn hidden(schema: Value, payload: &Value) -> Value {
        let mask = Mask::of(schema).unwrap();
        serde_json::from_slice(&mask.hide(payload.to_string().as_bytes())).unwrap()
    }

    #[test]
    fn what_is_marked_is_hidden_wherever_it_stands() {
        let schema = json!({
            "properties": {
                "card": {"type": "string", "x-sensitive": true},
                "notes": {"type": ["string", "null"], "x-sensitive": true},
                "address": {"$ref": "#/$defs/Address"},
                "others": {"type": "array", "items": {"$ref": "#/$defs/Address"}},
                "by_name": {"additionalProperties": {"$ref": "#/$defs/Address"}},
                "either": {"oneOf": [{"$ref": "#/$defs/Address"}, {"type": "null"}]},
                "pair": {"prefixItems": [{"x-sensitive": true}, {}]}
            },
            "$defs": {
                "Address": {"properties": {
                    "street": {"x-sensitive": true},
                    "next": {"$ref": "#/$defs/Address"}
                }}
            }
        });
        let address =
            json!({"street": "Long 1", "city": "Rome", "next": {"street": {"deep": 1}, "city": "Pisa"}});
        let masked = json!({"street": "***", "city": "Rome", "next": {"street": "***", "city": "Pisa"}});
        let payload = json!({
            "card": "4000", "notes": null, "address": address, "others": [address], "by_name": {"a": address},
            "either": address, "pair": [1, 2], "total": 3
        });
        assert_eq!(
            hidden(schema, &payload),
            json!({
                "card": "***", "notes": null, "address": masked, "others": [masked], "by_name": {"a": masked},
                "either": masked, "pair": ["***", 2], "total": 3
            })
        );
    }

    #[test]
    fn what_can_t_be_read_or_looked_through_is_hidden_whole() {
        let mask = Mask::of(json!({"properties": {"a": {"x-sensitive": true}}})).unwrap();
        assert_eq!(&*mask.hide(b"a=4000"), b"\"***\"");
        let circle = json!({"$ref": "#", "properties": {"a": {"x-sensitive": true}}});
        assert_eq!(hidden(circle, &json!({"a": 1, "b": 2})), json!("***"));
    }

    #[test]
    fn a_payload_that_was_hidden_is_told_from_one_that_was_not() {
        let schema = json!({"properties": {"card": {"x-sensitive": true}, "note": {}}});
        let mask = Mask::of(schema).unwrap();
        for (payload, is_hidden) in [
            (json!({"card": "4000", "note": "***"}), false),
            (json!({"card": null}), false),
            (json!({"note": "x"}), false),
            (json!({"card": "***"}), true),
        ] {
            assert_eq!(
                mask.is_hidden(payload.to_string().as_bytes()),
                is_hidden,
                "{payload}"
            );
        }
        assert!(!mask.is_hidden(b"no JSON"));
    }

    #[test]
    fn a_schema_without_a_mark_hides_nothing() {
        assert!(Mask::of(json!({"properties": {"a": {"type": "string"}}})).is_none());
    }
}
