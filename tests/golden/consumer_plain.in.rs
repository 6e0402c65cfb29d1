#[consumer]
async fn notify(order: OrderCreated) {}
