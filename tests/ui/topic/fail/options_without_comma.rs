use ductape_events::prelude::*;

#[topic("order-events:order-created", version = 2 portable)]
struct OrderCreated {
    order_id: String,
}

fn main() {}
