use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer(ordering = "relaxed")]
async fn bill(orders: &std::vec::Vec<OrderCreated>) -> Result<Vec<Outcome>, HandlerError> {
    Ok(orders.iter().map(|_| Outcome::Ack).collect())
}

fn main() {}
