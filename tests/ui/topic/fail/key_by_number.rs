use ductape_events::prelude::*;

#[topic("order-events:order-created", key = 0)]
struct OrderCreated {
    order_id: String,
}

fn main() {}
