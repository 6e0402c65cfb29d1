use ductape_events::prelude::*;

#[topic("orders:paid")]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Paid {
    Card { digits: u32 },
    Cash { amount: f64 },
}

fn main() {}
