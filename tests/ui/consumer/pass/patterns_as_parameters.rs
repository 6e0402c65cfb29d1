use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer]
async fn bill(OrderCreated { order_id }: OrderCreated, Attempt(attempt): Attempt, _: Meta, mut ctx: Context) {
    let _ = (order_id, attempt, &mut ctx);
}

fn main() {}
