//! Each promise of the store, shown on a file of its own.

mod file;
mod groups;
mod order;
mod settle;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering as Atomic};
use std::time::Duration;

use tokio::time::timeout;

use super::{Durable, DurableConfig, DurableSubscription};
use crate::clock;
use crate::message::{Outgoing, TopicName};
use crate::provider::{
    Delivery, Provider, PublishReceipt, PublishSlot, Receipt, SettleSlot, Settlement, Settler, Subscription,
};
use crate::spec::{GroupSpec, SubscriptionSpec, TopicSpec};
use crate::{ErrorKind, Result};

/// A store's file in a directory of its own, which goes when the test is over.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Atomic::Relaxed);
        let name = format!("ductape-durable-{}-{next}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        // One is left over when an earlier process had the same number.
        drop(std::fs::remove_dir_all(&directory));
        Self(directory)
    }

    fn file(&self) -> PathBuf {
        self.0.join("events.db")
    }

    fn config(&self) -> DurableConfig {
        DurableConfig::new(self.file())
    }

    /// Each handle has a thread and a connection of its own, as another process has.
    async fn open(&self) -> Durable {
        self.config().open().await.unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn topic() -> TopicName {
    TopicName::new("orders:created".parse().unwrap(), 1.try_into().unwrap())
}

fn group(name: &str) -> GroupSpec {
    GroupSpec::new(name.parse().unwrap())
}

async fn declare(store: &Durable, groups: &[GroupSpec]) {
    let mut spec = TopicSpec::new(topic());
    spec.groups = groups.to_vec();
    store.declare(&spec).await.unwrap();
}

async fn join(store: &Durable, group: &GroupSpec) -> DurableSubscription {
    store
        .subscribe(&SubscriptionSpec::new(topic(), group.clone()))
        .await
        .unwrap()
}

fn message(key: Option<&str>, payload: &str) -> Outgoing {
    let mut message = Outgoing::new(topic(), payload.to_owned());
    message.key = key.map(|key| key.to_owned().into());
    message
}

async fn publish_all(store: &Durable, messages: Vec<Outgoing>) -> Vec<Result<PublishReceipt>> {
    let mut slots: Vec<_> = messages.into_iter().map(PublishSlot::new).collect();
    store.publish(&mut slots).await;
    slots.into_iter().map(|slot| slot.outcome.unwrap()).collect()
}

async fn publish(store: &Durable, message: Outgoing) -> PublishReceipt {
    publish_all(store, vec![message]).await.remove(0).unwrap()
}

/// Publishes `KEY PAYLOAD` pairs in one call.
async fn publish_keyed(store: &Durable, messages: &[(&str, &str)]) {
    let messages = messages
        .iter()
        .map(|(key, payload)| message(Some(key), payload))
        .collect();
    for outcome in publish_all(store, messages).await {
        outcome.unwrap();
    }
}

async fn receive(subscription: &mut DurableSubscription, max: usize) -> Vec<Delivery> {
    let mut into = Vec::new();
    let max = NonZeroUsize::new(max).unwrap();
    timeout(Duration::from_secs(20), subscription.receive(&mut into, max))
        .await
        .expect("nothing was delivered")
        .unwrap();
    into
}

async fn receive_one(subscription: &mut DurableSubscription) -> Delivery {
    let mut all = receive(subscription, 1).await;
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// Asserts that nothing comes while another round trip through the store is made twice.
async fn assert_idle(store: &Durable, subscription: &mut DurableSubscription) {
    let mut into = Vec::new();
    tokio::select! {
        biased;
        received = subscription.receive(&mut into, NonZeroUsize::MIN) => {
            panic!("{:?}: {:?}", received, into.iter().map(text).collect::<Vec<_>>());
        }
        () = async {
            // Two polls of another process's writes fit in.
            for _ in 0..4 {
                store.ping().await.unwrap();
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
        } => {}
    }
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.message.payload.to_vec()).unwrap()
}

fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(text).collect()
}

fn count(delivery: &Delivery) -> u32 {
    delivery.message.delivery_count.unwrap().get()
}

async fn try_settle(
    subscription: &DurableSubscription,
    receipts: Vec<Receipt>,
    how: Settlement,
) -> Vec<Result<()>> {
    let mut slots: Vec<_> = receipts
        .into_iter()
        .map(|receipt| SettleSlot::new(receipt, how))
        .collect();
    subscription.settler().settle(&mut slots).await;
    slots.into_iter().map(|slot| slot.outcome.unwrap()).collect()
}

async fn settle(subscription: &DurableSubscription, delivery: Delivery, how: Settlement) {
    try_settle(subscription, vec![delivery.receipt], how)
        .await
        .remove(0)
        .unwrap();
}

async fn ack_all(subscription: &DurableSubscription, deliveries: Vec<Delivery>) {
    let receipts = deliveries.into_iter().map(|delivery| delivery.receipt).collect();
    for outcome in try_settle(subscription, receipts, Settlement::Ack).await {
        outcome.unwrap();
    }
}

async fn close(store: &Durable) {
    store.close(clock::now() + Duration::from_secs(20)).await.unwrap();
}

fn kind<T>(result: Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("it went well"),
        Err(error) => error.kind(),
    }
}
