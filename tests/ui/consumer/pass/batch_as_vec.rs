use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer(batch = 100)]
async fn bill(orders: Vec<OrderCreated>, metas: Vec<Meta>) -> Result<(), HandlerError> {
    assert_eq!(orders.len(), metas.len());
    Ok(())
}

fn main() {}
