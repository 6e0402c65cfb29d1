use ductape_events::prelude::*;

#[topic("orders:moved")]
#[serde(rename_all = "snake_case")]
enum Moved {
    Lost,
    #[serde(rename = "Shipped")]
    Shipped { to: String },
    #[serde(rename = "Returned")]
    Returned { days: u8 },
}

fn main() {}
