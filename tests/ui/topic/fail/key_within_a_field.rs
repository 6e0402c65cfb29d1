use ductape_events::prelude::*;

#[topic("order-events:order-created", key = customer.id)]
struct OrderCreated {
    order_id: String,
}

fn main() {}
