use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer]
async fn bill(_order: OrderCreated, _store: &dyn Send) {}

fn main() {}
