#[consumer(group = "billing", concurrency = 16, prefetch = 64, retry(attempts = 5, backoff = "exponential", base = "200ms", max = "1m"), timeout = "1.5s", once, ordering = "relaxed", start = "earliest")]
pub(crate) async fn bill(order: &OrderCreated, ctx: &Context, Attempt(attempt): Attempt) -> Result<OrderBilled, BillingError> {
    todo!()
}
