use ductape_events::prelude::*;

#[topic("order-events:OrderCreated")]
struct OrderCreated {
    order_id: String,
}

fn main() {}
