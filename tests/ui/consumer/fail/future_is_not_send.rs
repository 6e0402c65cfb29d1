use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer]
async fn bill(order: OrderCreated) {
    let count = std::rc::Rc::new(1);
    std::future::ready(()).await;
    println!("{count} {}", order.order_id);
}

fn main() {}
