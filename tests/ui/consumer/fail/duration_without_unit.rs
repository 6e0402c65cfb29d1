use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer(timeout = "30")]
async fn bill(_order: OrderCreated) {}

fn main() {}
