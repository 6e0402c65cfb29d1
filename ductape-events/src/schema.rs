//! The JSON Schema of a topic.

use schemars::JsonSchema;
use serde_json::Value;

/// The JSON Schema (2020-12) of `T`.
pub fn schema_of<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}
