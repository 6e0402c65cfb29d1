//! Python programs and ours understand one another, both ways, on the servers that `DUCTAPE_TEST` names.
//!
//! `DUCTAPE_INTEROP_PYTHON` is a Python that has what `tests/interop/requirements.txt` lists; `dev/test interop` makes one.
//! Without it these tests are left out, unless `DUCTAPE_TEST` names `interop`.

// A test fails by panicking, waits by the real clock, and says when it is left out.
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

#[path = "interop/orders.rs"]
mod orders;
#[path = "interop/python.rs"]
mod python;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ductape_events::prelude::*;
use serde::Deserialize;
use serde_json::json;

use crate::orders::{OrderPlaced, Received, record};
use crate::python::{Folder, Python};

/// When the events of Python say that they happened.
const TIME: &str = "2026-01-02T03:04:05.678+00:00";
const TIME_MILLIS: u64 = 1_767_323_045_678;

/// A server, and the Python that talks to it.
struct Server {
    name: &'static str,
    program: &'static str,
    client: &'static str,
    has_faststream: bool,
    /// The names of the events that come from the `CloudEvents` SDK.
    events: &'static [&'static str],
    address: &'static str,
    environment: &'static str,
}

/// What a Python program says that it read.
#[derive(Deserialize)]
struct Told {
    by: String,
    order: OrderPlaced,
    event: Option<Event>,
}

#[derive(Debug, Deserialize)]
struct Event {
    id: String,
    r#type: String,
    source: String,
    subject: String,
    seconds: f64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_with_confluent_kafka_and_faststream() {
    understands(&Server {
        name: "kafka",
        program: "kafka.py",
        client: "confluent-kafka",
        has_faststream: true,
        events: &["event"],
        address: "DUCTAPE_TEST_KAFKA",
        environment: "type = 'KAFKA'\nbrokers = ['${DUCTAPE_TEST_KAFKA}']\nclientId = 'interop'\npartitions = 3",
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_rabbitmq_with_pika_and_faststream() {
    understands(&Server {
        name: "rabbitmq",
        program: "rabbitmq.py",
        client: "pika",
        has_faststream: true,
        events: &["event", "event-of-rabbitmq"],
        address: "DUCTAPE_TEST_RABBITMQ",
        environment: "type = 'RABBITMQ'\nurl = '${DUCTAPE_TEST_RABBITMQ}'",
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_redis_with_redis_py_and_faststream() {
    understands(&Server {
        name: "redis",
        program: "redis_streams.py",
        client: "redis",
        has_faststream: true,
        events: &["event"],
        address: "DUCTAPE_TEST_REDIS",
        environment: "type = 'REDIS'\nhost = '127.0.0.1'\nport = '${DUCTAPE_TEST_REDIS_PORT}'\nheaders = 'fields'",
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_nats_with_nats_py_and_faststream() {
    understands(&Server {
        name: "nats",
        program: "nats_jetstream.py",
        client: "nats-py",
        has_faststream: true,
        events: &["event"],
        address: "DUCTAPE_TEST_NATS",
        environment: "type = 'NATS'\nservers = ['${DUCTAPE_TEST_NATS}']",
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqs_with_boto3() {
    understands(&Server {
        name: "sqs",
        program: "sqs.py",
        client: "boto3",
        has_faststream: false,
        events: &["event"],
        address: "DUCTAPE_TEST_SQS",
        environment: "type = 'AWS_SQS'\nregion = 'us-east-1'\naccessKeyId = 'test'\nsecretAccessKey = 'test'\nendpoint = '${DUCTAPE_TEST_SQS}'",
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_pubsub_with_google_cloud_pubsub() {
    understands(&Server {
        name: "pubsub",
        program: "pubsub.py",
        client: "google-cloud-pubsub",
        has_faststream: false,
        events: &["event"],
        address: "DUCTAPE_TEST_PUBSUB",
        environment: "type = 'GOOGLE_PUBSUB'\nprojectId = 'interop'\nendpoint = '${DUCTAPE_TEST_PUBSUB}'",
    })
    .await;
}

async fn understands(server: &Server) {
    let name = server.name;
    let Some(python) = Python::for_server(name) else {
        return;
    };
    let folder = Folder::new(name);
    python.generate(&OrderPlaced::schema(), &folder);
    let topic = format!("interop-{name}-{}", std::process::id());
    let config = format!(
        "[brokers.interop.environments.dev]\n{}\n[brokers.interop.topics.order-placed]\nname = '{topic}'\n",
        server.environment
    );
    let received = Received::default();
    let ductape = Ductape::builder()
        .without_inventory()
        .config_text(config)
        .environment("dev")
        .product("interop")
        .consumer::<record>()
        .state(received.clone())
        .build()
        .await
        .unwrap();
    ductape.start().await.unwrap();

    let ours = [
        OrderPlaced::of("rust-1 Zoë %41", true),
        OrderPlaced::of("rust-2", false),
    ];
    let mut theirs = BTreeMap::from([("plain", OrderPlaced::of("plain", false))]);
    for event in server.events {
        theirs.insert(event, OrderPlaced::of(&format!("{event} Zoë %41"), true));
    }
    if server.has_faststream {
        theirs.insert("faststream", OrderPlaced::of("faststream", true));
    }
    let settings = json!({
        "server": std::env::var(server.address).unwrap(),
        "topic": topic,
        "client": server.client,
        "orders": theirs,
        "awaited": ours.iter().map(|order| &order.order_id).collect::<Vec<_>>(),
        "time": TIME,
    });
    let program = python.start(server.program, &settings, &folder);
    let said = program.line();
    assert_eq!(said.as_deref(), Some("ready"), "{name}: {}", program.complaints());
    let mut ids = Vec::new();
    for order in &ours {
        ids.push(order.produce(&ductape).await.unwrap().process_id.to_string());
    }
    let told: Vec<Told> = program
        .finish()
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();

    let all: Vec<&OrderPlaced> = theirs.values().chain(&ours).collect();
    let metas = received_all(&received, &all).await;
    for (order, id) in ours.iter().zip(&ids) {
        let meta = &metas[&order.order_id];
        let event = told_by(server.client, order, &told);
        let event = event.unwrap_or_else(|| panic!("{name}: {} told no event", server.client));
        assert_eq!(event.id, *id, "{name}");
        assert_eq!(event.r#type, OrderPlaced::EVENT, "{name}");
        assert_eq!(Some(&*event.source), meta.source(), "{name}");
        assert_eq!(event.subject, order.order_id, "{name}");
        let published = since_1970(meta.published_at).as_secs_f64();
        assert!((event.seconds - published).abs() < 0.002, "{name}: {event:?}");
        if server.has_faststream {
            told_by("faststream", order, &told);
        }
    }
    for event in server.events {
        let order_id = &theirs[event].order_id;
        let meta = &metas[order_id];
        assert_eq!(meta.id.to_string(), format!("python-{event}"), "{name}");
        assert_eq!(meta.key.as_ref(), Some(order_id), "{name}: {event}");
        assert_eq!(meta.source(), Some("/python/program"), "{name}");
        assert_eq!(meta.headers.get("ce-type"), Some(OrderPlaced::EVENT), "{name}");
        let published = since_1970(meta.published_at);
        assert_eq!(published, Duration::from_millis(TIME_MILLIS), "{name}: {event}");
    }
    let typed = server
        .events
        .iter()
        .copied()
        .chain(server.has_faststream.then_some("faststream"));
    for sent in typed {
        let content_type = metas[&theirs[sent].order_id].headers.get("content-type");
        assert_eq!(content_type, Some("application/json"), "{name}: {sent}");
    }
    assert_eq!(metas["plain"].source(), None, "{name}");
    ductape.shutdown().await.unwrap();
}

/// What a reader in Python told of an order; its model must be what was sent.
fn told_by<'a>(reader: &str, order: &OrderPlaced, told: &'a [Told]) -> Option<&'a Event> {
    let found = told
        .iter()
        .find(|told| told.by == reader && told.order.order_id == order.order_id);
    let found = found.unwrap_or_else(|| panic!("{reader} did not read {}", order.order_id));
    assert_eq!(found.order, *order, "{reader}");
    found.event.as_ref()
}

/// Waits until our consumer has all of `orders`, as they were sent; what was known of them, by the order's id.
async fn received_all(received: &Received, orders: &[&OrderPlaced]) -> BTreeMap<String, Meta> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let came = received.0.lock().unwrap().clone();
        let missing: Vec<&&OrderPlaced> = orders
            .iter()
            .filter(|order| !came.iter().any(|(came, _)| came == **order))
            .collect();
        if missing.is_empty() {
            let by_id = came.into_iter().map(|(order, meta)| (order.order_id, meta));
            return by_id.collect();
        }
        assert!(
            Instant::now() < until,
            "these did not come: {missing:#?}\nthese did: {came:#?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn since_1970(time: Option<SystemTime>) -> Duration {
    time.unwrap().duration_since(UNIX_EPOCH).unwrap()
}
