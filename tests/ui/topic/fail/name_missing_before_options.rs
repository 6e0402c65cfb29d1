use ductape_events::prelude::*;

#[topic(key = order_id)]
struct OrderCreated {
    order_id: String,
}

fn main() {}
