use ductape_events::prelude::*;

#[topic("orders:read-by-old")]
struct OrderCreated {
    order_id: String,
    total: Option<f64>,
    lines: Vec<u32>,
    note: Option<String>,
}

fn main() {}
