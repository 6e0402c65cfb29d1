//! Typed events on real servers against the raw clients, used the fast way: the same payload on the same server, in turn.
//!
//! The servers are those that `dev/brokers env` names; one that is not named is left out. Arguments choose among them:
//! `cargo bench -p ductape-server-benches -- redis nats`.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a bench that can't run has nothing to tell
#![allow(clippy::disallowed_methods)] // a bench measures real time

mod latency;
mod ours;
mod raw;

use ductape_benches::{Bar, print_row, rounds};
use futures_util::future::BoxFuture;
use tokio::runtime::Runtime;

use crate::ours::Broker;

/// A raw client, connected; each round has a topic of its own.
pub(crate) trait Raw: Send + Sync {
    /// Makes the topic `name`, and what consumes it.
    fn declare<'a>(&'a self, name: &'a str) -> BoxFuture<'a, ()>;
    /// Publishes `n` orders, each confirmed.
    fn publish<'a>(&'a self, name: &'a str, n: u64) -> BoxFuture<'a, ()>;
    /// Consumes `n` orders: hands each payload to `each`, and acks it.
    fn consume<'a>(&'a self, name: &'a str, n: u64, each: fn(&[u8])) -> BoxFuture<'a, ()>;
    /// Publishes one payload.
    fn publish_one<'a>(&'a self, name: &'a str, payload: Vec<u8>) -> BoxFuture<'a, ()>;
}

const ROUNDS: usize = 5;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    for broker in ours::brokers() {
        if chosen.is_empty() || chosen.iter().any(|word| word == broker.name) {
            compare(&runtime, &broker);
        }
    }
}

fn compare(runtime: &Runtime, broker: &Broker) {
    let n = broker.messages;
    if std::env::args().any(|word| word == "--ours") {
        // For a profiler: nothing of the raw client is in what it sees.
        for _ in 0..ROUNDS {
            for (what, took) in [
                ("publishing", runtime.block_on(ours::publish(broker, n))),
                ("consuming", runtime.block_on(ours::consume(broker, n))),
            ] {
                let what = format!("{}: {what}, seconds", broker.name);
                print_row(
                    &what,
                    took.real.as_secs_f64(),
                    None,
                    Bar::Most(f64::INFINITY, " s"),
                );
            }
        }
        return;
    }
    let raw = runtime.block_on(raw::connect(broker, false));
    let published = rounds(
        ROUNDS,
        || runtime.block_on(ours::publish(broker, n)),
        || runtime.block_on(raw::timed_publish(&*raw, n)),
    );
    published.print(&format!("{}: publishing", broker.name), n, Bar::Ratio(0.9));
    let consumed = rounds(
        ROUNDS,
        || runtime.block_on(ours::consume(broker, n)),
        || runtime.block_on(raw::timed_consume(&*raw, n)),
    );
    consumed.print(&format!("{}: consuming", broker.name), n, Bar::Ratio(0.9));
    if broker.name == "redis" {
        let file = std::env::temp_dir().join(format!("ductape-bench-{}.db", std::process::id()));
        let tracked = rounds(
            ROUNDS,
            || runtime.block_on(ours::both(broker, n, Some(&file))),
            || runtime.block_on(ours::both(broker, n, None)),
        );
        tracked.print(
            "redis: produce and consume, tracked, against not",
            n,
            Bar::Ratio(0.85),
        );
        std::fs::remove_file(file).unwrap();
    }
    if broker.name != "redis" {
        let raw = runtime.block_on(raw::connect(broker, true));
        let published = rounds(
            ROUNDS,
            || runtime.block_on(ours::publish(broker, n)),
            || runtime.block_on(raw::timed_publish(&*raw, n)),
        );
        let what = format!(
            "{}: publishing, the raw client with the same headers",
            broker.name
        );
        published.print(&what, n, Bar::Ratio(0.9));
        let consumed = rounds(
            ROUNDS,
            || runtime.block_on(ours::consume(broker, n)),
            || runtime.block_on(raw::timed_consume(&*raw, n)),
        );
        let what = format!("{}: consuming, the raw client with the same headers", broker.name);
        consumed.print(&what, n, Bar::Ratio(0.9));
    }
    let ours = runtime.block_on(latency::ours(broker));
    let raw = runtime.block_on(latency::raw(&raw));
    print_row(
        &format!("{}: publish to handler at 200/s, p50, ms", broker.name),
        ours.p50,
        Some(raw.p50),
        Bar::Most(raw.p50 * 1.2, " ms"),
    );
    print_row(
        &format!("{}: publish to handler at 200/s, p99, ms", broker.name),
        ours.p99,
        Some(raw.p99),
        Bar::Most(f64::INFINITY, " ms"),
    );
}
