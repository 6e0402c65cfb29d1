use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer]
async fn bill(order: OrderCreated) -> Result<Outcome, Box<dyn std::error::Error + Send + Sync>> {
    Ok(if order.order_id.is_empty() { Outcome::Reject("no id".to_owned()) } else { Outcome::Ack })
}

fn main() {}
