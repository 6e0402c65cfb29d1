//! Heap allocations a message, produce to handler, beyond serde's and the user's own: what the same JSON work over a bare
//! channel allocates is taken off. Counted as the difference of a long and a short run, so that what happens once does
//! not count.
#![allow(clippy::unwrap_used)] // a bench that can't run has nothing to tell

use std::alloc::System;
use std::sync::Arc;

use ductape_benches::{Bar, Clock, Order, counted, handle, print_row, until_handled};
use ductape_events::prelude::*;
use ductape_providers::embedded::MemoryConfig;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::sync::mpsc;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PRODUCERS: usize = 16;
/// How many messages either side holds before producers wait.
const BOUND: usize = 1024;
const SHORT: usize = 10_000;
const LONG: usize = 20_000;

#[tokio::main]
async fn main() {
    let memory = MemoryConfig {
        capacity: BOUND,
        ..MemoryConfig::default()
    };
    let ductape = Ductape::builder()
        .without_inventory()
        .without_config()
        .every_broker(Arc::new(memory.open()))
        .consumer::<handle>()
        .build()
        .await
        .unwrap();
    ductape.start().await.unwrap();
    let ductape = Arc::new(ductape);

    let raw = a_message(async |n| channel(n).await).await;
    let single = a_message(async |n| produce(&ductape, n, 1).await).await;
    let together = a_message(async |n| produce(&ductape, n, 125).await).await;
    let own = a_message(async |n| channel_of_clones(n).await).await;
    let most = Bar::Most(3.0, " a message");
    print_row(
        "memory: allocations of ours, produce → handler",
        single - raw,
        None,
        most,
    );
    print_row(
        "memory: allocations of ours, produce_all → handler",
        together - own,
        None,
        most,
    );
    print_row(
        "memory: all allocations, produce → handler, against a channel",
        single,
        Some(raw),
        Bar::Most(raw + 3.0, ""),
    );
}

/// How often `run` allocates for each message.
async fn a_message(run: impl AsyncFn(usize)) -> f64 {
    run(LONG).await;
    let count = async |n: usize| {
        let before = ALLOCATOR.stats();
        run(n).await;
        let after = ALLOCATOR.stats();
        let new = after.allocations - before.allocations + after.reallocations - before.reallocations;
        #[allow(clippy::cast_precision_loss)] // far below 2^52
        let new = new as f64;
        new
    };
    let (short, long) = (count(SHORT).await, count(LONG).await);
    #[allow(clippy::cast_precision_loss)]
    let messages = (LONG - SHORT) as f64;
    (long - short) / messages
}

async fn produce(ductape: &Arc<Ductape>, n: usize, together: u64) {
    let each = (n / PRODUCERS) as u64;
    let _run = Clock::counting(n as u64);
    for producer in 0..PRODUCERS {
        let ductape = Arc::clone(ductape);
        tokio::spawn(async move {
            if together == 1 {
                let mut order = Order::example();
                for n in 0..each {
                    order.number(producer, n);
                    let _receipt = order.produce(&*ductape).await.unwrap();
                }
                return;
            }
            for _ in 0..each / together {
                let receipts = Order::produce_all(Order::many(producer, together), &*ductape).await;
                assert!(receipts.iter().all(Result::is_ok));
            }
        });
    }
    until_handled().await;
}

async fn channel(n: usize) {
    channel_with(n, |producer, n, order| {
        order.number(producer, n);
        serde_json::to_vec(order).unwrap()
    })
    .await;
}

async fn channel_of_clones(n: usize) {
    channel_with(n, |producer, n, order| {
        order.number(producer, n);
        serde_json::to_vec(&order.clone()).unwrap()
    })
    .await;
}

async fn channel_with(n: usize, encode: fn(usize, u64, &mut Order) -> Vec<u8>) {
    let each = (n / PRODUCERS) as u64;
    let _run = Clock::counting(n as u64);
    let (sender, mut receiver) = mpsc::channel::<Vec<u8>>(BOUND);
    tokio::spawn(async move {
        while let Some(payload) = receiver.recv().await {
            let order: Order = serde_json::from_slice(&payload).unwrap();
            counted(&order);
        }
    });
    for producer in 0..PRODUCERS {
        let sender = sender.clone();
        tokio::spawn(async move {
            let mut order = Order::example();
            for n in 0..each {
                sender.send(encode(producer, n, &mut order)).await.unwrap();
            }
        });
    }
    until_handled().await;
}
