use ductape_events::prelude::*;

#[topic("payments:paid", instances(Paid<u32>, Paid<u64>))]
struct Paid<C> {
    amount: C,
}

fn main() {}
