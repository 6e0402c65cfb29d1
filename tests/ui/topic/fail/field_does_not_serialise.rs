use ductape_events::prelude::*;

struct Address;

#[topic("order-events:order-created")]
struct OrderCreated {
    address: Address,
}

fn main() {}
