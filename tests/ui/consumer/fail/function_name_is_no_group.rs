use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer]
#[allow(non_snake_case)]
async fn Bill(_order: OrderCreated) {}

fn main() {}
