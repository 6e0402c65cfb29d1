use ductape_events::prelude::*;

#[topic("order-events")]
struct OrderCreated {
    order_id: String,
}

fn main() {}
