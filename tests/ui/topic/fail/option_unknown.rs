use ductape_events::prelude::*;

#[topic("order-events:order-created", kye = order_id)]
struct OrderCreated {
    order_id: String,
}

fn main() {}
