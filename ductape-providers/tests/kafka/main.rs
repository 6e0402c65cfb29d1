//! What the suite does not show of Kafka: each field of the configuration, connections that fail, set-ups that are wrong,
//! messages from elsewhere, and a message that ends its process. On the server that `dev/brokers up kafka` starts.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, missing_docs)] // a test may panic

mod config;
mod connection;
mod crash;
mod examine;
mod foreign;

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use ductape_providers::config::ProviderConfig;
use ductape_providers::provider::{Delivery, PublishSlot, SettleSlot, Settlement};
use ductape_providers::{
    AnyProvider, Error, GroupSpec, Incoming, MessageId, Outgoing, PublishReceipt, SubscriptionDyn,
    SubscriptionSpec, TopicName, TopicSpec,
};
use serde_json::{Value, json};
use tokio::time::timeout;

/// The password of the server's user.
const PASSWORD: &str = "hunter2-CANARY";
/// How long what must come may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a variable of `dev/brokers env` says; `None` when the server is not asked for.
fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    let wanted = std::env::var("DUCTAPE_TEST").unwrap_or_default();
    assert!(
        value.is_some() || !wanted.split(',').any(|wanted| wanted.trim() == "kafka"),
        "`{name}` is not set; run `dev/brokers up kafka` and `eval \"$(dev/brokers env)\"`"
    );
    value
}

/// A configuration with more fields.
fn shape(server: &str, more: &Value) -> Value {
    let mut shape = json!({"type": "KAFKA", "brokers": [server], "clientId": "kafka-tests", "partitions": 4});
    for (name, value) in more.as_object().unwrap() {
        shape[name] = value.clone();
    }
    shape
}

fn read(shape: &Value) -> ProviderConfig {
    ProviderConfig::from_value(shape).unwrap()
}

async fn connect(server: &str, more: Value) -> AnyProvider {
    read(&shape(server, &more)).connect().await.unwrap()
}

/// A name that no other test and no earlier run has used.
fn unique(tag: &str) -> String {
    let id = MessageId::new().to_string();
    format!("{tag}-{}", &id[id.len() - 12..])
}

fn topic(tag: &str) -> TopicName {
    TopicName::new(
        format!("kafka-tests:{}", unique(tag)).parse().unwrap(),
        NonZeroU32::MIN,
    )
}

fn group(name: &str) -> GroupSpec {
    GroupSpec::new(name.parse().unwrap())
}

async fn declare(provider: &AnyProvider, topic: &TopicName, groups: &[&GroupSpec]) -> Result<(), Error> {
    let mut spec = TopicSpec::new(topic.clone());
    spec.groups.extend(groups.iter().map(|group| (*group).clone()));
    provider.declare_dyn(&spec).await
}

async fn publish(provider: &AnyProvider, message: Outgoing) -> Result<PublishReceipt, Error> {
    let mut slots = [PublishSlot::new(message)];
    provider.publish_dyn(&mut slots).await;
    let [slot] = slots;
    slot.outcome.unwrap()
}

async fn subscribe(provider: &AnyProvider, topic: &TopicName, group: &GroupSpec) -> Box<dyn SubscriptionDyn> {
    let spec = SubscriptionSpec::new(topic.clone(), group.clone());
    provider.subscribe_dyn(&spec).await.unwrap()
}

async fn next(subscription: &mut dyn SubscriptionDyn) -> Delivery {
    let mut into = Vec::new();
    let received = timeout(PATIENCE, subscription.receive_dyn(&mut into, NonZeroUsize::MIN)).await;
    received.expect("nothing came").unwrap();
    into.pop().unwrap()
}

async fn ack(subscription: &dyn SubscriptionDyn, delivery: Delivery) -> Incoming {
    let mut slots = [SettleSlot::new(delivery.receipt, Settlement::Ack)];
    subscription.settler_dyn().settle_dyn(&mut slots).await;
    let [slot] = slots;
    slot.outcome.unwrap().unwrap();
    delivery.message
}

/// Whether nothing comes for a while.
async fn silent(subscription: &mut dyn SubscriptionDyn) -> bool {
    let mut into = Vec::new();
    let received = timeout(
        Duration::from_secs(2),
        subscription.receive_dyn(&mut into, NonZeroUsize::MIN),
    )
    .await;
    received.is_err()
}

/// One message there and back.
async fn round_trip(provider: &AnyProvider, tag: &str) {
    let (topic, group) = (topic(tag), group("g"));
    declare(provider, &topic, &[&group]).await.unwrap();
    let sent = Outgoing::new(topic.clone(), tag.to_owned());
    publish(provider, sent.clone()).await.unwrap();
    let mut subscription = subscribe(provider, &topic, &group).await;
    let delivery = next(&mut *subscription).await;
    let came = ack(&*subscription, delivery).await;
    assert_eq!((came.id, came.payload), (sent.id, sent.payload));
    subscription.close_dyn().await.unwrap();
}
