//! Memory mode, produced and handled, against the same JSON work over a bare bounded channel.
#![allow(clippy::unwrap_used)] // a bench that can't run has nothing to tell

use std::sync::Arc;

use criterion::{Criterion, Throughput};
use ductape_benches::{Bar, Clock, Order, Took, counted, handle, rounds, until_handled};
use ductape_events::prelude::*;
use ductape_providers::embedded::MemoryConfig;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

const PRODUCERS: usize = 16;
/// How many messages the channel holds before producers wait; the broker is as a user has it.
const BOUND: usize = 1024;
const EACH: u64 = 12_500;
const ALL: u64 = EACH * PRODUCERS as u64;
/// How many orders a `produce_all` has.
const TOGETHER: u64 = 500;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let ductape = runtime.block_on(connect());

    let single = rounds(9, || ours(&runtime, &ductape, EACH), || raw(&runtime, EACH));
    single.print(
        "memory: produce → handler, 16 producers, against a channel",
        ALL,
        Bar::Ratio(0.5),
    );
    let together = rounds(
        9,
        || ours_together(&runtime, &ductape, EACH),
        || raw_together(&runtime, EACH),
    );
    together.print(
        "memory: produce_all → handler, 16 producers, against a channel",
        ALL,
        Bar::Ratio(0.5),
    );

    if std::env::var_os("DUCTAPE_BENCH_RATIOS").is_some() {
        return;
    }
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let mut group = criterion.benchmark_group("memory");
    group.throughput(Throughput::Elements(PRODUCERS as u64));
    group.bench_function("typed, single produces", |b| {
        b.iter_custom(|n| ours(&runtime, &ductape, n).real);
    });
    group.bench_function("typed, produce_all", |b| {
        b.iter_custom(|n| ours_together(&runtime, &ductape, n).real);
    });
    group.bench_function("channel", |b| b.iter_custom(|n| raw(&runtime, n).real));
    group.finish();
    criterion.final_summary();
}

async fn connect() -> Arc<Ductape> {
    let memory = MemoryConfig::default();
    let ductape = Ductape::builder()
        .without_inventory()
        .without_config()
        .every_broker(Arc::new(memory.open()))
        .consumer::<handle>()
        .build()
        .await
        .unwrap();
    ductape.start().await.unwrap();
    Arc::new(ductape)
}

/// Each producer awaits one produce after the other.
fn ours(runtime: &Runtime, ductape: &Arc<Ductape>, each: u64) -> Took {
    run(runtime, each, |producer| {
        let ductape = Arc::clone(ductape);
        async move {
            let mut order = Order::example();
            for n in 0..each {
                order.number(producer, n);
                let _receipt = order.produce(&*ductape).await.unwrap();
            }
        }
    })
}

fn ours_together(runtime: &Runtime, ductape: &Arc<Ductape>, each: u64) -> Took {
    run(runtime, each, |producer| {
        let ductape = Arc::clone(ductape);
        async move {
            let mut left = each;
            while left > 0 {
                let n = left.min(TOGETHER);
                left -= n;
                let receipts = Order::produce_all(Order::many(producer, n), &*ductape).await;
                assert!(receipts.iter().all(Result::is_ok));
            }
        }
    })
}

/// The same orders, encoded, sent, received, decoded and counted without us.
fn raw(runtime: &Runtime, each: u64) -> Took {
    raw_of(runtime, each, |producer, sender| async move {
        let mut order = Order::example();
        for n in 0..each {
            order.number(producer, n);
            sender.send(serde_json::to_vec(&order).unwrap()).await.unwrap();
        }
    })
}

fn raw_together(runtime: &Runtime, each: u64) -> Took {
    raw_of(runtime, each, |producer, sender| async move {
        for order in Order::many(producer, each) {
            sender.send(serde_json::to_vec(&order).unwrap()).await.unwrap();
        }
    })
}

fn raw_of<F: Future<Output = ()> + Send + 'static>(
    runtime: &Runtime,
    each: u64,
    produce: impl Fn(usize, mpsc::Sender<Vec<u8>>) -> F,
) -> Took {
    let (sender, mut receiver) = mpsc::channel::<Vec<u8>>(BOUND);
    runtime.spawn(async move {
        while let Some(payload) = receiver.recv().await {
            let order: Order = serde_json::from_slice(&payload).unwrap();
            counted(&order);
        }
    });
    run(runtime, each, |producer| produce(producer, sender.clone()))
}

fn run<F: Future<Output = ()> + Send + 'static>(
    runtime: &Runtime,
    each: u64,
    produce: impl Fn(usize) -> F,
) -> Took {
    let clock = Clock::counting(each * PRODUCERS as u64);
    for producer in 0..PRODUCERS {
        runtime.spawn(produce(producer));
    }
    runtime.block_on(until_handled());
    clock.took()
}
