use ductape_events::prelude::*;

#[topic("orders:read-by-new")]
struct OrderCreated {
    order_id: String,
    total: f64,
    lines: Vec<u32>,
    note: Option<String>,
    currency: String,
}

fn main() {}
