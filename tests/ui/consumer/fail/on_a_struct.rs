use ductape_events::prelude::*;

#[consumer(group = "billing")]
struct OrderCreated {
    order_id: String,
}

fn main() {}
