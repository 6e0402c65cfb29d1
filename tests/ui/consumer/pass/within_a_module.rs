use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

mod billing {
    /// Bills.
    #[ductape_events::consumer(group = "billing")]
    pub(super) async fn bill(order: super::OrderCreated) {
        drop(order);
    }
}

use billing::bill;

fn main() {
    assert_eq!(<bill as ductape_events::consumer::Consumer>::descriptor().name, "bill");
}
