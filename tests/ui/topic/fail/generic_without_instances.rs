use ductape_events::prelude::*;

#[topic("payments:paid")]
struct Paid<C> {
    currency: C,
}

fn main() {}
