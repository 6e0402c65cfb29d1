use ductape_events::prelude::*;

#[topic("order-events:order-created", key = id)]
struct OrderCreated;

fn main() {}
