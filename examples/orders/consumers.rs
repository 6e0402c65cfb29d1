//! What the shop does with an order.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ductape_events::prelude::*;

use crate::events::{OrderBilled, OrderCreated};

/// Why an order could not be billed.
#[derive(Debug)]
pub(crate) enum BillingError {
    NegativeTotal,
    CardDeclined,
    Unreachable,
}

impl fmt::Display for BillingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NegativeTotal => "the total is negative",
            Self::CardDeclined => "the card is declined",
            Self::Unreachable => "the payment service is busy",
        })
    }
}

impl std::error::Error for BillingError {}

/// Bills an order. The payment service is busy now and then, and some cards are declined at every attempt.
#[consumer(group = "billing", once, retry(attempts = 4, base = "20ms", max = "200ms"))]
async fn bill(order: OrderCreated, attempt: Attempt) -> Result<OrderBilled, HandlerError> {
    if order.total < 0.0 {
        return Err(BillingError::NegativeTotal.reject());
    }
    let luck = number_of(&order.order_id);
    if luck.is_multiple_of(250) {
        return Err(BillingError::CardDeclined.into());
    }
    if luck.is_multiple_of(12) && attempt < Attempt(3) {
        return Err(BillingError::Unreachable.into());
    }
    Ok(OrderBilled {
        invoice: order.order_id.replace("ord", "inv"),
        order_id: order.order_id,
        total: order.total,
    })
}

/// What is reserved of each article.
#[derive(Debug, Default)]
pub(crate) struct Stock(Mutex<HashMap<String, u64>>);

/// Reserves the articles of many orders at once.
#[consumer(group = "stock", once, batch = 50)]
async fn reserve_stock(orders: Vec<OrderCreated>, stock: State<Stock>) {
    let mut reserved = stock.0.lock().unwrap_or_else(PoisonError::into_inner);
    for item in orders.into_iter().flat_map(|order| order.items) {
        *reserved.entry(item.sku).or_default() += u64::from(item.quantity);
    }
}

/// Sends mail; here it only counts.
#[derive(Debug, Default)]
pub(crate) struct Mailer(AtomicU64);

/// Tells the customer.
#[consumer(group = "notifications", once)]
async fn notify(order: &OrderCreated, mailer: State<Mailer>, meta: &Meta) -> Result<(), HandlerError> {
    if order.items.is_empty() {
        return Err(format!("order {} of message {} has no items", order.order_id, meta.id).reject());
    }
    mailer.0.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

fn number_of(order_id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    order_id.hash(&mut hasher);
    hasher.finish()
}
