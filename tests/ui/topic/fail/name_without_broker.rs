use ductape_events::prelude::*;

#[topic(":order-created")]
struct OrderCreated {
    order_id: String,
}

fn main() {}
