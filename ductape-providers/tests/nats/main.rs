//! What is NATS's own, on real servers: those that `DUCTAPE_TEST_NATS…` name, and servers that the tests start for
//! themselves, set up as they need them.
//!
//! Without the variables the tests have nothing to run on: they fail only when `DUCTAPE_TEST` names nats.

#![allow(clippy::panic, clippy::unwrap_used)] // a test may panic

mod config;
mod declare;
mod findings;
mod messages;
mod order;
mod own_server;

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use async_nats::jetstream;
use ductape_providers::config::ProviderConfig;
use ductape_providers::provider::PublishSlot;
use ductape_providers::{
    AnyProvider, Delivery, Error, GroupSpec, Outgoing, PublishReceipt, Result, SettleSlot, Settlement,
    SubscriptionDyn, SubscriptionSpec, TopicName, TopicSpec,
};
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

/// How long what must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The value of a variable; `None` where nats is not among the servers to test with.
fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    let asked = std::env::var("DUCTAPE_TEST").unwrap_or_default();
    assert!(
        value.is_some() || !asked.split(',').any(|server| server.trim() == "nats"),
        "`{name}` is not set; start the brokers (`dev/brokers up nats`) and read their variables (`eval \"$(dev/brokers env)\"`)"
    );
    value
}

/// The server as it comes.
fn plain() -> Option<Value> {
    variable("DUCTAPE_TEST_NATS").map(|url| json!({"type": "NATS", "servers": url}))
}

fn config(value: &Value) -> ProviderConfig {
    ProviderConfig::from_value(value).unwrap_or_else(|error| panic!("{error}"))
}

async fn connect(value: &Value) -> Result<AnyProvider> {
    config(value).connect().await
}

/// The client itself, for what our own code never does.
async fn raw(value: &Value) -> jetstream::Context {
    let url = value["servers"].as_str().unwrap();
    jetstream::new(async_nats::connect(url).await.unwrap())
}

/// A topic of a broker that no other test and no earlier run has used.
fn topic() -> TopicName {
    let unique = Uuid::now_v7().simple().to_string().split_off(20);
    TopicName::new(format!("b-{unique}:t").parse().unwrap(), NonZeroU32::MIN)
}

fn group(name: &str) -> GroupSpec {
    GroupSpec::new(name.parse().unwrap())
}

fn spec(topic: &TopicName, group: &GroupSpec) -> TopicSpec {
    TopicSpec::new(topic.clone()).with_group(group.clone())
}

async fn publish(provider: &AnyProvider, message: Outgoing) -> Result<PublishReceipt> {
    let mut slots = [PublishSlot::new(message)];
    provider.publish_dyn(&mut slots).await;
    let [slot] = slots;
    slot.outcome.unwrap()
}

async fn subscribe(provider: &AnyProvider, topic: &TopicName, group: &GroupSpec) -> Box<dyn SubscriptionDyn> {
    let spec = SubscriptionSpec::new(topic.clone(), group.clone());
    provider.subscribe_dyn(&spec).await.unwrap()
}

async fn next(subscription: &mut Box<dyn SubscriptionDyn>) -> Delivery {
    let mut into = Vec::new();
    let received = timeout(PATIENCE, subscription.receive_dyn(&mut into, NonZeroUsize::MIN)).await;
    received
        .unwrap_or_else(|_| panic!("no message within {PATIENCE:?}"))
        .unwrap();
    into.pop().unwrap()
}

async fn settle(
    subscription: &dyn SubscriptionDyn,
    delivery: Delivery,
    how: Settlement,
) -> Result<(), Error> {
    let mut slots = [SettleSlot::new(delivery.receipt, how)];
    subscription.settler_dyn().settle_dyn(&mut slots).await;
    let [slot] = slots;
    slot.outcome.unwrap()
}

fn payload(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.message.payload).into_owned()
}
