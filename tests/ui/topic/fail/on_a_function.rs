use ductape_events::prelude::*;

#[topic("order-events:order-created")]
async fn order_created() {}

fn main() {}
