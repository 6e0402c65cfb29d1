//! The inbox.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ductape_store::inbox::{Begin, Entry, Inbox};
use futures_util::future::join_all;
use sqlx::{Connection as _, Executor as _};

use crate::support::{Place, places};

const LEASE: Duration = Duration::from_secs(30);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

fn entry<'a>(consumer: &'a str, message_id: &'a str) -> Entry<'a> {
    Entry {
        product: "shop",
        env: "dev",
        event: "orders:placed",
        consumer,
        message_id,
    }
}

#[tokio::test]
async fn a_group_handles_a_message_once() {
    for place in places().await {
        let store = place.open().await;
        let inbox = store.inbox();
        let bill = entry("bill", "m");
        assert_eq!(
            inbox.begin(bill, LEASE, at(0)).await.unwrap(),
            Begin::Handle { epoch: 1 }
        );
        let until = at(0) + LEASE;
        assert_eq!(
            inbox.begin(bill, LEASE, at(1)).await.unwrap(),
            Begin::Busy { until }
        );
        assert_eq!(
            inbox.begin(entry("ship", "m"), LEASE, at(1)).await.unwrap(),
            Begin::Handle { epoch: 1 },
            "another group"
        );
        assert!(inbox.finish(bill, 1, at(100)).await.unwrap());
        assert_eq!(inbox.begin(bill, LEASE, at(99)).await.unwrap(), Begin::Done);
        assert_eq!(
            inbox.begin(bill, LEASE, at(100)).await.unwrap(),
            Begin::Handle { epoch: 2 },
            "forgotten"
        );
    }
}

#[tokio::test]
async fn one_that_died_is_followed_and_finishes_nothing_more() {
    for place in places().await {
        let store = place.open().await;
        let inbox = store.inbox();
        let bill = entry("bill", "m");
        assert_eq!(
            inbox.begin(bill, LEASE, at(0)).await.unwrap(),
            Begin::Handle { epoch: 1 }
        );
        assert!(inbox.extend(bill, 1, at(40)).await.unwrap());
        assert_eq!(
            inbox.begin(bill, LEASE, at(39)).await.unwrap(),
            Begin::Busy { until: at(40) }
        );
        assert_eq!(
            inbox.begin(bill, LEASE, at(40)).await.unwrap(),
            Begin::Handle { epoch: 2 }
        );
        assert!(!inbox.extend(bill, 1, at(99)).await.unwrap());
        assert!(!inbox.finish(bill, 1, at(99)).await.unwrap());
        inbox.release(bill, 1).await.unwrap();
        assert!(inbox.finish(bill, 2, at(99)).await.unwrap());
        let failed = entry("bill", "other");
        assert_eq!(
            inbox.begin(failed, LEASE, at(0)).await.unwrap(),
            Begin::Handle { epoch: 1 }
        );
        inbox.release(failed, 1).await.unwrap();
        assert_eq!(
            inbox.begin(failed, LEASE, at(0)).await.unwrap(),
            Begin::Handle { epoch: 1 }
        );
        assert_eq!(inbox.prune(at(99)).await.unwrap(), 1);
    }
}

/// Handles `m` in a transaction that writes a row beside; two at once have one effect.
async fn handle(url: &str, commit: bool) -> bool {
    macro_rules! handle {
        ($connection:ty, $begin:literal) => {{
            let mut connection = <$connection>::connect(&url.replacen("sqlite:", "sqlite://", 1))
                .await
                .unwrap();
            let mut transaction = connection.begin_with($begin).await.unwrap();
            let first = Inbox::first(&mut transaction, entry("bill", "m"), at(100))
                .await
                .unwrap();
            if first {
                transaction
                    .execute("INSERT INTO effects VALUES (1)")
                    .await
                    .unwrap();
            }
            if commit {
                transaction.commit().await.unwrap();
            } else {
                transaction.rollback().await.unwrap();
            }
            first
        }};
    }
    if url.starts_with("sqlite") {
        handle!(sqlx::SqliteConnection, "BEGIN IMMEDIATE")
    } else {
        handle!(sqlx::PgConnection, "BEGIN")
    }
}

async fn effects(place: &Place) -> i64 {
    let pool = crate::open::raw(&place.url).await;
    let row = sqlx::query_as::<_, (i64,)>("SELECT COUNT(*) FROM effects");
    let (count,) = row.fetch_one(&pool).await.unwrap();
    pool.close().await;
    count
}

#[tokio::test]
async fn effects_in_the_same_transaction_happen_once() {
    for place in places().await {
        place.open().await.close().await;
        let pool = crate::open::raw(&place.url).await;
        pool.execute("CREATE TABLE effects (n BIGINT)").await.unwrap();
        pool.close().await;
        assert!(handle(&place.url, false).await);
        assert_eq!(effects(&place).await, 0, "rolled back");
        let firsts = join_all((0..8).map(|_| handle(&place.url, true))).await;
        assert_eq!(firsts.iter().filter(|first| **first).count(), 1);
        assert_eq!(effects(&place).await, 1);
        let store = place.open().await;
        assert_eq!(
            store
                .inbox()
                .begin(entry("bill", "m"), LEASE, at(0))
                .await
                .unwrap(),
            Begin::Done
        );
    }
}
