use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[topic("order-events:order-billed")]
struct OrderBilled {
    order_id: String,
}

#[consumer]
async fn bill(orders: Vec<OrderCreated>) -> Result<Vec<OrderBilled>, HandlerError> {
    Ok(orders.into_iter().map(|order| OrderBilled { order_id: order.order_id }).collect())
}

fn main() {}
