use ductape_events::prelude::*;

#[topic("order-events:order-created", key = (order_id, order_id))]
struct OrderCreated {
    order_id: String,
}

fn main() {}
