use ductape_events::prelude::*;

#[payload("order-events:line")]
struct Line {
    sku: String,
}

#[payload(key = sku)]
struct Other {
    sku: String,
}

#[payload]
fn part() {}

#[topic("order-events:order-created")]
struct OrderCreated {
    line: Line,
    other: Other,
}

fn main() {}
