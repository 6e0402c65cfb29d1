use ductape_events::prelude::*;

#[topic("stock:moved")]
enum StockMoved {
    #[sample]
    Received { sku: String },
    #[sample]
    Sold { sku: String },
    #[sample(1)]
    Lost,
}

fn main() {}
