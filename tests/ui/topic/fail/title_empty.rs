use ductape_events::prelude::*;

#[topic("order-events:order-created", name = " ")]
struct OrderCreated {
    order_id: String,
}

fn main() {}
