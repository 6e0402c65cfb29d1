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

pub(crate) async fn connect(broker: &Broker) -> Rc<dyn Raw> {
    match broker.name {
        "redis" => Rc::new(redis::Redis::connect(&broker.address).await),
        "nats" => Rc::new(nats::Nats::connect(&broker.address).await),
        "kafka" => Rc::new(kafka::Kafka::connect(&broker.address)),
        _ => Rc::new(rabbitmq::RabbitMq::connect(&broker.address).await),
    }
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
