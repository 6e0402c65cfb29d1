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
async fn bill(order: OrderCreated) -> Result<OrderBilled, HandlerError> {
    Ok(OrderBilled { order_id: order.order_id })
}

fn main() {}
