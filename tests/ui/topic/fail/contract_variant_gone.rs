use ductape_events::prelude::*;

#[topic("orders:moved")]
enum Moved {
    Lost,
    Shipped { to: String },
}

fn main() {}
