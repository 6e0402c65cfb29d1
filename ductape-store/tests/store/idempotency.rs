//! Idempotency keys.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ductape_store::StoreErrorKind;
use ductape_store::idempotency::{Claim, Known, Request, Scope, fingerprint};
use futures_util::future::join_all;

use crate::support::places;

const LEASE: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_hours(24);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

fn scope(key: &str) -> Scope<'_> {
    Scope {
        product: "shop",
        env: "dev",
        event: "orders:placed",
        key,
    }
}

fn request<'a>(key: &'a str, print: u8, owner: &'a str, now: SystemTime) -> Request<'a> {
    Request {
        scope: scope(key),
        fingerprint: [print; 32],
        message_id: owner,
        owner,
        lease: LEASE,
        now,
    }
}

fn mine(id: &str) -> Claim {
    Claim::Mine {
        message_id: id.to_owned(),
    }
}

fn done(id: &str) -> Claim {
    Claim::Done {
        message_id: id.to_owned(),
        durability: "broker_disk".to_owned(),
    }
}

#[tokio::test]
async fn a_key_publishes_once() {
    for place in places().await {
        let store = place.open().await;
        let keys = store.idempotency();
        assert_eq!(keys.check("shop", "dev", "k", at(0)).await.unwrap(), None);
        assert_eq!(keys.claim(&request("k", 1, "a", at(0))).await.unwrap(), mine("a"));
        let until = at(0) + LEASE;
        assert_eq!(
            keys.claim(&request("k", 1, "b", at(1))).await.unwrap(),
            Claim::UnderWay { until }
        );
        assert!(
            keys.complete(scope("k"), "a", "broker_disk", at(0) + DAY)
                .await
                .unwrap()
        );
        assert_eq!(keys.claim(&request("k", 1, "b", at(2))).await.unwrap(), done("a"));
        let conflict = Claim::Conflict {
            message_id: "a".to_owned(),
        };
        assert_eq!(keys.claim(&request("k", 2, "b", at(2))).await.unwrap(), conflict);
        let known = Known {
            event: "orders:placed".to_owned(),
            message_id: "a".to_owned(),
            done: true,
        };
        assert_eq!(keys.check("shop", "dev", "k", at(3)).await.unwrap(), Some(known));
        assert_eq!(keys.check("shop", "prd", "k", at(3)).await.unwrap(), None);
        // Another event, and the same after its time, are free.
        let mut other = request("k", 2, "c", at(3));
        other.scope.event = "orders:paid";
        assert_eq!(keys.claim(&other).await.unwrap(), mine("c"));
        let later = at(0) + DAY;
        assert_eq!(
            keys.check("shop", "dev", "k", later)
                .await
                .unwrap()
                .unwrap()
                .event,
            "orders:paid"
        );
        assert_eq!(keys.claim(&request("k", 2, "d", later)).await.unwrap(), mine("d"));
    }
}

#[tokio::test]
async fn a_publish_that_was_cut_off_is_taken_over_with_its_id() {
    for place in places().await {
        let store = place.open().await;
        let keys = store.idempotency();
        assert_eq!(keys.claim(&request("k", 1, "a", at(0))).await.unwrap(), mine("a"));
        let over = at(0) + LEASE;
        // Other content is no continuation of it.
        assert!(matches!(
            keys.claim(&request("k", 2, "b", over)).await.unwrap(),
            Claim::Conflict { .. }
        ));
        assert_eq!(keys.claim(&request("k", 1, "b", over)).await.unwrap(), mine("a"));
        assert!(
            !keys
                .complete(scope("k"), "a", "broker_disk", at(0) + DAY)
                .await
                .unwrap(),
            "it is b's now"
        );
        keys.release(scope("k"), "a").await.unwrap();
        assert!(
            keys.complete(scope("k"), "b", "broker_disk", at(0) + DAY)
                .await
                .unwrap()
        );
    }
}

#[tokio::test]
async fn a_publish_that_nobody_knows_of_is_gone_on_with_at_once() {
    for place in places().await {
        let store = place.open().await;
        let keys = store.idempotency();
        assert_eq!(keys.claim(&request("k", 1, "a", at(0))).await.unwrap(), mine("a"));
        keys.cut_off(scope("k"), "a").await.unwrap();
        assert!(matches!(
            keys.claim(&request("k", 2, "b", at(0))).await.unwrap(),
            Claim::Conflict { .. }
        ));
        assert_eq!(keys.claim(&request("k", 1, "b", at(0))).await.unwrap(), mine("a"));
    }
}

#[test]
fn parts_do_not_run_into_each_other() {
    assert_eq!(fingerprint(&[b"a", b"b"]), fingerprint(&[b"a", b"b"]));
    assert_ne!(fingerprint(&[b"ab", b""]), fingerprint(&[b"a", b"b"]));
}

#[tokio::test]
async fn a_refused_publish_lets_its_key_go() {
    for place in places().await {
        let store = place.open().await;
        let keys = store.idempotency();
        assert_eq!(keys.claim(&request("k", 1, "a", at(0))).await.unwrap(), mine("a"));
        keys.release(scope("k"), "a").await.unwrap();
        assert_eq!(keys.claim(&request("k", 2, "b", at(0))).await.unwrap(), mine("b"));
        assert!(
            keys.complete(scope("k"), "b", "broker_disk", at(0) + DAY)
                .await
                .unwrap()
        );
        keys.release(scope("k"), "b").await.unwrap();
        assert_eq!(
            keys.claim(&request("k", 2, "c", at(0))).await.unwrap(),
            done("b"),
            "done is done"
        );
    }
}

#[tokio::test]
async fn of_fifty_at_once_one_publishes() {
    for place in places().await {
        let (store, other) = (place.open().await, place.open().await);
        let claims = (0..50).map(|n| {
            let store = if n % 2 == 0 { store.clone() } else { other.clone() };
            async move {
                let owner = n.to_string();
                store
                    .idempotency()
                    .claim(&request("k", 1, &owner, at(0)))
                    .await
                    .unwrap()
            }
        });
        let claims = join_all(claims).await;
        let mine = claims.iter().filter(|claim| matches!(claim, Claim::Mine { .. }));
        assert_eq!(mine.count(), 1);
        assert!(
            !claims
                .iter()
                .any(|claim| matches!(claim, Claim::Conflict { .. } | Claim::Done { .. }))
        );
    }
}

#[tokio::test]
async fn what_is_over_is_forgotten_and_what_is_under_way_is_not() {
    for place in places().await {
        let store = place.open().await;
        let keys = store.idempotency();
        for n in 0..1_005 {
            let key = n.to_string();
            keys.claim(&request(&key, 1, "a", at(0))).await.unwrap();
            if n < 1_004 {
                keys.complete(scope(&key), "a", "broker_disk", at(10))
                    .await
                    .unwrap();
            }
        }
        assert_eq!(keys.prune(at(9)).await.unwrap(), 0);
        assert_eq!(keys.prune(at(10)).await.unwrap(), 1_000);
        assert_eq!(keys.prune(at(10)).await.unwrap(), 4);
        assert_eq!(keys.prune(at(1_000_000)).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn what_can_be_no_key_is_refused() {
    for place in places().await {
        let store = place.open().await;
        let keys = store.idempotency();
        let long = "x".repeat(256);
        for key in ["", "\0", "tab\t", "ü", &long] {
            let error = keys.claim(&request(key, 1, "a", at(0))).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Invalid, "{key:?}: {error}");
            assert_eq!(keys.check("shop", "dev", key, at(0)).await.unwrap(), None);
        }
        for key in [
            "'; DROP TABLE ductape_idempotency; --",
            "%",
            "$1",
            &"x".repeat(255),
        ] {
            assert_eq!(keys.claim(&request(key, 1, "a", at(0))).await.unwrap(), mine("a"));
        }
    }
}
