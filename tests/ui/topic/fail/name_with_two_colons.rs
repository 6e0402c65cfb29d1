use ductape_events::prelude::*;

#[topic("a:b:c")]
struct OrderCreated {
    order_id: String,
}

fn main() {}
