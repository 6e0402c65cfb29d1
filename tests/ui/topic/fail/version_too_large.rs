use ductape_events::prelude::*;

#[topic("order-events:order-created", version = 5000000000)]
struct OrderCreated {
    order_id: String,
}

fn main() {}
