//! The topic of the tests: nested types, two kinds of enums, a map, and what may be missing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ductape_events::prelude::*;

/// Someone placed an order.
#[topic("interop:order-placed", key = order_id)]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OrderPlaced {
    /// Which order.
    pub(crate) order_id: String,
    pub(crate) customer: Customer,
    pub(crate) lines: Vec<Line>,
    pub(crate) payment: Payment,
    pub(crate) channel: Channel,
    /// Kilograms, by the name of the parcel.
    pub(crate) weights: BTreeMap<String, f64>,
    pub(crate) note: Option<String>,
}

/// Who ordered.
#[payload]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Customer {
    pub(crate) name: String,
    pub(crate) address: Option<Address>,
}

/// Where a customer lives.
#[payload]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Address {
    pub(crate) city: String,
    pub(crate) postal_code: Option<String>,
}

/// What was ordered.
#[payload]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) sku: String,
    pub(crate) quantity: u32,
    pub(crate) cents: i64,
}

/// How it is paid.
#[payload]
#[serde(tag = "by", rename_all = "camelCase")]
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Payment {
    #[serde(rename_all = "camelCase")]
    Card {
        last_four: String,
    },
    Cash,
}

/// Where it was ordered.
#[payload]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Channel {
    Web,
    Shop,
}

impl OrderPlaced {
    /// An order with everything, or with nothing that may be missing.
    pub(crate) fn of(order_id: &str, full: bool) -> Self {
        let address = Address {
            city: "Zürich \"Höngg\"".to_owned(),
            postal_code: full.then(|| "8049".to_owned()),
        };
        Self {
            order_id: order_id.to_owned(),
            customer: Customer {
                name: "Zoë 東京".to_owned(),
                address: full.then_some(address),
            },
            lines: vec![Line {
                sku: "bolt/m4".to_owned(),
                quantity: u32::MAX,
                cents: if full { i64::MAX } else { -1 },
            }],
            payment: if full {
                Payment::Card {
                    last_four: "0042".to_owned(),
                }
            } else {
                Payment::Cash
            },
            channel: if full { Channel::Web } else { Channel::Shop },
            weights: BTreeMap::from([("große Kiste".to_owned(), 0.1)]),
            note: full.then(|| "line\nline".to_owned()),
        }
    }
}

/// The orders that came, and what was known of them.
#[derive(Clone, Default)]
pub(crate) struct Received(pub(crate) Arc<Mutex<Vec<(OrderPlaced, Meta)>>>);

#[consumer(group = "rust")]
pub(crate) async fn record(order: OrderPlaced, meta: Meta, received: State<Received>) {
    received.0.lock().unwrap().push((order, meta));
}
