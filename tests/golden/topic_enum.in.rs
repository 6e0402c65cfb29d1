#[topic("stock:stock-moved", key = sku)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum StockMoved {
    Received {
        sku: String,
        amount: u32,
    },
    #[sample]
    Sold {
        #[sample("sku-1")]
        sku: String,
    },
}
