//! JSON Schema 2020-12 as `AsyncAPI` takes it: its Schema Object is a superset of draft 7, and references are to the whole document.

use serde_json::{Map, Value, json};

/// Keywords whose value is a schema.
const ONE: &[&str] = &[
    "additionalProperties",
    "propertyNames",
    "contains",
    "not",
    "if",
    "then",
    "else",
];
/// Keywords whose value is a list of schemas.
const MANY: &[&str] = &["allOf", "anyOf", "oneOf"];
/// Keywords whose value is schemas by name.
const NAMED: &[&str] = &["properties", "patternProperties"];
/// What is not of draft 7, or means something else in the document; without it a schema allows more.
const LEFT_OUT: &[&str] = &[
    "$schema",
    "$id",
    "$anchor",
    "$defs",
    "definitions",
    "unevaluatedProperties",
    "unevaluatedItems",
    "minContains",
    "maxContains",
];

/// The schema under `name`, and those that it defines under names that begin with it: entries of `components.schemas`.
pub(super) fn schemas(name: &str, schema: &Value) -> Vec<(String, Value)> {
    let within = Within { name };
    let mut all = vec![(name.to_owned(), within.schema(schema))];
    for definitions in ["$defs", "definitions"] {
        for (definition, schema) in schema
            .get(definitions)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            all.push((within.named(definition), within.schema(schema)));
        }
    }
    all
}

struct Within<'a> {
    name: &'a str,
}

impl Within<'_> {
    fn named(&self, definition: &str) -> String {
        let allowed = |c: char| {
            if c.is_ascii_alphanumeric() || "-_".contains(c) {
                c
            } else {
                '_'
            }
        };
        format!(
            "{}.{}",
            self.name,
            definition.chars().map(allowed).collect::<String>()
        )
    }

    /// Where in the document a reference within the schema points.
    fn reference(&self, to: &str) -> String {
        let definition = to
            .strip_prefix("#/$defs/")
            .or_else(|| to.strip_prefix("#/definitions/"));
        match definition {
            Some(definition) => format!("#/components/schemas/{}", self.named(&unescaped(definition))),
            None if to == "#" => format!("#/components/schemas/{}", self.name),
            None => to.to_owned(),
        }
    }

    fn schema(&self, schema: &Value) -> Value {
        let Some(keywords) = schema.as_object() else {
            return schema.clone();
        };
        let mut result = Map::new();
        let mut reference = None;
        let has_first = keywords.contains_key("prefixItems");
        for (keyword, value) in keywords {
            match keyword.as_str() {
                "$ref" => reference = value.as_str().map(|to| json!({ "$ref": self.reference(to) })),
                "prefixItems" => {
                    result.insert("items".to_owned(), self.list(value));
                }
                "items" if has_first => {
                    result.insert("additionalItems".to_owned(), self.schema(value));
                }
                "items" => {
                    result.insert("items".to_owned(), self.schema(value));
                }
                "dependentRequired" | "dependentSchemas" => {
                    result.insert("dependencies".to_owned(), self.by_name(value));
                }
                known if LEFT_OUT.contains(&known) => {}
                known if ONE.contains(&known) => {
                    result.insert(keyword.clone(), self.schema(value));
                }
                known if MANY.contains(&known) => {
                    result.insert(keyword.clone(), self.list(value));
                }
                known if NAMED.contains(&known) => {
                    result.insert(keyword.clone(), self.by_name(value));
                }
                _ => {
                    result.insert(keyword.clone(), value.clone());
                }
            }
        }
        match reference {
            // In draft 7 nothing beside a reference counts.
            Some(reference) if result.is_empty() => reference,
            Some(reference) => {
                let all = result.entry("allOf").or_insert_with(|| json!([]));
                if let Some(all) = all.as_array_mut() {
                    all.push(reference);
                }
                Value::Object(result)
            }
            None => Value::Object(result),
        }
    }

    fn list(&self, value: &Value) -> Value {
        let items = value.as_array().into_iter().flatten();
        items.map(|item| self.schema(item)).collect()
    }

    fn by_name(&self, value: &Value) -> Value {
        let entries = value.as_object().into_iter().flatten();
        let entries = entries.map(|(name, schema)| (name.clone(), self.schema(schema)));
        Value::Object(entries.collect())
    }
}

/// A name out of a reference: URI-escaped, and escaped as in a JSON pointer.
fn unescaped(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = tail.get(..2).filter(|_| *first == b'%');
        let byte = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    let name = String::from_utf8_lossy(&bytes);
    name.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::schemas;

    #[test]
    fn references_point_into_the_document_and_what_stands_beside_them_counts() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "$ref": {"type": "string"},
                "self": {"$ref": "#"},
                "page": {"$ref": "#/$defs/Page%3CItem%3E", "description": "The page."},
                "pair": {"prefixItems": [{"$ref": "#/$defs/Item"}, true], "items": false}
            },
            "$defs": {
                "Item": {"const": {"$ref": "kept"}},
                "Page<Item>": {"items": {"$ref": "#/$defs/Item"}}
            }
        });
        let all: Vec<(String, Value)> = schemas("shop.paid", &schema);
        let expected = [
            (
                "shop.paid",
                json!({
                    "type": "object",
                    "properties": {
                        "$ref": {"type": "string"},
                        "self": {"$ref": "#/components/schemas/shop.paid"},
                        "page": {
                            "allOf": [{"$ref": "#/components/schemas/shop.paid.Page_Item_"}],
                            "description": "The page."
                        },
                        "pair": {
                            "items": [{"$ref": "#/components/schemas/shop.paid.Item"}, true],
                            "additionalItems": false
                        }
                    }
                }),
            ),
            ("shop.paid.Item", json!({"const": {"$ref": "kept"}})),
            (
                "shop.paid.Page_Item_",
                json!({"items": {"$ref": "#/components/schemas/shop.paid.Item"}}),
            ),
        ];
        assert_eq!(all, expected.map(|(name, schema)| (name.to_owned(), schema)));
    }
}
