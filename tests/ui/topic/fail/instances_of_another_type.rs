use ductape_events::prelude::*;

#[topic("payments:paid", instances(Option<u32>, Paid<u32> = "bad name"))]
struct Paid<C> {
    amount: C,
}

fn main() {}
