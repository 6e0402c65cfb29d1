use ductape_events::prelude::*;

struct Order;

#[consumer]
async fn bill(_order: Order) {}

fn main() {}
