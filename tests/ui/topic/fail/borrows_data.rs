use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated<'a> {
    order_id: &'a str,
}

fn main() {}
