use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer]
async fn bill(order: impl Topic, names: Vec<impl ToString>) {}

fn main() {}
