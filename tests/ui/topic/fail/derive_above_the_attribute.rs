use ductape_events::prelude::*;

use ductape_events::__private::serde;

#[derive(serde::Serialize)]
#[serde(crate = "ductape_events::__private::serde")]
#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

fn main() {}
