//! Store files that can't be used.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use ductape_events::ErrorCode;
use ductape_events::prelude::*;

use crate::events::{OrderPlaced, Seen, expect, folder, program, watch};

async fn open(store: &Path) -> Result<Ductape, BrokerError> {
    let config = format!(
        "[brokers.bad.environments.dev]\ntype = 'EMBEDDED'\npath = '{}'",
        store.display()
    );
    let build = program(&config)
        .consumer::<watch>()
        .state(Seen::default())
        .build();
    tokio::time::timeout(Duration::from_secs(20), build)
        .await
        .expect("it must not hang")
}

#[track_caller]
fn refused(result: Result<Ductape, BrokerError>, store: &Path, says: &str) {
    let shown = store.display().to_string();
    expect(
        result,
        ErrorCode::ConnectionFailed,
        &["can't connect to broker `bad`", &shown, says],
    );
}

/// A store with one order in it that nobody has handled.
async fn store_with_an_order(store: &Path) {
    let ductape = open(store).await.unwrap();
    OrderPlaced::new("kept", "").produce(&ductape).await.unwrap();
    ductape.shutdown().await.unwrap();
}

/// Overwrites four bytes of SQLite's header.
fn patch(store: &Path, at: u64, value: u32) {
    let mut file = std::fs::File::options().write(true).open(store).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&value.to_be_bytes()).unwrap();
}

#[tokio::test]
async fn places_where_no_store_can_be_are_named() {
    let folder = folder();
    refused(
        open(&folder).await,
        &folder,
        "can't be opened for reading and writing",
    );
    // Not even root can make a folder there.
    let nowhere = Path::new("/proc/ductape/events.db");
    refused(open(nowhere).await, nowhere, "directory can't be made");
    let file = folder.join("file");
    std::fs::write(&file, "x").unwrap();
    let under = file.join("events.db");
    refused(open(&under).await, &under, "directory can't be made");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_folder_that_may_not_be_written_to_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let locked = folder.join("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o500)).unwrap();
    if std::fs::write(locked.join("probe"), "x").is_ok() {
        println!("permissions do not bind this user: nothing to test");
    } else {
        let store = locked.join("events.db");
        refused(
            open(&store).await,
            &store,
            "can't be opened for reading and writing",
        );
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn files_that_are_no_store_are_refused_and_left_alone() {
    let folder = folder();
    for (name, content) in [
        ("text", "This is my diary.".repeat(1000).into_bytes()),
        ("short", b"hello".to_vec()),
        (
            "zeros-after",
            [b"SQLite format 3\0".to_vec(), vec![0xff; 9000]].concat(),
        ),
    ] {
        let store = folder.join(name);
        std::fs::write(&store, &content).unwrap();
        let result = open(&store).await;
        refused(result, &store, "move it away");
        assert_eq!(std::fs::read(&store).unwrap(), content, "{name} was altered");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_store_of_a_newer_version_or_another_program_is_refused_and_kept_whole() {
    const USER_VERSION: u64 = 60;
    const APPLICATION_ID: u64 = 68;
    let folder = folder();
    let store = folder.join("events.db");
    store_with_an_order(&store).await;
    let good = std::fs::read(&store).unwrap();
    patch(&store, USER_VERSION, 99);
    refused(
        open(&store).await,
        &store,
        "written by a newer version (format 99",
    );
    patch(&store, USER_VERSION, 0);
    refused(open(&store).await, &store, "has format 0");
    std::fs::write(&store, &good).unwrap();
    patch(&store, APPLICATION_ID, 7);
    refused(open(&store).await, &store, "another program's SQLite database");
    std::fs::write(&store, &good).unwrap();
    assert_the_order_is_there(&store).await;
    std::fs::remove_dir_all(folder).unwrap();
}

async fn assert_the_order_is_there(store: &Path) {
    let ductape = open(store).await.unwrap();
    ductape.start().await.unwrap();
    assert!(ductape.wait_idle(Duration::from_secs(10)).await.unwrap());
    assert_eq!(ductape.stats()[0].handled, 1);
    ductape.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_damaged_store_answers_with_an_error_and_never_hangs() {
    let folder = folder();
    let store = folder.join("events.db");
    store_with_an_order(&store).await;
    let good = std::fs::read(&store).unwrap();
    // Every page in turn, and cut short.
    let mut damaged: Vec<Vec<u8>> = (0..good.len() / 8192)
        .map(|page| {
            let mut bytes = good.clone();
            bytes[page * 8192 + if page == 0 { 100 } else { 0 }..(page + 1) * 8192].fill(0xa5);
            bytes
        })
        .collect();
    damaged.push(good[..good.len() / 2].to_vec());
    damaged.push(good[..8192 + 17].to_vec());
    let (mut refused, mut worked) = (0, 0);
    for bytes in damaged {
        let _ = std::fs::remove_file(store.with_extension("db-wal"));
        let _ = std::fs::remove_file(store.with_extension("db-shm"));
        std::fs::write(&store, bytes).unwrap();
        match open(&store).await {
            Err(error) => {
                refused += 1;
                assert_eq!(error.code(), ErrorCode::ConnectionFailed, "{error}");
                assert!(error.to_string().contains("events.db"), "{error}");
            }
            // What is damaged may not be needed to open it.
            Ok(ductape) => {
                worked += 1;
                let order = OrderPlaced::new("more", "");
                let produce = order.produce(&ductape);
                let produced = tokio::time::timeout(Duration::from_secs(20), produce).await;
                let produced = produced.expect("it must not hang");
                if let Err(error) = produced {
                    assert_eq!(error.code(), ErrorCode::PublishFailed, "{error}");
                }
                let ended = tokio::time::timeout(Duration::from_secs(20), ductape.shutdown()).await;
                ended.expect("it must not hang").ok();
            }
        }
    }
    assert!(refused > 2, "{refused} were refused, {worked} opened");
    std::fs::remove_dir_all(folder).unwrap();
}
