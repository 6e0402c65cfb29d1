use ductape_events::prelude::*;

#[topic("order-events:-created")]
struct OrderCreated {
    order_id: String,
}

fn main() {}
