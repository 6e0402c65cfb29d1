use ductape_events::prelude::*;

#[topic("orders:read-by-new")]
struct OrderCreated {
    order_id: String,
    total: i64,
    lines: Vec<u8>,
    note: Option<String>,
}

fn main() {}
