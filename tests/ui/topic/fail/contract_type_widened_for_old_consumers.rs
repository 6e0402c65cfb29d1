use ductape_events::prelude::*;

#[topic("orders:read-by-old")]
struct OrderCreated {
    order_id: u64,
    total: f64,
    lines: Vec<i64>,
    note: Option<String>,
}

fn main() {}
