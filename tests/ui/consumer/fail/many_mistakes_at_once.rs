use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer(grup = "billing", concurrency = 0, retry(attempts = 0, base = "1x"), broadcast, once)]
fn bill(_order: &mut OrderCreated) {}

fn main() {}
