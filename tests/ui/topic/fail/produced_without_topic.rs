use ductape_events::prelude::*;

struct OrderCreated;

async fn produce(ductape: &Ductape) {
    let _ = OrderCreated.produce(ductape).await;
    takes(OrderCreated);
}

fn takes(_: impl Topic) {}

fn main() {}
