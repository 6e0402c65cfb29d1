use ductape_events::prelude::*;

#[topic("broken:not-json")]
struct OrderCreated {
    order_id: String,
    total: f64,
    lines: Vec<u32>,
    note: Option<String>,
}

fn main() {}
