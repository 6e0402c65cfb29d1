use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer]
async fn bill(order: OrderCreated) -> Result<(), HandlerError> {
    drop(order);
    Ok(())
}

async fn test() {
    let order = OrderCreated { order_id: "1".to_owned() };
    assert!(bill(order).await.is_ok());
}

fn main() {
    drop(test());
}
