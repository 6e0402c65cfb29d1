use ductape_events::prelude::*;

#[topic("payments:paid", instances(Paid<u32>, Paid<u64> = "payments:paid"))]
struct Paid<C> {
    amount: C,
}

fn main() {}
