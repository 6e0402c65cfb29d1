//! A full disk: nothing that was confirmed is lost, and it goes on when there is room.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ductape_events::prelude::*;
use ductape_events::providers::embedded::DurableConfig;
use ductape_events::{ErrorCode, PublishOutcome};

use crate::events::{OrderPlaced, Seen, folder};

/// The ids of the orders that were handled, shared with the test.
struct Shared(Arc<Seen>);

#[consumer(group = "drain", concurrency = 4)]
async fn drain(order: OrderPlaced, shared: State<Shared>) {
    shared.0.0.lock().unwrap().push(order.id);
}

async fn program(store: DurableConfig, seen: &Arc<Seen>) -> Ductape {
    Ductape::builder()
        .without_inventory()
        .without_config()
        .every_broker(Arc::new(store.open().await.unwrap()))
        .consumer::<drain>()
        .state(Shared(Arc::clone(seen)))
        .publish_timeout(Duration::from_millis(200))
        .build()
        .await
        .unwrap()
}

/// Produces until there is no room, and answers what was confirmed.
async fn fill(ductape: &Ductape) -> BTreeSet<String> {
    let mut confirmed = BTreeSet::new();
    for i in 0..2_000 {
        let order = OrderPlaced::new(i.to_string(), "n".repeat(32 * 1024));
        match order.produce(ductape).await {
            Ok(_) => assert!(confirmed.insert(order.id)),
            Err(error) => {
                let text = error.to_string();
                assert_eq!(error.code(), ErrorCode::PublishFailed, "{text}");
                assert!(error.is_temporary(), "{text}");
                assert_eq!(error.publish_outcome(), Some(PublishOutcome::Rejected), "{text}");
                assert!(text.contains("no room") && text.contains("file: "), "{text}");
                return confirmed;
            }
        }
    }
    panic!("it never filled up");
}

async fn all_are_handled(ductape: &Ductape, seen: &Seen, confirmed: &BTreeSet<String>) {
    ductape.start().await.unwrap();
    assert!(ductape.wait_idle(Duration::from_secs(20)).await.unwrap());
    let seen: BTreeSet<String> = seen.0.lock().unwrap().iter().cloned().collect();
    assert_eq!(&seen, confirmed);
    ductape.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_store_at_its_limit_refuses_for_now_and_goes_on_with_a_higher_one() {
    let folder = folder();
    let seen = Arc::new(Seen::default());
    let mut store = DurableConfig::new(folder.join("events.db"));
    store.file_bytes_max = Some(2 * 1024 * 1024);
    let ductape = program(store.clone(), &seen).await;
    let mut confirmed = fill(&ductape).await;
    assert!(confirmed.len() > 20, "{}", confirmed.len());
    ductape.shutdown().await.unwrap();

    store.file_bytes_max = None;
    let ductape = program(store, &seen).await;
    OrderPlaced::new("after", "").produce(&ductape).await.unwrap();
    confirmed.insert("after".to_owned());
    all_are_handled(&ductape, &seen, &confirmed).await;
    std::fs::remove_dir_all(folder).unwrap();
}

/// A file system of its own, of 4 MiB; unmounted when it is dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// `None` where this user may not mount.
    fn mount(at: &'a Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(at);
        mount.output().ok()?.status.success().then_some(Self(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_for_now_and_goes_on_when_there_is_room() {
    let folder = folder();
    let Some(disk) = SmallDisk::mount(&folder) else {
        println!("this user may not mount a file system: nothing to test");
        return;
    };
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, vec![1; 2 * 1024 * 1024]).unwrap();
    let seen = Arc::new(Seen::default());
    let ductape = program(DurableConfig::new(folder.join("events.db")), &seen).await;
    let mut confirmed = fill(&ductape).await;
    assert!(!confirmed.is_empty());
    // Waiting for room is what a producer with patience does: it needs no restart.
    std::fs::remove_file(ballast).unwrap();
    OrderPlaced::new("after", "").produce(&ductape).await.unwrap();
    confirmed.insert("after".to_owned());
    all_are_handled(&ductape, &seen, &confirmed).await;
    drop(disk);
    std::fs::remove_dir_all(folder).unwrap();
}
