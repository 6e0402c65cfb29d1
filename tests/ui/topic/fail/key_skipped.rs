use ductape_events::prelude::*;

#[topic("order-events:order-created", key = order_id)]
struct OrderCreated {
    #[serde(skip)]
    order_id: String,
}

fn main() {}
