use ductape_events::prelude::*;

#[topic("orders:moved")]
enum Moved {
    Lost,
    Shipped { to: String, by: String },
    Returned { days: String },
}

fn main() {}
