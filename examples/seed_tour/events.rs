//! The events of the tour, and what is done with them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ductape_events::prelude::*;

/// Emitted when an order is created.
#[topic("order-events:order-created", key = order_id)]
#[derive(Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct OrderCreated {
    #[sample("12345")]
    pub(crate) order_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[sample("cust_789")]
    pub(crate) customer_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[sample(99.99)]
    pub(crate) total: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[sample("2024-01-15T10:30:00Z")]
    pub(crate) created_at: Option<String>,
    /// What the quick example calls the total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) amount: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<String>,
}

/// What `process_new_order` works with.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    is_delivered: AtomicBool,
    processed: Mutex<Vec<String>>,
}

impl Stock {
    /// The delivery that some orders wait for is there.
    pub(crate) fn deliver(&self) {
        self.is_delivered.store(true, Ordering::Release);
    }

    /// The orders that were processed.
    pub(crate) fn processed(&self) -> Vec<String> {
        self.processed
            .lock()
            .map(|orders| orders.clone())
            .unwrap_or_default()
    }
}

/// Processes a new order. One without a price can't be, one on hold is for later, and a large one waits for the delivery.
#[consumer(group = "process-new-order", retry(attempts = 2, base = "10ms"))]
pub(crate) async fn process_new_order(
    order: OrderCreated,
    attempt: Attempt,
    stock: State<Arc<Stock>>,
) -> Result<(), HandlerError> {
    let price = order.total.or(order.amount).unwrap_or_default();
    if price <= 0.0 {
        return Err(format!("order {} has no price", order.order_id).reject());
    }
    if order.status.as_deref() == Some("on hold") {
        return Err("on hold".retry_after(Duration::from_hours(1)));
    }
    if price >= 1_000.0 && !stock.is_delivered.load(Ordering::Acquire) {
        return Err(format!("out of stock at attempt {}", attempt.0).into());
    }
    if let Ok(mut processed) = stock.processed.lock() {
        processed.push(order.order_id);
    }
    Ok(())
}
