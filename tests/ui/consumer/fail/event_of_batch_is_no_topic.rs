use ductape_events::prelude::*;

#[consumer]
async fn bill(_orders: Vec<u32>) {}

fn main() {}
