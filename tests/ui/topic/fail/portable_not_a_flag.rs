use ductape_events::prelude::*;

#[topic("order-events:order-created", portable = "yes")]
struct OrderCreated {
    order_id: String,
}

fn main() {}
