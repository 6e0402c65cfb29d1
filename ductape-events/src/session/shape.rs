//! Whether data has the shape of a sample.

use serde_json::Value;

/// How many misfits are told.
const TOLD_MAX: usize = 5;

/// What of `data` is not of the types that `sample` has, without the values; `None` when all is.
///
/// An object has the sample's fields and no others, each element of an array is as the sample's first. A `null` in the sample takes
/// anything, or nothing; an empty array any elements.
pub(super) fn misfit(sample: &Value, data: &Value) -> Option<String> {
    let mut wrong = Vec::new();
    compare(sample, data, &mut String::new(), &mut wrong);
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

fn compare(sample: &Value, data: &Value, path: &mut String, wrong: &mut Vec<String>) {
    if wrong.len() >= TOLD_MAX {
        return;
    }
    let len = path.len();
    match (sample, data) {
        (Value::Null, _)
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::String(_), Value::String(_)) => {}
        (Value::Array(samples), Value::Array(items)) => {
            let Some(sample) = samples.first() else {
                return;
            };
            for (at, item) in items.iter().enumerate() {
                path.push('/');
                path.push_str(&at.to_string());
                compare(sample, item, path, wrong);
                path.truncate(len);
            }
        }
        (Value::Object(samples), Value::Object(fields)) => {
            for (name, sample) in samples {
                path.push('/');
                path.extend(name.escape_debug());
                match fields.get(name) {
                    Some(field) => compare(sample, field, path, wrong),
                    None if sample.is_null() => {}
                    None => wrong.push(format!("`{path}` is missing")),
                }
                path.truncate(len);
            }
            let unknown = fields.keys().filter(|name| !samples.contains_key(*name)).count();
            if unknown > 0 {
                let at = if path.is_empty() { "the data" } else { path };
                wrong.push(format!("{at} has {unknown} fields that the sample has not"));
            }
        }
        _ => {
            let at = if path.is_empty() { "the data" } else { path };
            wrong.push(format!("`{at}` is {}, not {}", kind(data), kind(sample)));
        }
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::misfit;

    #[test]
    fn data_has_the_types_of_the_sample() {
        let sample = json!({
            "userId": "u", "age": 1, "admin": true, "roles": ["x"], "tags": [], "more": null, "place": {"zip": 1.5},
        });
        let good = json!({
            "userId": "", "age": -2.5, "admin": false, "roles": [], "tags": [1, "x"], "place": {"zip": 7},
        });
        assert_eq!(misfit(&sample, &good), None);
        for (path, value, told) in [
            ("/userId", json!(7), "`/userId` is a number, not a text"),
            ("/age", json!("1"), "`/age` is a text, not a number"),
            ("/admin", json!(0), "`/admin` is a number, not a boolean"),
            ("/roles", json!(["a", 2]), "`/roles/1` is a number, not a text"),
            ("/roles", json!({}), "`/roles` is an object, not an array"),
            ("/place", json!({}), "`/place/zip` is missing"),
            ("/place", json!(null), "`/place` is null, not an object"),
            (
                "/place",
                json!({"zip": 1, "hunter2": 2}),
                "/place has 1 fields that the sample has not",
            ),
        ] {
            let mut data = good.clone();
            *data.pointer_mut(path).unwrap() = value;
            assert_eq!(misfit(&sample, &data).as_deref(), Some(told));
        }
        assert_eq!(
            misfit(&sample, &json!([])).as_deref(),
            Some("`the data` is an array, not an object")
        );
        let many: Value = (0..100).map(|n| json!({"n": n})).collect();
        let told = misfit(&json!(["x"]), &many).unwrap();
        assert_eq!(told.matches("is an object").count(), 5, "{told}");
    }
}
