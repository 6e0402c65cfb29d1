//! What the macros register, and what a topic writes as its key.

use ductape_events::__private::{RegisteredConsumer, RegisteredTopic, inventory};
use ductape_events::consumer::{Backoff, Consumer};
use ductape_events::prelude::*;

/// Emitted when an order is created.
///
/// Once for each order.
#[topic("macros:order-created", key = order_id)]
#[serde(rename_all = "camelCase")]
struct OrderCreated {
    order_id: String,
    #[serde(rename = "sum")]
    total: f64,
}

#[consumer(retry(attempts = 3, backoff = "fixed"))]
async fn bill(_order: OrderCreated) {}

#[consumer]
async fn reserve(_orders: Vec<OrderCreated>) {}

#[test]
fn topics_and_consumers_are_found_at_link_time() {
    let topics: Vec<&str> = inventory::iter::<RegisteredTopic>
        .into_iter()
        .map(|topic| topic.0.event)
        .collect();
    assert!(topics == ["macros:order-created"], "{topics:?}");
    let consumers = inventory::iter::<RegisteredConsumer>.into_iter();
    let mut consumers: Vec<&str> = consumers.map(|consumer| consumer.0.name).collect();
    consumers.sort_unstable();
    assert_eq!(consumers, ["bill", "reserve"]);
}

#[test]
fn a_descriptor_says_what_stands_in_the_source() {
    let descriptor = OrderCreated::descriptor();
    assert_eq!(
        descriptor.description,
        "Emitted when an order is created.\n\nOnce for each order."
    );
    assert_eq!(
        (descriptor.type_name, descriptor.name),
        ("OrderCreated", "Order Created")
    );
    assert_eq!(descriptor.key, Some("orderId"));
    let (file, line) = descriptor.location.rsplit_once(':').unwrap();
    assert!(
        file.ends_with("macros.rs") && line.parse::<u32>().unwrap() > 1,
        "{}",
        descriptor.location
    );
}

#[test]
fn options_that_are_left_out_stay_open() {
    let options = bill::descriptor().options;
    assert_eq!(
        (options.retry.attempts, options.retry.backoff),
        (Some(3), Some(Backoff::Fixed))
    );
    assert_eq!(
        (options.group, options.concurrency, options.retry.max),
        (None, None, None)
    );
}

#[test]
fn wire_names_follow_serde() {
    let sample = OrderCreated::sample();
    assert!(
        sample["orderId"].is_string() && sample["sum"].is_number(),
        "{sample}"
    );
    let order = OrderCreated {
        order_id: "1".to_owned(),
        total: 2.5,
    };
    assert_eq!(
        serde_json::to_value(&order).unwrap(),
        serde_json::json!({ "orderId": "1", "sum": 2.5 })
    );
}
