use ductape_events::prelude::*;

#[topic("order-events:order-created")]
#[cfg_attr(all(), derive(Serialize))]
struct OrderCreated {
    order_id: String,
}

fn main() {}
