use ductape_events::prelude::*;

#[topic("order-events:order-created")]
enum OrderCreated {}

fn main() {}
