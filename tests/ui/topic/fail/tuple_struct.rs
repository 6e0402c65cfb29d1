use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated(String, f64);

fn main() {}
