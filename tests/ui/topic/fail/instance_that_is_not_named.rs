use ductape_events::prelude::*;

#[topic("payments:paid", instances(Paid<u32>))]
struct Paid<C> {
    amount: C,
}

fn main_of(_: impl Topic) {}

fn never() {
    main_of(Paid { amount: 1_u64 });
}

fn main() {}
