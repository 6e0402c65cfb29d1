//! The raw clients, each the fast way that its documentation and its peers know: pipelined confirms, batched fetches and
//! acks.

mod kafka;
mod nats;
mod rabbitmq;
mod redis;

use std::rc::Rc;

use ductape_benches::{Clock, Order, Took, counted};

use crate::Raw;
use crate::ours::{Broker, fresh};

/// Connects. With `headers` the messages that are published carry what typed ones carry beside their payload, where it has
/// headers of its own on the wire.
pub(crate) async fn connect(broker: &Broker, headers: bool) -> Rc<dyn Raw> {
    match broker.name {
        "redis" => Rc::new(redis::Redis::connect(&broker.address).await),
        "nats" => Rc::new(nats::Nats::connect(&broker.address, headers).await),
        "kafka" => Rc::new(kafka::Kafka::connect(&broker.address, headers)),
        _ => Rc::new(rabbitmq::RabbitMq::connect(&broker.address, headers).await),
    }
}

/// The attributes of `CloudEvents` that a typed order carries, under `prefix`, as long as they are there.
fn attributes(prefix: &str, n: u64, key: &str) -> [(String, String); 8] {
    let attribute = |name: &str, value: String| (format!("{prefix}{name}"), value);
    [
        attribute("specversion", "1.0".to_owned()),
        attribute("id", format!("019ab2f0-7c00-7000-8000-{n:012x}")),
        attribute("type", "bench-events:order".to_owned()),
        attribute("source", "servers".to_owned()),
        attribute("time", format!("2026-11-25T12:00:00.{:09}Z", n % 1_000_000_000)),
        attribute("subject", key.to_owned()),
        attribute("dataschema", "bench-events:order/v1".to_owned()),
        ("content-type".to_owned(), "application/json".to_owned()),
    ]
}

/// The orders of a round, encoded.
fn payloads(n: u64) -> impl Iterator<Item = (String, Vec<u8>)> + Send {
    Order::many(0, n).map(|order| {
        let payload = serde_json::to_vec(&order).unwrap();
        (order.order_id, payload)
    })
}

fn count(payload: &[u8]) {
    counted(&serde_json::from_slice(payload).unwrap());
}

pub(crate) async fn timed_publish(raw: &dyn Raw, n: u64) -> Took {
    let name = fresh("raw");
    raw.declare(&name).await;
    let clock = Clock::start();
    raw.publish(&name, n).await;
    clock.took()
}

pub(crate) async fn timed_consume(raw: &dyn Raw, n: u64) -> Took {
    let name = fresh("raw");
    raw.declare(&name).await;
    raw.publish(&name, n).await;
    let clock = Clock::counting(n);
    raw.consume(&name, n, count).await;
    clock.took()
}
