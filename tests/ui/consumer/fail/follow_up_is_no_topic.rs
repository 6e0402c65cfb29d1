use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

struct Billed;

#[consumer]
async fn bill(_order: OrderCreated) -> Result<Billed, HandlerError> {
    Ok(Billed)
}

fn main() {}
