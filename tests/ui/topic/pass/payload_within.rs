use ductape_events::prelude::*;

#[topic("orders:order-seen")]
struct OrderSeen {
    lines: Vec<Line>,
}

#[payload]
struct Line {
    sku: String,
}

fn main() {}
