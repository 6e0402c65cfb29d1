use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    #[sample]
    a: String,
    #[sample(1, 2)]
    b: u32,
    #[sample(1)]
    #[sample(2)]
    c: u32,
    #[serde(skip)]
    #[sample(1)]
    d: u32,
    #[sample = "x"]
    e: String,
}

fn main() {}
