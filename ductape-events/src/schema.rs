//! The JSON Schema of a type.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The JSON Schema (draft 2020-12) of what decodes into `T`.
pub fn schema_of<T: JsonSchema + ?Sized>() -> Value {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::schema_of;

    #[test]
    fn it_is_of_the_draft_that_it_names() {
        let schema = schema_of::<Vec<u8>>();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["items"]["maximum"], json!(255));
    }
}
