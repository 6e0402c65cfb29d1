//! What is Redis's own, on real servers: those that `DUCTAPE_TEST_REDIS…` name, and servers that the tests start for
//! themselves, set up as they need them.
//!
//! Without the variables the tests have nothing to run on: they fail only when `DUCTAPE_TEST` names redis.

#![allow(clippy::panic, clippy::unwrap_used)] // a test may panic

mod config;
mod findings;
mod messages;
mod order;
mod own_server;
mod recovery;

use std::num::NonZeroU32;
use std::num::NonZeroUsize;
use std::time::Duration;

use ductape_providers::config::ProviderConfig;
use ductape_providers::provider::PublishSlot;
use ductape_providers::{
    AnyProvider, Delivery, Error, GroupSpec, Outgoing, PublishReceipt, Result, SettleSlot, Settlement,
    SubscriptionDyn, SubscriptionSpec, TopicName, TopicSpec,
};
use serde_json::{Value, json};

/// How long what must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);

/// The value of a variable; `None` where redis is not among the servers to test with.
fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    let asked = std::env::var("DUCTAPE_TEST").unwrap_or_default();
    assert!(
        value.is_some() || !asked.split(',').any(|server| server.trim() == "redis"),
        "`{name}` is not set; start the brokers (`dev/brokers up redis`) and read their variables (`eval \"$(dev/brokers env)\"`)"
    );
    value
}

/// The server as it comes: host and port.
fn plain() -> Option<(String, u16)> {
    variable("DUCTAPE_TEST_REDIS").map(|server| split(&server))
}

fn split(server: &str) -> (String, u16) {
    let (host, port) = server.split_once(':').unwrap();
    (host.to_owned(), port.parse().unwrap())
}

fn at(server: &(String, u16)) -> Value {
    json!({"type": "REDIS", "host": server.0, "port": server.1})
}

fn config(value: &Value) -> ProviderConfig {
    ProviderConfig::from_value(value).unwrap_or_else(|error| panic!("{error}"))
}

async fn connect(value: &Value) -> Result<AnyProvider> {
    config(value).connect().await
}

/// A topic that no other test uses.
fn topic(tag: &str) -> TopicName {
    let unique = uuid::Uuid::now_v7().simple().to_string().split_off(20);
    let name = format!("redis:{tag}-{unique}");
    TopicName::new(name.parse().unwrap(), NonZeroU32::MIN)
}

fn group(name: &str) -> GroupSpec {
    GroupSpec::new(name.parse().unwrap())
}

/// The key of a topic's stream.
fn stream(topic: &TopicName) -> String {
    format!("{{{}}}", topic.physical())
}

async fn declare(provider: &AnyProvider, topic: &TopicName, groups: &[&GroupSpec]) {
    try_declare(provider, topic, groups).await.unwrap();
}

async fn try_declare(provider: &AnyProvider, topic: &TopicName, groups: &[&GroupSpec]) -> Result<()> {
    let mut spec = TopicSpec::new(topic.clone());
    spec.groups.extend(groups.iter().map(|group| (*group).clone()));
    provider.declare_dyn(&spec).await
}

async fn try_publish(provider: &AnyProvider, messages: Vec<Outgoing>) -> Vec<Result<PublishReceipt>> {
    let mut slots: Vec<PublishSlot> = messages.into_iter().map(PublishSlot::new).collect();
    provider.publish_dyn(&mut slots).await;
    slots.into_iter().map(|slot| slot.outcome.unwrap()).collect()
}

async fn publish(provider: &AnyProvider, topic: &TopicName, texts: &[&str]) {
    let messages = texts
        .iter()
        .map(|text| Outgoing::new(topic.clone(), (*text).to_owned()));
    for outcome in try_publish(provider, messages.collect()).await {
        outcome.unwrap();
    }
}

async fn subscribe(provider: &AnyProvider, topic: &TopicName, group: &GroupSpec) -> Box<dyn SubscriptionDyn> {
    let spec = SubscriptionSpec::new(topic.clone(), group.clone());
    provider.subscribe_dyn(&spec).await.unwrap()
}

/// Receives `count` deliveries, whatever temporary errors come between.
async fn take(reader: &mut Box<dyn SubscriptionDyn>, count: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while all.len() < count {
        let room = NonZeroUsize::new(count - all.len()).unwrap();
        match tokio::time::timeout_at(deadline, reader.receive_dyn(&mut all, room)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.is_temporary() => tokio::time::sleep(Duration::from_millis(50)).await,
            Ok(Err(error)) => panic!("{error}"),
            Err(elapsed) => panic!("{elapsed}: {} of {count} messages came", all.len()),
        }
    }
    all
}

/// Whether nothing comes for `quiet`.
async fn is_silent(reader: &mut Box<dyn SubscriptionDyn>, quiet: Duration) -> bool {
    let mut into = Vec::new();
    let _ = tokio::time::timeout(quiet, reader.receive_dyn(&mut into, NonZeroUsize::MIN)).await;
    into.is_empty()
}

fn settle(
    reader: &dyn SubscriptionDyn,
    delivery: Delivery,
    how: Settlement,
) -> impl Future<Output = Result<()>> + use<> {
    let settler = reader.settler_dyn();
    async move {
        let mut slots = [SettleSlot::new(delivery.receipt, how)];
        settler.settle_dyn(&mut slots).await;
        let [slot] = slots;
        slot.outcome.unwrap()
    }
}

/// Receives `count` messages, acks them and gives their payloads.
async fn consume(reader: &mut Box<dyn SubscriptionDyn>, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        // In parts, since a prefetch bounds what is in hand.
        for delivery in take(reader, (count - texts.len()).min(200)).await {
            texts.push(text(&delivery));
            settle(&**reader, delivery, Settlement::Ack).await.unwrap();
        }
    }
    texts
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.message.payload).into_owned()
}

/// The name of an error's kind, for the assertions.
fn kind<T>(answer: &Result<T>) -> Option<ductape_providers::ErrorKind> {
    answer.as_ref().err().map(Error::kind)
}

/// A command as anybody would send it.
async fn raw(server: &(String, u16), command: &[&str]) -> redis::Value {
    let client = redis::Client::open((server.0.clone(), server.1)).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut cmd = redis::cmd(command[0]);
    cmd.arg(&command[1..]);
    cmd.query_async(&mut connection).await.unwrap()
}
