use ductape_events::prelude::*;

#[topic("orders:order-seen", key = (tenant, order_id))]
struct OrderSeen {
    tenant: u32,
    order_id: String,
}

fn main() {
    assert_eq!(OrderSeen::descriptor().key, Some("tenant/order_id"));
}
