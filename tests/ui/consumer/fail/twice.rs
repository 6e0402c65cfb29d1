use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer(group = "a")]
#[consumer(group = "b")]
async fn bill(_order: OrderCreated) {}

fn main() {}
