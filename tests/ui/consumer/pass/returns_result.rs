use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer]
async fn bill(order: OrderCreated) -> Result<(), std::num::ParseIntError> {
    order.order_id.parse::<u32>().map(drop)
}

fn main() {}
