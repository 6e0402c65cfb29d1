use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer]
async fn bill(order: OrderCreated, text: String, number: &u32) {}

fn main() {}
