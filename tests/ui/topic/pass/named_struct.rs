use ductape_events::prelude::*;

/// Emitted when an order is created.
#[topic("order-events:order-created", key = order_id)]
struct OrderCreated {
    #[sample("12345")]
    order_id: String,
    #[sample(99.99)]
    total: f64,
}

fn main() {
    assert_eq!(OrderCreated::EVENT, "order-events:order-created");
    assert_eq!(OrderCreated::sample()["order_id"], "12345");
    let descriptor = OrderCreated::descriptor();
    assert_eq!(descriptor.name, "Order Created");
    assert_eq!(descriptor.description, "Emitted when an order is created.");
    assert_eq!(descriptor.key, Some("order_id"));
}
