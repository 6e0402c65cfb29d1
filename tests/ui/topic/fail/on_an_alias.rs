use ductape_events::prelude::*;

#[topic("order-events:order-created")]
type OrderCreated = u32;

fn main() {}
