use ductape_events::prelude::*;

#[topic("order-events:order-created", key, version =)]
struct OrderCreated {
    order_id: String,
}

fn main() {}
