use ductape_events::prelude::*;

#[topic(order_events:order_created)]
struct OrderCreated {
    order_id: String,
}

fn main() {}
