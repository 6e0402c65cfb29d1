use ductape_events::prelude::*;

#[topic("stock:moved", key = sku)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum StockMoved {
    Received { sku: String, amount: u32 },
    #[sample]
    SoldOut {
        #[sample("sku-1")]
        sku: String,
    },
}

fn main() {
    let sample = StockMoved::sample();
    assert_eq!((&sample["kind"], &sample["sku"]), (&"sold_out".into(), &"sku-1".into()));
}
