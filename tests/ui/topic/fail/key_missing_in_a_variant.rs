use ductape_events::prelude::*;

#[topic("stock:moved", key = sku)]
enum StockMoved {
    Received { sku: String },
    Counted,
    Lost { place: String },
}

fn main() {}
