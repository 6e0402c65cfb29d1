use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}


async fn bill(order: OrderCreated) {
    drop(order);
}

fn build() {
    let _ = ductape_events::consumer::Consumer::descriptor as fn() -> _;
    let _ = <bill as ductape_events::consumer::Consumer>::descriptor();
}

fn main() {}
