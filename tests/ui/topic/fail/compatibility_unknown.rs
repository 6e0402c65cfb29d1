use ductape_events::prelude::*;

#[topic("order-events:order-created", compatibility = "backwards")]
struct OrderCreated {
    order_id: String,
}

fn main() {}
