use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer]
async fn bill<T, const N: usize>(_order: OrderCreated) {}

fn main() {}
