use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

struct Billing;

impl Billing {
    #[consumer]
    async fn bill(&self, _order: OrderCreated) {}
}

fn main() {}
