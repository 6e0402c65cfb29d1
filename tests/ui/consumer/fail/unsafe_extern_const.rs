use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer]
const unsafe extern "C" fn bill(_order: OrderCreated) {}

fn main() {}
