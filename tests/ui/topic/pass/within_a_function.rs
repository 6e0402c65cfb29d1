use ductape_events::prelude::*;



fn main() {
    #[topic("orders:order-seen")]
    struct OrderSeen {
        order_id: String,
    }
    assert_eq!(OrderSeen::VERSION, 1);
}
