use ductape_events::prelude::*;

use ductape_events::__private::serde;

#[topic("orders:order-seen")]
#[cfg_attr(all(), derive(serde::Serialize))]
#[cfg_attr(any(), derive(serde::Deserialize))]
struct OrderSeen {
    order_id: String,
}

fn main() {}
