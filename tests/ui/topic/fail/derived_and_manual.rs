use ductape_events::prelude::*;

#[topic("order-events:order-created", manual(JsonSchema, Display))]
#[derive(ductape_events::__private::schemars::JsonSchema)]
struct OrderCreated {
    order_id: String,
}

fn main() {}
