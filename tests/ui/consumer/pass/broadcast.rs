use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer(broadcast, start = "earliest")]
async fn refresh(_order: OrderCreated) {}

fn main() {}
