//! The events of the shop.

use ductape_events::prelude::*;

/// Emitted when a customer places an order.
#[topic("order-events:order-created", key = customer_id)]
#[derive(Clone, Debug)]
pub(crate) struct OrderCreated {
    #[sample("ord-000001")]
    pub(crate) order_id: String,
    #[sample("cust-0001")]
    pub(crate) customer_id: String,
    /// In units of the currency.
    #[sample(99.99)]
    pub(crate) total: f64,
    pub(crate) currency: Currency,
    pub(crate) items: Vec<Item>,
    #[serde(default)]
    pub(crate) note: String,
    #[sample("2024-01-15T10:30:00Z")]
    pub(crate) created_at: String,
}

/// The currencies that the shop takes.
#[payload]
#[derive(Clone, Copy, Debug)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Currency {
    Eur,
    Usd,
    Gbp,
    Ngn,
}

/// A line of an order.
#[payload]
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) sku: String,
    pub(crate) quantity: u32,
}

/// Emitted when an order is billed.
#[topic("order-events:order-billed", key = order_id)]
#[derive(Clone, Debug)]
pub(crate) struct OrderBilled {
    #[sample("ord-000001")]
    pub(crate) order_id: String,
    #[sample("inv-000001")]
    pub(crate) invoice: String,
    #[sample(99.99)]
    pub(crate) total: f64,
}
