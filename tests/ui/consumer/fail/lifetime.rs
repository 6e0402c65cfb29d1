use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer]
async fn bill<'a>(_order: &'a OrderCreated) {}

fn main() {}
