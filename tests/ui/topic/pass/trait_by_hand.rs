use ductape_events::prelude::*;

use ductape_events::__private::schemars::{JsonSchema, Schema, SchemaGenerator};

#[topic("orders:order-seen", manual(JsonSchema))]
struct OrderSeen {
    order_id: String,
}

impl JsonSchema for OrderSeen {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OrderSeen".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        <std::collections::HashMap<String, String>>::json_schema(generator)
    }
}

fn main() {}
