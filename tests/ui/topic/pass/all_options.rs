use ductape_events::prelude::*;

#[topic(
    "orders:order-seen",
    key = order_id,
    version = 3,
    name = "Seen",
    compatibility = "full",
    portable = true,
    crate = ::ductape_events,
)]
struct OrderSeen {
    order_id: String,
}

fn main() {
    let descriptor = OrderSeen::descriptor();
    assert_eq!((descriptor.version, descriptor.name, descriptor.portable), (3, "Seen", true));
    assert_eq!(descriptor.compatibility, Some("full"));
}
