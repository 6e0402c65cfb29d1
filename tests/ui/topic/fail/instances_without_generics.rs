use ductape_events::prelude::*;

#[topic("payments:paid", instances(Paid<u32>))]
struct Paid {
    cents: u32,
}

fn main() {}
