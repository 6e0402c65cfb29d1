use ductape_events::prelude::*;

#[topic("order-events:order-created")]
#[topic("order-events:order-made")]
struct OrderCreated {
    order_id: String,
}

fn main() {}
