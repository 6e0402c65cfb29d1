use ductape_events::prelude::*;

#[topic("orders:created")]
#[serde(rename_all = "camelCase")]
struct OrderCreated {
    order_id: String,
    total: f64,
    lines: Vec<u32>,
    note: Option<String>,
}

fn main() {}
