use ductape_events::prelude::*;

#[topic("order-events:order-created", key = (order_id, lines))]
struct OrderCreated {
    order_id: Option<String>,
    lines: Vec<u32>,
}

fn main() {}
