use ductape_events::prelude::*;

#[topic("order-events:order-created", crate = 7)]
struct OrderCreated {
    order_id: String,
}

fn main() {}
