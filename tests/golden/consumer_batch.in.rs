#[consumer(batch = 100)]
async fn reserve_stock(orders: &[OrderCreated], stock: State<Stock>, metas: &[Meta]) -> Result<(), StockError> {
    Ok(())
}
