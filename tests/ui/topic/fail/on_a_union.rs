use ductape_events::prelude::*;

#[topic("order-events:order-created")]
union OrderCreated {
    a: u32,
}

fn main() {}
