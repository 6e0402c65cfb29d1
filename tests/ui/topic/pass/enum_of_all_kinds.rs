use ductape_events::prelude::*;

#[topic("stock:moved")]
enum StockMoved {
    Nothing,
    One(u32),
    Two(u32, String),
    Named { sku: String },
}

fn main() {}
