//! The outbox.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ductape_store::outbox::{Outbox, OutboxMessage, Waiting};
use ductape_store::{Store, StoreKeys};
use sqlx::{Connection as _, Row as _};

use crate::support::{Place, places};

const LEASE: Duration = Duration::from_secs(30);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

fn message(id: &str, key: Option<&str>) -> OutboxMessage {
    OutboxMessage {
        event: "orders:placed".to_owned(),
        version: 1,
        message_id: id.to_owned(),
        key: key.map(|key| key.as_bytes().to_vec()),
        headers: "{}".to_owned(),
        payload: br#"{"secret":"CANARY"}"#.to_vec(),
        not_before: None,
    }
}

fn outbox(store: &Store) -> Outbox<'_> {
    store.outbox("shop", "dev")
}

/// Writes `messages` in one transaction of the program's own.
async fn write(place: &Place, store: &Store, messages: Vec<OutboxMessage>, commit: bool) {
    macro_rules! write {
        ($connection:ty, $begin:literal) => {{
            let url = place.url.replacen("sqlite:", "sqlite://", 1);
            let mut connection = <$connection>::connect(&url).await.unwrap();
            let mut transaction = connection.begin_with($begin).await.unwrap();
            for message in messages {
                outbox(store)
                    .write(&mut transaction, message, at(0))
                    .await
                    .unwrap();
            }
            if commit {
                transaction.commit().await.unwrap();
            }
        }};
    }
    if place.url.starts_with("sqlite") {
        write!(sqlx::SqliteConnection, "BEGIN IMMEDIATE");
    } else {
        write!(sqlx::PgConnection, "BEGIN");
    }
}

async fn take(store: &Store, owner: &str, limit: u32, now: SystemTime) -> Vec<String> {
    let taken = outbox(store).take(owner, limit, LEASE, now).await.unwrap();
    taken.into_iter().map(|one| one.message.message_id).collect()
}

#[tokio::test]
async fn what_is_committed_leaves_and_what_is_not_does_not() {
    for place in places().await {
        let store = place.open().await;
        write(&place, &store, vec![message("never", None)], false).await;
        assert_eq!(take(&store, "a", 10, at(1)).await, [""; 0]);
        let all = vec![
            message("1", Some("k")),
            message("2", None),
            message("3", Some("k")),
        ];
        write(&place, &store, all, true).await;
        let taken = outbox(&store).take("a", 10, LEASE, at(1)).await.unwrap();
        let ids: Vec<_> = taken.iter().map(|one| &*one.message.message_id).collect();
        assert_eq!(ids, ["1", "2", "3"]);
        assert_eq!(taken[0].message, message("1", Some("k")));
        assert_eq!(
            store
                .outbox("shop", "prd")
                .take("a", 10, LEASE, at(1))
                .await
                .unwrap(),
            []
        );
        let waiting = Waiting {
            depth: 3,
            oldest: Some(at(0)),
            parked: 0,
        };
        assert_eq!(outbox(&store).waiting().await.unwrap(), waiting);
        let seqs: Vec<i64> = taken.iter().map(|one| one.seq).collect();
        outbox(&store).sent("another", &seqs, at(2)).await.unwrap();
        assert_eq!(
            outbox(&store).waiting().await.unwrap().depth,
            3,
            "they are not another's"
        );
        outbox(&store).sent("a", &seqs, at(2)).await.unwrap();
        assert_eq!(outbox(&store).waiting().await.unwrap(), Waiting::default());
        assert_eq!(outbox(&store).prune(at(1)).await.unwrap(), 0);
        assert_eq!(outbox(&store).prune(at(2)).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn a_key_stays_with_the_relay_that_has_it() {
    for place in places().await {
        let store = place.open().await;
        let of = |n: usize| {
            message(
                &n.to_string(),
                Some(if n.is_multiple_of(2) { "even" } else { "odd" }),
            )
        };
        write(&place, &store, (0..6).map(of).collect(), true).await;
        assert_eq!(take(&store, "a", 1, at(1)).await, ["0"]);
        // Those of "even" wait for the first.
        assert_eq!(take(&store, "b", 2, at(1)).await, ["1", "3"]);
        assert_eq!(take(&store, "c", 9, at(1)).await, [""; 0]);
        // One that died is followed, in order.
        assert_eq!(
            take(&store, "c", 9, at(1) + LEASE).await,
            ["0", "1", "2", "3", "4", "5"]
        );
    }
}

#[tokio::test]
async fn a_refused_message_is_tried_again_later_and_then_stays() {
    for place in places().await {
        let store = place.open().await;
        write(
            &place,
            &store,
            vec![message("1", Some("k")), message("2", Some("k"))],
            true,
        )
        .await;
        let taken = outbox(&store).take("a", 1, LEASE, at(1)).await.unwrap();
        outbox(&store)
            .refused("a", taken[0].seq, "too\0 big", Some(at(10)))
            .await
            .unwrap();
        let second = outbox(&store).take("a", 9, LEASE, at(9)).await.unwrap();
        assert_eq!(
            (second.len(), &*second[0].message.message_id),
            (1, "2"),
            "its key is not held up"
        );
        outbox(&store).sent("a", &[second[0].seq], at(9)).await.unwrap();
        let again = outbox(&store).take("a", 9, LEASE, at(10)).await.unwrap();
        assert_eq!((again.len(), again[0].attempts), (1, 1));
        outbox(&store)
            .refused("a", again[0].seq, "too big", None)
            .await
            .unwrap();
        assert_eq!(take(&store, "a", 9, at(1000)).await, [""; 0]);
        assert_eq!(outbox(&store).waiting().await.unwrap().parked, 1);
    }
}

#[tokio::test]
async fn what_is_not_due_waits_and_what_is_given_back_comes_again() {
    for place in places().await {
        let store = place.open().await;
        let mut later = message("later", None);
        later.not_before = Some(at(50));
        write(&place, &store, vec![later, message("now", None)], true).await;
        let taken = outbox(&store).take("a", 9, LEASE, at(49)).await.unwrap();
        assert_eq!(taken.len(), 1);
        outbox(&store).give_back("a", &[taken[0].seq]).await.unwrap();
        assert_eq!(take(&store, "b", 9, at(50)).await, ["later", "now"]);
    }
}

#[tokio::test]
async fn relays_share_the_work_and_take_nothing_twice() {
    for place in places().await {
        let store = place.open().await;
        let of = |n: usize| {
            message(
                &n.to_string(),
                (!n.is_multiple_of(3)).then_some(["", "x", "y"][n % 3]),
            )
        };
        write(&place, &store, (0..600).map(of).collect(), true).await;
        let relays = (0..4).map(|n| {
            let place = place.parsed();
            tokio::spawn(async move {
                let store = Store::open(&place, StoreKeys::none()).await.unwrap();
                let owner = n.to_string();
                let mut all = Vec::new();
                loop {
                    let taken = outbox(&store).take(&owner, 20, LEASE, at(1)).await.unwrap();
                    if taken.is_empty() && outbox(&store).waiting().await.unwrap().depth == 0 {
                        return all;
                    }
                    let seqs: Vec<i64> = taken.iter().map(|one| one.seq).collect();
                    outbox(&store).sent(&owner, &seqs, at(2)).await.unwrap();
                    all.extend(taken.into_iter().map(|one| one.message.message_id));
                }
            })
        });
        let mut seen = HashSet::new();
        for relay in relays.collect::<Vec<_>>() {
            for id in relay.await.unwrap() {
                assert!(seen.insert(id.clone()), "{id} was taken twice");
            }
        }
        assert_eq!(seen.len(), 600);
    }
}

#[tokio::test]
async fn payloads_are_sealed() {
    for place in places().await {
        let keys = StoreKeys::parse("q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=").unwrap();
        let store = place.open_with(keys).await;
        write(&place, &store, vec![message("1", None)], true).await;
        let pool = crate::open::raw(&place.url).await;
        let row = sqlx::query("SELECT payload FROM ductape_outbox")
            .fetch_one(&pool)
            .await
            .unwrap();
        let kept: Vec<u8> = row.get(0);
        assert!(!kept.windows(6).any(|part| part == b"CANARY"));
        pool.close().await;
        let taken = outbox(&store).take("a", 1, LEASE, at(1)).await.unwrap();
        assert_eq!(taken[0].message, message("1", None));
    }
}
