//! What the history costs: memory mode, produced and handled, with every message recorded in a SQLite file and without.
#![allow(clippy::unwrap_used)] // a bench that can't run has nothing to tell

use std::path::PathBuf;
use std::sync::Arc;

use ductape_benches::{Bar, Clock, Order, Took, handle, rounds, until_handled};
use ductape_events::prelude::*;
use ductape_events::store::StoreUrl;
use ductape_providers::embedded::MemoryConfig;
use tokio::runtime::Runtime;

const PRODUCERS: usize = 16;
const EACH: u64 = 3_000;
const ALL: u64 = EACH * PRODUCERS as u64;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let file = std::env::temp_dir().join(format!("ductape-bench-{}.db", std::process::id()));
    let tracked = runtime.block_on(connect(Some(file.clone())));
    let untracked = runtime.block_on(connect(None));
    let both = rounds(9, || run(&runtime, &tracked), || run(&runtime, &untracked));
    both.print(
        "memory: produce → handler, 16 producers, tracked, against not",
        ALL,
        Bar::Ratio(0.7),
    );
    runtime.block_on(tracked.shutdown()).unwrap();
    std::fs::remove_file(file).unwrap();
}

async fn connect(store: Option<PathBuf>) -> Arc<Ductape> {
    let builder = Ductape::builder()
        .without_inventory()
        .without_config()
        .every_broker(Arc::new(MemoryConfig::default().open()))
        .consumer::<handle>();
    let builder = match store {
        Some(file) => builder.store(StoreUrl::file(file)),
        None => builder.without_store(),
    };
    let ductape = builder.build().await.unwrap();
    ductape.start().await.unwrap();
    Arc::new(ductape)
}

fn run(runtime: &Runtime, ductape: &Arc<Ductape>) -> Took {
    let clock = Clock::counting(ALL);
    for producer in 0..PRODUCERS {
        let ductape = Arc::clone(ductape);
        runtime.spawn(async move {
            let mut order = Order::example();
            for n in 0..EACH {
                order.number(producer, n);
                let _receipt = order.produce(&*ductape).await.unwrap();
            }
        });
    }
    runtime.block_on(until_handled());
    clock.took()
}
