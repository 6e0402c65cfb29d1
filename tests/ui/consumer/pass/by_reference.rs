use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer]
async fn bill(order: &OrderCreated, ctx: &Context, meta: &Meta) {
    let _ = (&order.order_id, ctx, meta);
}

fn main() {}
