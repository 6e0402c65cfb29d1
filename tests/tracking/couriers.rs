//! Couriers that give orders up until their street is open, and auditors that take all.

use std::collections::{HashMap, HashSet};
use std::sync::{LazyLock, Mutex};

use ductape_events::prelude::*;
use ductape_events::store::Store;
use ductape_events::store::tracking::{DeadLetterFilter, DeliveryStatus, Message};

use crate::{Paid, messages};

/// The orders whose street is open by now.
pub(crate) static OPEN: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
/// How often each group was given each order.
static GIVEN: LazyLock<Mutex<HashMap<(&str, String), usize>>> = LazyLock::new(Mutex::default);

/// What the couriers were given of each order, in order: its secrets.
static TAKEN: LazyLock<Mutex<HashMap<String, Vec<String>>>> = LazyLock::new(Mutex::default);

pub(crate) fn taken(order: &str) -> Vec<String> {
    TAKEN.lock().unwrap().get(order).cloned().unwrap_or_default()
}

pub(crate) fn given(group: &'static str, order: &str) -> usize {
    let given = GIVEN.lock().unwrap();
    given.get(&(group, order.to_owned())).copied().unwrap_or(0)
}

fn give(group: &'static str, order: &str) {
    *GIVEN
        .lock()
        .unwrap()
        .entry((group, order.to_owned()))
        .or_default() += 1;
}

#[consumer(group = "courier")]
async fn courier(paid: Paid) -> Result<(), HandlerError> {
    give("courier", &paid.order);
    let secret = paid.secret.clone();
    TAKEN
        .lock()
        .unwrap()
        .entry(paid.order.clone())
        .or_default()
        .push(secret);
    if OPEN.lock().unwrap().contains(&paid.order) {
        Ok(())
    } else {
        Err("the street is closed".reject())
    }
}

#[consumer(group = "audit")]
async fn audit(paid: Paid) {
    give("audit", &paid.order);
}

pub(crate) fn builder(store: &Store) -> ductape_events::DuctapeBuilder {
    let builder = Ductape::builder().without_inventory().in_process();
    builder
        .environment("prd")
        .consumer::<courier>()
        .consumer::<audit>()
        .store(store.clone())
}

/// Orders of its own for each store and each test.
pub(crate) fn order(name: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn dead_letters() -> DeadLetterFilter {
    DeadLetterFilter {
        broker_tag: "shop".to_owned(),
        limit: 100,
        ..DeadLetterFilter::default()
    }
}

/// A program whose couriers have given these orders up.
pub(crate) async fn given_up(store: &Store, orders: &[String]) -> (Ductape, Vec<Message>) {
    let ductape = builder(store).build().await.unwrap();
    ductape.start().await.unwrap();
    for order in orders {
        Paid::of(order).produce(&ductape).await.unwrap();
    }
    let messages = messages(&ductape, |messages| {
        messages.len() == orders.len() && messages.iter().all(is_partial)
    })
    .await;
    (ductape, messages)
}

pub(crate) fn is_partial(message: &Message) -> bool {
    let of = |status| {
        let deliveries = message.consumer_deliveries.iter();
        deliveries.filter(|delivery| delivery.status == status).count()
    };
    (of(DeliveryStatus::Success), of(DeliveryStatus::DeadLettered)) == (1, 1)
}
