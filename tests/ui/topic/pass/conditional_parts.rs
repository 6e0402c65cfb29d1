use ductape_events::prelude::*;

#[topic("orders:order-seen", key = order_id)]
struct OrderSeen {
    order_id: String,
    #[cfg(any())]
    #[sample(1)]
    missing: Missing,
    #[cfg(all())]
    #[sample(2)]
    there: u32,
}

#[topic("orders:order-lost")]
#[cfg(any())]
struct OrderLost {
    missing: Missing,
}

fn main() {
    assert_eq!(OrderSeen::sample()["there"], 2);
}
