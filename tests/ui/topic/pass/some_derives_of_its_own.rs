use ductape_events::prelude::*;

use ductape_events::__private::serde;

#[topic("orders:order-seen")]
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase", crate = "ductape_events::__private::serde")]
struct OrderSeen {
    order_id: String,
}

fn main() {}
