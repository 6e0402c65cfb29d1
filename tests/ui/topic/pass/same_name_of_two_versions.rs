use ductape_events::prelude::*;

mod v1 {
    #[ductape_events::topic("orders:order-seen")]
    pub struct OrderSeen {
        pub order_id: String,
    }
}

#[topic("orders:order-seen", version = 2)]
struct OrderSeen {
    order_id: u64,
}

fn main() {}
