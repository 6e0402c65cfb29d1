use std::time::Duration;

use super::*;
use crate::embedded::durable::Synchronous;
use crate::provider::Durability;

#[tokio::test]
async fn a_payload_over_the_limit_is_refused_before_anything_is_written() {
    let place = Place::new();
    let mut config = place.config();
    config.payload_bytes_max = 10;
    let store = config.open().await.unwrap();
    declare(&store, &[group("bill")]).await;
    let outcomes = publish_all(
        &store,
        vec![
            message(None, "12345678901"),
            message(None, "1234567890"),
            message(None, ""),
        ],
    )
    .await;
    let mut outcomes = outcomes.into_iter();
    assert_eq!(kind(outcomes.next().unwrap()), ErrorKind::PayloadTooLarge);
    assert!(outcomes.all(|outcome| outcome.is_ok()));
    assert_eq!(
        store.backlog(&topic(), &group("bill").name).await.unwrap().ready,
        2
    );
}

#[tokio::test]
async fn a_full_disk_refuses_and_loses_nothing() {
    let place = Place::new();
    let mut config = place.config();
    config.file_bytes_max = Some(1024 * 1024);
    let store = config.open().await.unwrap();
    let bill = group("bill");
    declare(&store, std::slice::from_ref(&bill)).await;
    let large = "x".repeat(20_000);
    let mut confirmed = 0;
    let error = loop {
        match publish_all(&store, vec![message(None, &large)]).await.remove(0) {
            Ok(_) => confirmed += 1,
            Err(error) => break error,
        }
        assert!(confirmed < 100);
    };
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert!(error.is_temporary() && !error.is_indeterminate());
    assert!(error.to_string().contains("events.db"), "{error}");
    assert!(confirmed > 20);
    drop(store);
    // With room again, everything that was confirmed is there and the store works on.
    let store = place.open().await;
    let mut member = join(&store, &bill).await;
    let mut seen = 0;
    while seen < confirmed {
        let some = receive(&mut member, 10).await;
        assert!(
            some.iter()
                .all(|delivery| delivery.message.payload.len() == 20_000)
        );
        seen += some.len();
        ack_all(&member, some).await;
    }
    assert_eq!(seen, confirmed);
    publish(&store, message(None, &large)).await;
}

#[tokio::test]
async fn a_full_store_still_delivers_and_settles() {
    let place = Place::new();
    let mut config = place.config();
    config.file_bytes_max = Some(1024 * 1024);
    config.retained_max = 0;
    let store = config.open().await.unwrap();
    let bill = group("bill");
    declare(&store, std::slice::from_ref(&bill)).await;
    let mut member = join(&store, &bill).await;
    let large = "x".repeat(20_000);
    while publish_all(&store, vec![message(None, &large)])
        .await
        .remove(0)
        .is_ok()
    {}
    loop {
        let some = receive(&mut member, 10).await;
        ack_all(&member, some).await;
        if store.backlog(&topic(), &bill.name).await.unwrap().ready == 0 {
            break;
        }
    }
    // What is settled makes room.
    let room = async {
        while publish_all(&store, vec![message(None, &large)])
            .await
            .remove(0)
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), room)
        .await
        .expect("no room was made");
}

#[tokio::test]
async fn a_file_that_is_not_a_store_is_refused_by_name() {
    let place = Place::new();
    std::fs::create_dir_all(&place.0).unwrap();
    let sql = |sql: &str| {
        drop(std::fs::remove_file(place.file()));
        rusqlite::Connection::open(place.file())
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    };
    let refused = async |says: &str| {
        let error = place.config().open().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        assert!(!error.is_temporary(), "{error}");
        let text = error.to_string();
        assert!(text.contains("events.db") && text.contains(says), "{text}");
    };
    sql("CREATE TABLE recipes (name TEXT)");
    refused("another program's SQLite database (it has a table `recipes`)").await;
    sql("PRAGMA application_id = 1145402996; PRAGMA user_version = 99; CREATE TABLE t (x)");
    refused("newer version (format 99").await;
    std::fs::write(
        place.file(),
        "this is a text, and longer than the header of a database file, which has 100 bytes",
    )
    .unwrap();
    refused("not a store").await;
}

#[tokio::test]
async fn a_damaged_file_is_refused_by_name() {
    let place = Place::new();
    let store = place.open().await;
    declare(&store, &[group("bill")]).await;
    close(&store).await;
    let mut bytes = std::fs::read(place.file()).unwrap();
    for byte in &mut bytes[100..8192] {
        *byte = 0x5a;
    }
    std::fs::write(place.file(), bytes).unwrap();
    let error = place.config().open().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_temporary()),
        (ErrorKind::Unreachable, false),
        "{error}"
    );
    assert!(error.to_string().contains("events.db"), "{error}");
}

#[tokio::test]
async fn a_path_that_cannot_be_written_is_named() {
    let place = Place::new();
    std::fs::create_dir_all(&place.0).unwrap();
    let file = place.0.join("file");
    std::fs::write(&file, "").unwrap();
    let error = DurableConfig::new(file.join("events.db"))
        .open()
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.is_temporary()),
        (ErrorKind::Unreachable, false),
        "{error}"
    );
    assert!(error.to_string().contains("file/events.db"), "{error}");
    let error = DurableConfig::new(place.0.clone()).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert_eq!(
        kind(DurableConfig::new("").open().await),
        ErrorKind::ConfigInvalid
    );
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let store = place.open().await;
    declare(&store, &[]).await;
    publish(&store, message(None, "x")).await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.0), 0o700);
    let mut files = 0;
    for entry in std::fs::read_dir(&place.0).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += 1;
    }
    assert_eq!(files, 3);
}

#[tokio::test]
async fn a_receipt_says_how_safe_the_message_is() {
    let place = Place::new();
    let store = place.open().await;
    declare(&store, &[]).await;
    // Where the tests' directory is in memory, so is the store.
    let full = publish(&store, message(None, "x")).await.durability;
    assert!(full == Durability::BrokerDisk || full == Durability::Buffered);
    let mut config = place.config();
    config.synchronous = Synchronous::Normal;
    let store = config.open().await.unwrap();
    assert_eq!(
        publish(&store, message(None, "x")).await.durability,
        Durability::Buffered
    );
}

#[tokio::test]
async fn a_closed_store_answers_closed_to_everyone() {
    let place = Place::new();
    let store = place.open().await;
    let bill = group("bill");
    declare(&store, std::slice::from_ref(&bill)).await;
    let mut member = join(&store, &bill).await;
    let mut waiting = join(&store, &bill).await;
    publish(&store, message(None, "x")).await;
    let got = receive_one(&mut member).await;
    let clone = store.clone();
    let waits = tokio::spawn(async move {
        let mut into = Vec::new();
        waiting.receive(&mut into, NonZeroUsize::MIN).await
    });
    tokio::task::yield_now().await;
    close(&store).await;
    assert_eq!(kind(waits.await.unwrap()), ErrorKind::Closed);
    close(&clone).await;
    assert_eq!(
        kind(publish_all(&clone, vec![message(None, "x")]).await.remove(0)),
        ErrorKind::Closed
    );
    assert_eq!(kind(clone.ping().await), ErrorKind::Closed);
    let mut into = Vec::new();
    assert_eq!(
        kind(member.receive(&mut into, NonZeroUsize::MIN).await),
        ErrorKind::Closed
    );
    let settled = try_settle(&member, vec![got.receipt], Settlement::Ack)
        .await
        .remove(0);
    assert_eq!(kind(settled), ErrorKind::Closed);
    member.close().await.unwrap();
    // What was in hand was given back.
    let store = place.open().await;
    assert_eq!(store.backlog(&topic(), &bill.name).await.unwrap().ready, 1);
}

#[tokio::test]
async fn every_publish_that_was_confirmed_before_closing_is_there() {
    let place = Place::new();
    let store = place.open().await;
    let bill = group("bill");
    declare(&store, std::slice::from_ref(&bill)).await;
    let tasks: Vec<_> = (0..200)
        .map(|i| {
            let store = store.clone();
            tokio::spawn(async move {
                let some = (0..10).map(|j| message(None, &format!("{i}-{j}"))).collect();
                publish_all(&store, some).await.into_iter().flatten().count()
            })
        })
        .collect();
    tokio::task::yield_now().await;
    close(&store).await;
    let mut confirmed = 0;
    for task in tasks {
        confirmed += task.await.unwrap();
    }
    let store = place.open().await;
    assert_eq!(
        store.backlog(&topic(), &bill.name).await.unwrap().ready,
        confirmed as u64
    );
}

#[cfg(unix)]
#[tokio::test]
async fn a_deleted_file_is_noticed() {
    let place = Place::new();
    let store = place.open().await;
    declare(&store, &[]).await;
    publish(&store, message(None, "x")).await;
    std::fs::remove_dir_all(&place.0).unwrap();
    let noticed = async {
        loop {
            if let Err(error) = publish_all(&store, vec![message(None, "lost")]).await.remove(0) {
                break error;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let error = timeout(Duration::from_secs(20), noticed)
        .await
        .expect("it went on");
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains("events.db"), "{error}");
}

#[tokio::test]
async fn a_busy_file_is_waited_for_so_long_and_then_temporary() {
    let place = Place::new();
    let mut config = place.config();
    config.busy_timeout = Duration::from_millis(200);
    let store = config.open().await.unwrap();
    declare(&store, &[]).await;
    let other = rusqlite::Connection::open(place.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = publish_all(&store, vec![message(None, "x")])
        .await
        .remove(0)
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.is_temporary()),
        (ErrorKind::Throttled, true),
        "{error}"
    );
    assert!(!error.is_indeterminate());
    let (published, ()) = tokio::join!(publish_all(&store, vec![message(None, "y")]), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        other.execute_batch("COMMIT").unwrap();
    });
    assert!(published[0].is_ok());
}

#[tokio::test]
async fn settled_messages_are_deleted_and_the_others_kept() {
    let place = Place::new();
    let mut config = place.config();
    config.retained_max = 0;
    let store = config.open().await.unwrap();
    let (bill, slow) = (group("bill"), group("slow"));
    declare(&store, &[bill.clone(), slow.clone()]).await;
    let mut later = message(None, "later");
    later.not_before = Some(clock::wall() + Duration::from_hours(1));
    publish(&store, later).await;
    publish_all(&store, (0..100).map(|i| message(None, &i.to_string())).collect()).await;
    let mut members = [join(&store, &bill).await, join(&store, &slow).await];
    for (member, count) in members.iter_mut().zip([100, 40]) {
        let some = receive(member, count).await;
        assert_eq!(some.len(), count);
        ack_all(member, some).await;
    }
    let records = || {
        let conn = rusqlite::Connection::open(place.file()).unwrap();
        conn.query_row("SELECT COUNT(*) FROM records", [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    // The scheduled one, and what the slow group has not seen.
    let pruned = async {
        while records() != 61 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), pruned)
        .await
        .unwrap_or_else(|_| panic!("{} are left", records()));
    let rest = receive(&mut members[1], 100).await;
    assert_eq!(rest.len(), 60);
}
