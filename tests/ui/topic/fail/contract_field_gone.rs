use ductape_events::prelude::*;

#[topic("orders:created")]
struct OrderCreated {
    order_id: String,
    lines: Vec<u32>,
    note: Option<String>,
}

fn main() {}
