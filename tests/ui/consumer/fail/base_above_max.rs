use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer(retry(base = "2m", max = "1m"))]
async fn bill(_order: OrderCreated) {}

fn main() {}
