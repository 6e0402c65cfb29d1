//! What is RabbitMQ's own, on the real server that `DUCTAPE_TEST_RABBITMQ` names.
//!
//! Without the variable the tests have nothing to run on: they fail only when `DUCTAPE_TEST` names rabbitmq.

#![allow(clippy::panic, clippy::unwrap_used)] // a test may panic

mod config;
mod connection;
mod findings;
mod messages;
mod topology;

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use ductape_providers::config::ProviderConfig;
use ductape_providers::provider::PublishSlot;
use ductape_providers::{
    AnyProvider, Delivery, Error, GroupSpec, Outgoing, PublishReceipt, Result, SettleSlot, Settlement,
    SubscriptionDyn, SubscriptionSpec, TopicName, TopicSpec,
};
use lapin::options::{BasicPublishOptions, ExchangeDeclareOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use serde_json::{Value, json};

/// How long what must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// The password of the users `ductape` and `limited`.
const PASSWORD: &str = "hunter2-CANARY";

/// The value of a variable; `None` where rabbitmq is not among the servers to test with.
fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    let asked = std::env::var("DUCTAPE_TEST").unwrap_or_default();
    assert!(
        value.is_some() || !asked.split(',').any(|server| server.trim() == "rabbitmq"),
        "`{name}` is not set; start the broker (`dev/brokers up rabbitmq`) and read its variables (`eval \"$(dev/brokers env)\"`)"
    );
    value
}

/// The server's URL.
fn url() -> Option<String> {
    variable("DUCTAPE_TEST_RABBITMQ")
}

/// The server's host and port.
fn address() -> Option<(String, u16)> {
    split(&url()?)
}

fn split(url: &str) -> Option<(String, u16)> {
    let (_, server) = url.split_once("://")?;
    let (host, port) = server.split_once(':')?;
    Some((host.to_owned(), port.parse().unwrap()))
}

fn by_url(url: &str) -> Value {
    json!({"type": "RABBITMQ", "url": url})
}

fn config(value: &Value) -> ProviderConfig {
    ProviderConfig::from_value(value).unwrap_or_else(|error| panic!("{error}"))
}

async fn connect(value: &Value) -> Result<AnyProvider> {
    config(value).connect().await
}

/// A connected provider, with the settings that are its own.
async fn provider(url: &str, more: Value) -> AnyProvider {
    let mut value = by_url(url);
    for (name, set) in more.as_object().unwrap() {
        value[name] = set.clone();
    }
    connect(&value).await.unwrap()
}

/// A topic that no other test uses.
fn topic(tag: &str) -> TopicName {
    let name = format!("rabbit:{tag}-{}", unique());
    TopicName::new(name.parse().unwrap(), NonZeroU32::MIN)
}

/// A topic whose broker, and so its exchange, no other test uses.
fn own_topic(tag: &str) -> TopicName {
    let name = format!("rabbit-{}:{tag}", unique());
    TopicName::new(name.parse().unwrap(), NonZeroU32::MIN)
}

fn unique() -> String {
    uuid::Uuid::now_v7().simple().to_string().split_off(20)
}

fn group(name: &str) -> GroupSpec {
    GroupSpec::new(name.parse().unwrap())
}

fn spec(topic: &TopicName, groups: &[&GroupSpec]) -> TopicSpec {
    let mut spec = TopicSpec::new(topic.clone());
    spec.groups.extend(groups.iter().map(|group| (*group).clone()));
    spec
}

async fn declare(provider: &AnyProvider, topic: &TopicName, groups: &[&GroupSpec]) {
    provider.declare_dyn(&spec(topic, groups)).await.unwrap();
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

/// Receives `count` deliveries.
async fn take(reader: &mut Box<dyn SubscriptionDyn>, count: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while all.len() < count {
        let room = NonZeroUsize::new(count - all.len()).unwrap();
        match tokio::time::timeout_at(deadline, reader.receive_dyn(&mut all, room)).await {
            Ok(received) => received.unwrap(),
            Err(elapsed) => panic!("{elapsed}: {} of {count} messages came", all.len()),
        }
    }
    all
}

/// Whether nothing comes for half a second.
async fn is_silent(reader: &mut Box<dyn SubscriptionDyn>) -> bool {
    let mut into = Vec::new();
    let quiet = Duration::from_millis(500);
    let _ = tokio::time::timeout(quiet, reader.receive_dyn(&mut into, NonZeroUsize::MIN)).await;
    into.is_empty()
}

async fn settle(reader: &dyn SubscriptionDyn, delivery: Delivery, how: Settlement) -> Result<()> {
    let settler = reader.settler_dyn();
    let mut slots = [SettleSlot::new(delivery.receipt, how)];
    settler.settle_dyn(&mut slots).await;
    let [slot] = slots;
    slot.outcome.unwrap()
}

/// Receives `count` messages, acks them and gives their payloads.
async fn consume(reader: &mut Box<dyn SubscriptionDyn>, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for delivery in take(reader, count).await {
        texts.push(text(&delivery));
        settle(&**reader, delivery, Settlement::Ack).await.unwrap();
    }
    texts
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.message.payload).into_owned()
}

fn kind<T>(answer: &Result<T>) -> Option<ductape_providers::ErrorKind> {
    answer.as_ref().err().map(Error::kind)
}

/// A client as anybody would use it. Its connection ends with it.
struct Raw {
    channel: Channel,
    _connection: Connection,
}

impl Raw {
    async fn new(url: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default())
            .await
            .unwrap();
        Self {
            channel: connection.create_channel().await.unwrap(),
            _connection: connection,
        }
    }

    async fn exchange(&self, name: &str, kind: ExchangeKind, durable: bool) {
        let options = ExchangeDeclareOptions {
            durable,
            ..ExchangeDeclareOptions::default()
        };
        let declared = self
            .channel
            .exchange_declare(name.into(), kind, options, FieldTable::default());
        declared.await.unwrap();
    }

    async fn queue(&self, name: &str, options: QueueDeclareOptions, arguments: &[(&str, AMQPValue)]) {
        let mut table = FieldTable::default();
        for (name, value) in arguments {
            table.insert((*name).into(), value.clone());
        }
        self.channel
            .queue_declare(name.into(), options, table)
            .await
            .unwrap();
    }

    async fn delete(&self, queue: &str) {
        let deleted = self
            .channel
            .queue_delete(queue.into(), QueueDeleteOptions::default());
        deleted.await.unwrap();
    }

    /// How many messages are ready in a queue; `None` when there is no such queue. It uses the channel up in that case.
    async fn ready(&self, queue: &str) -> Option<u32> {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let asked = self
            .channel
            .queue_declare(queue.into(), options, FieldTable::default());
        Some(asked.await.ok()?.message_count())
    }

    async fn publish(&self, exchange: &str, key: &str, body: &[u8], properties: BasicProperties) {
        let options = BasicPublishOptions::default();
        let sent = self
            .channel
            .basic_publish(exchange.into(), key.into(), options, body, properties);
        sent.await.unwrap().await.unwrap();
    }
}

fn durable() -> QueueDeclareOptions {
    QueueDeclareOptions::durable()
}

fn string(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn number(value: i64) -> AMQPValue {
    AMQPValue::LongLongInt(value)
}
