use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer]
async fn bill(order: OrderCreated) {
    drop(order.order_id);
}

fn main() {
    use ductape_events::consumer::Consumer;
    assert_eq!(bill::descriptor().name, "bill");
    assert_eq!((bill::descriptor().topic)().event, "order-events:order-created");
}
