use ductape_events::prelude::*;

#[topic("order-events:order-created")]
trait OrderCreated {}

fn main() {}
