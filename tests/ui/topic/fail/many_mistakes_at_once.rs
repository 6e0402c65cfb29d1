use ductape_events::prelude::*;

#[topic("Order-Events:order-created", kee = order_id, version = 0, key = id, compatibility = "some")]
struct OrderCreated {
    order_id: String,
}

fn main() {}
