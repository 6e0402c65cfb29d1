use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer]
async fn bill(orders: &[OrderCreated], metas: &[Meta], ctx: &Context) {
    let _ = (orders.len(), metas.len(), ctx);
}

fn main() {}
