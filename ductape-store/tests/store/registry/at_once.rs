//! Programs that sync at once, and many topics at once.

use std::env;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ductape_store::{Store, StoreKeys, StoreUrl};
use serde_json::{Value, json};

use super::{SHOP, at, program, told};
use crate::support::places;

#[tokio::test(flavor = "multi_thread")]
async fn ten_tasks_that_sync_at_once_make_each_change_once() {
    for place in places().await {
        let store = place.open().await;
        let tasks: Vec<_> = (0..10)
            .map(|n: usize| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut own = program(20);
                    // In another order, which must not make them wait for each other in a circle.
                    own.topics.rotate_left(n);
                    store.registry().sync(SHOP, &own, at(0)).await.unwrap()
                })
            })
            .collect();
        let mut changed = Vec::new();
        for task in tasks {
            changed.extend(told(&task.await.unwrap()));
        }
        changed.sort();
        let all = changed.len();
        changed.dedup();
        assert_eq!((all, changed.len()), (41, 41), "{changed:#?}");
        assert_eq!(store.registry().topics(SHOP, None).await.unwrap().len(), 20);
    }
}

/// Syncs into the store that the variable names, for the test below.
#[tokio::test]
async fn one_of_five() {
    if let Ok(url) = env::var("DUCTAPE_TEST_ONE_OF_FIVE") {
        let url = StoreUrl::parse(&url).unwrap();
        let store = Store::open(&url, StoreKeys::none()).await.unwrap();
        for n in 0..20 {
            store.registry().sync(SHOP, &program(n), at(0)).await.unwrap();
        }
        store.close().await;
    }
}

#[tokio::test]
async fn processes_that_sync_at_once_agree() {
    for place in places().await {
        let start = |_| {
            Command::new(env::current_exe().unwrap())
                .args(["--exact", "registry::at_once::one_of_five", "--test-threads=1"])
                .env("DUCTAPE_TEST_ONE_OF_FIVE", &place.url)
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        };
        let processes: Vec<_> = (0..5).map(start).collect();
        for mut process in processes {
            assert!(process.wait().unwrap().success(), "{}", place.parsed());
        }
        let store = place.open().await;
        assert_eq!(store.registry().topics(SHOP, None).await.unwrap().len(), 19);
        assert_eq!(store.registry().brokers(SHOP).await.unwrap().len(), 1);
    }
}

// A figure for people, by the real clock.
#[allow(clippy::disallowed_methods, clippy::print_stdout)]
#[tokio::test]
async fn a_thousand_topics_that_are_the_same_are_read_at_once() {
    for place in places().await {
        let store = place.open().await;
        let mut own = program(1_000);
        let properties: Vec<Value> = (0..20)
            .map(|n| json!({ "title": format!("Field {n}") }))
            .collect();
        for topic in &mut own.topics {
            topic.says.schema = Some(json!({ "type": "object", "allOf": properties }));
        }
        store.registry().sync(SHOP, &own, at(0)).await.unwrap();
        let began = Instant::now();
        assert!(store.registry().sync(SHOP, &own, at(1)).await.unwrap().is_empty());
        let took = began.elapsed();
        println!(
            "1,000 unchanged topics, {}: {took:?}",
            place.url.split(':').next().unwrap()
        );
        // Not optimised, and beside others.
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}
