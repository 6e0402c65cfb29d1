use ductape_events::prelude::*;

#[topic("order-events:order-created")]
struct OrderCreated {
    order_id: String,
}

#[consumer(
    group = "billing",
    concurrency = 16,
    prefetch = 64,
    retry(attempts = 5, backoff = "exponential", base = "200ms", max = "1m"),
    timeout = "30s",
    once,
    ordering = "strict",
    start = "latest",
    crate = ::ductape_events,
)]
async fn bill(_order: OrderCreated) {}

fn main() {
    let options = <bill as ductape_events::consumer::Consumer>::descriptor().options;
    assert_eq!((options.group, options.concurrency, options.prefetch), (Some("billing"), Some(16), Some(64)));
    assert_eq!(options.retry.base, Some(std::time::Duration::from_millis(200)));
    assert_eq!(options.timeout, Some(std::time::Duration::from_secs(30)));
}
