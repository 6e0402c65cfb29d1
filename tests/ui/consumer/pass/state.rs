use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

struct Ledger;

#[consumer]
async fn bill(order: OrderCreated, ledger: State<Ledger>, other: &State<std::sync::Mutex<u32>>) {
    let _: &Ledger = &ledger;
    let _ = (order, other);
}

fn main() {}
