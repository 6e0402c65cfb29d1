use ductape_events::prelude::*;

#[topic("order-events:order-created", version = 0)]
struct OrderCreated {
    order_id: String,
}

fn main() {}
