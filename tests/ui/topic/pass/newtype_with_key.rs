use ductape_events::prelude::*;

#[topic("orders:order-seen", key = 0)]
struct OrderSeen(#[sample("12345")] String);

fn main() {
    assert_eq!(OrderSeen::sample(), "12345");
}
