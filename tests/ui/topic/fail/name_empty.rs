use ductape_events::prelude::*;

#[topic("")]
struct OrderCreated {
    order_id: String,
}

fn main() {}
