use ductape_events::prelude::*;

#[topic("orders:read-by-new")]
#[serde(deny_unknown_fields)]
struct OrderCreated {
    order_id: String,
    total: f64,
    lines: Vec<u32>,
}

fn main() {}
