use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer(prefetch = 10, batch = 100)]
async fn bill(_orders: Vec<OrderCreated>) {}

fn main() {}
