use ductape_events::prelude::*;

struct Order;

#[consumer]
async fn bill(order: Order) {}

fn main() {}
