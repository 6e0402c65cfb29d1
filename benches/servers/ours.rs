//! Our side: a program as a user writes it.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use ductape_benches::{Clock, Order, Took, handle, until_handled};
use ductape_events::DuctapeBuilder;
use ductape_events::prelude::*;
use ductape_events::store::StoreUrl;

/// A server, as the variables of `dev/brokers env` say where it is.
pub(crate) struct Broker {
    pub(crate) name: &'static str,
    pub(crate) address: String,
    /// How many messages a round has.
    pub(crate) messages: u64,
    config: String,
}

/// The servers that are named.
pub(crate) fn brokers() -> Vec<Broker> {
    let server = |name: &'static str, variable: &str, messages: u64, config: fn(&str) -> String| {
        let address = std::env::var(variable).ok()?;
        let config = config(&address);
        Some(Broker {
            name,
            address,
            messages,
            config,
        })
    };
    let redis = |address: &str| {
        let (host, port) = address.split_once(':').unwrap();
        format!("type = 'REDIS'\nhost = '{host}'\nport = {port}")
    };
    [
        server("redis", "DUCTAPE_TEST_REDIS", 100_000, redis),
        server("nats", "DUCTAPE_TEST_NATS", 100_000, |address| {
            format!("type = 'NATS'\nservers = '{address}'")
        }),
        server("kafka", "DUCTAPE_TEST_KAFKA", 100_000, |address| {
            format!("type = 'KAFKA'\nbrokers = ['{address}']\nclientId = 'bench'\npartitions = 4")
        }),
        server("rabbitmq", "DUCTAPE_TEST_RABBITMQ", 20_000, |address| {
            format!("type = 'RABBITMQ'\nurl = '{address}'")
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A name that no other round and no other run has.
pub(crate) fn fresh(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("bench-{}-{what}-{next}", std::process::id())
}

/// A program over the server, whose topic has a fresh name.
pub(crate) fn program(broker: &Broker) -> DuctapeBuilder {
    let text = format!(
        "[brokers.bench-events.environments.dev]\n{}\n[brokers.bench-events.topics.order]\nname = 'bench-events.{}'\n",
        broker.config,
        fresh("ours")
    );
    Ductape::builder()
        .without_inventory()
        .config_text(text)
        .environment("dev")
}

async fn connect(broker: &Broker) -> Ductape {
    program(broker)
        .without_store()
        .consumer::<handle>()
        .build()
        .await
        .unwrap()
}

/// Produces and consumes `n` messages, with their history in a SQLite file or without one.
pub(crate) async fn both(broker: &Broker, n: u64, store: Option<&Path>) -> Took {
    let builder = program(broker).consumer::<handle>();
    let builder = match store {
        Some(file) => builder.store(StoreUrl::file(file)),
        None => builder.without_store(),
    };
    let ductape = builder.build().await.unwrap();
    ductape.start().await.unwrap();
    let clock = Clock::counting(n);
    produce(&ductape, n).await;
    until_handled().await;
    let took = clock.took();
    ductape.shutdown().await.unwrap();
    took
}

async fn produce(ductape: &Ductape, n: u64) {
    for receipt in Order::produce_all(Order::many(0, n), ductape).await {
        receipt.unwrap();
    }
}

pub(crate) async fn publish(broker: &Broker, n: u64) -> Took {
    let ductape = connect(broker).await;
    let clock = Clock::start();
    produce(&ductape, n).await;
    let took = clock.took();
    ductape.shutdown().await.unwrap();
    took
}

pub(crate) async fn consume(broker: &Broker, n: u64) -> Took {
    let ductape = connect(broker).await;
    produce(&ductape, n).await;
    let clock = Clock::counting(n);
    ductape.start().await.unwrap();
    until_handled().await;
    // What is acked is acked before the program ends, as it is for the raw client.
    ductape.shutdown().await.unwrap();
    clock.took()
}
