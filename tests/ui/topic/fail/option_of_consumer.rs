use ductape_events::prelude::*;

#[topic("order-events:order-created", group = "billing")]
struct OrderCreated {
    order_id: String,
}

fn main() {}
