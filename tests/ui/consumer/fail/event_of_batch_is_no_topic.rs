use ductape_events::prelude::*;

#[consumer]
async fn bill(orders: Vec<u32>) {}

fn main() {}
