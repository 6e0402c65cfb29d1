/// Emitted when an order is created.
///
/// Once for each order.
#[topic("order-events:order-created", key = order_id)]
pub struct OrderCreated {
    #[sample("12345")]
    pub order_id: String,
    #[sample(99.99)]
    pub total: f64,
}
