use ductape_events::prelude::*;

#[topic("orders:moved")]
enum Moved {
    Lost,
    Shipped { to: String },
    Returned { days: u8 },
    Stolen { by: String },
}

fn main() {}
