use ductape_events::prelude::*;

#[topic("order-events", key = order_idd)]
struct OrderCreated {
    order_id: String,
}

#[consumer]
async fn bill(order: OrderCreated) {
    println!("{}", order.order_id);
}

async fn produce(ductape: &Ductape) {
    let order = OrderCreated { order_id: "1".to_owned() };
    let _ = order.produce(ductape).await;
}

fn main() {}
