//! What operators do.

use std::collections::HashSet;

use ductape_store::tracking::{
    DeadLetterChange, DeadLetterFilter, DeadLetterState, DeliveryStatus, MessageStatus, Outcome, Record,
};

use super::dead_letters::{filter, found, of, three};
use super::{assert_numbers_hold, at, attempt, attempted, broker, dead, message, write};
use crate::support::places;

#[tokio::test]
async fn of_two_operators_one_gets_each_dead_letter() {
    for place in places().await {
        let store = place.open().await;
        let records: Vec<_> = (0..20)
            .map(|number| attempt(&format!("m{number}"), number, "billing", 1, dead("no")))
            .collect();
        write(&store, &records).await;
        let ids: Vec<String> = found(&store, &filter())
            .await
            .into_iter()
            .map(|one| one.id)
            .collect();
        let press = |token: &'static str| {
            let (tracking, ids) = (store.tracking(), ids.clone());
            tokio::spawn(async move {
                let mut got = Vec::new();
                for id in ids {
                    let claimed = tracking
                        .claim_dead_letters(&[id], token, at(200), at(100))
                        .await
                        .unwrap();
                    got.extend(claimed.into_iter().map(|one| one.id));
                }
                got
            })
        };
        let (first, second) = (press("first"), press("second"));
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        let both: HashSet<_> = first.iter().chain(&second).collect();
        assert_eq!((both.len(), first.len() + second.len()), (20, 20), "{store}");
        // Whoever pressed again with its token still has them; others get them when the claim ends.
        let again = store
            .tracking()
            .claim_dead_letters(&first, "first", at(200), at(100))
            .await
            .unwrap();
        assert_eq!(again.len(), first.len());
        let third = store
            .tracking()
            .claim_dead_letters(&ids, "third", at(400), at(201))
            .await
            .unwrap();
        assert_eq!(third.len(), 20);
        let late = DeadLetterChange::Redriven {
            token: "first".to_owned(),
        };
        assert!(
            store
                .tracking()
                .change_dead_letters(&ids, &late)
                .await
                .unwrap()
                .is_empty()
        );
        let all = found(&store, &filter()).await;
        assert!(
            all.iter()
                .all(|one| one.state == DeadLetterState::Reprocessing && !one.can_retry)
        );
    }
}

#[tokio::test]
async fn dead_letters_change_their_state_by_what_operators_do() {
    for place in places().await {
        let store = place.open().await;
        three(&store).await;
        let tracking = store.tracking();
        let ids: Vec<String> = found(&store, &filter())
            .await
            .into_iter()
            .map(|one| one.id)
            .collect();
        let change = async |at: usize, change: DeadLetterChange| {
            tracking
                .change_dead_letters(&ids[at..=at], &change)
                .await
                .unwrap()
                .len()
        };
        let token = || "t".to_owned();
        assert_eq!(
            change(0, DeadLetterChange::Redriven { token: token() }).await,
            0,
            "nobody claimed it"
        );
        assert_eq!(change(0, DeadLetterChange::Archived).await, 1);
        assert_eq!(change(0, DeadLetterChange::Archived).await, 0);
        assert!(
            tracking
                .claim_dead_letters(&ids[..1], "t", at(9), at(0))
                .await
                .unwrap()
                .is_empty()
        );
        let archived = DeadLetterFilter {
            states: vec![DeadLetterState::Archived],
            ..filter()
        };
        assert_eq!(found(&store, &archived).await.len(), 1);
        assert_eq!(tracking.stats(&broker()).await.unwrap().dead_letter_count, 2);
        assert_eq!(change(0, DeadLetterChange::Restored).await, 1);
        assert_eq!(found(&store, &filter()).await.len(), 3);
        tracking
            .claim_dead_letters(&ids, "t", at(9), at(0))
            .await
            .unwrap();
        assert_eq!(change(0, DeadLetterChange::Released { token: token() }).await, 1);
        assert_eq!(change(1, DeadLetterChange::Redriven { token: token() }).await, 1);
        let by = DeadLetterChange::Superseded {
            token: token(),
            by: "edited".to_owned(),
        };
        assert_eq!(change(2, by).await, 1);
        let all = DeadLetterFilter {
            states: DeadLetterState::ALL.to_vec(),
            ..filter()
        };
        let all = found(&store, &all).await;
        assert_eq!(all[0].state, DeadLetterState::Open);
        assert_eq!(all[1].state, DeadLetterState::Redriven);
        assert_eq!(
            (all[2].state, all[2].superseded_by.as_deref()),
            (DeadLetterState::Superseded, Some("edited"))
        );
        assert_eq!(tracking.stats(&broker()).await.unwrap().dead_letter_count, 1);
        let ids = [
            "99999".to_owned(),
            "none".to_owned(),
            "-1".to_owned(),
            String::new(),
        ];
        assert!(
            tracking
                .change_dead_letters(&ids, &DeadLetterChange::Archived)
                .await
                .unwrap()
                .is_empty()
        );
    }
}

#[tokio::test]
async fn what_comes_back_to_its_group_is_no_open_dead_letter() {
    for place in places().await {
        let store = place.open().await;
        three(&store).await;
        let mut again = attempted("a", 50, "billing", 1, dead("order 19 was 300% refused"));
        again.redrive = 1;
        write(&store, &[Record::Attempted(Box::new(again))]).await;
        let open = found(&store, &filter()).await;
        assert_eq!(open.len(), 3, "the second failure in the place of the first");
        assert_eq!((open[0].message_id.as_str(), open[0].redrive_count), ("a", 1));
        let mut again = attempted("a", 60, "billing", 1, Outcome::Success);
        again.redrive = 2;
        write(&store, &[Record::Attempted(Box::new(again))]).await;
        assert_eq!(of(&found(&store, &filter()).await), ["b", "b"]);
        let redriven = DeadLetterFilter {
            states: vec![DeadLetterState::Redriven],
            ..filter()
        };
        assert_eq!(found(&store, &redriven).await.len(), 2);
        // Told late, it is not open again.
        write(
            &store,
            &[attempt("a", 0, "billing", 5, dead("order 17 was 100% refused"))],
        )
        .await;
        assert_eq!(found(&store, &filter()).await.len(), 2);
        assert_numbers_hold(&store).await;
    }
}

#[tokio::test]
async fn a_failed_delivery_is_retried_once_and_a_pending_one_failed() {
    for place in places().await {
        let store = place.open().await;
        three(&store).await;
        let tracking = store.tracking();
        let retry = async |id: &str, consumer: &str| {
            let marked = tracking.retry("shop", "prd", id, consumer, at(100)).await;
            marked.map_err(|error| error.to_string())
        };
        let one = retry("a", "billing").await.unwrap();
        let billing = one
            .consumer_deliveries
            .iter()
            .find(|one| one.consumer_tag == "billing")
            .unwrap();
        assert_eq!(
            (billing.status, billing.redrive_count),
            (DeliveryStatus::Retrying, 1)
        );
        assert_eq!(of(&found(&store, &filter()).await), ["b", "b"]);
        assert!(
            retry("a", "billing")
                .await
                .unwrap_err()
                .contains("has not failed")
        );
        assert!(retry("a", "mail").await.unwrap_err().contains("never had"));
        assert!(retry("a", "x'\0").await.unwrap_err().contains("never had"));
        assert!(retry("none", "mail").await.unwrap_err().contains("no message"));
        assert_numbers_hold(&store).await;
        let one = tracking
            .fail("shop", "prd", "a", "given up\0", at(101))
            .await
            .unwrap();
        assert_eq!(one.status, MessageStatus::Failed);
        assert!(
            one.consumer_deliveries
                .iter()
                .all(|one| one.error.as_deref() == Some("given up\u{fffd}"))
        );
        assert_numbers_hold(&store).await;
        let error = tracking
            .fail("shop", "prd", "a", "again", at(101))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ductape_store::StoreErrorKind::Invalid, "{error}");
        let error = tracking
            .fail("shop", "dev", "a", "again", at(101))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ductape_store::StoreErrorKind::Missing, "{error}");
        // What then happens still counts.
        let mut late = attempted("a", 102, "billing", 1, Outcome::Success);
        late.redrive = 1;
        write(
            &store,
            &[
                Record::Attempted(Box::new(late)),
                attempt("a", 102, "mail", 1, Outcome::Success),
            ],
        )
        .await;
        assert_eq!(message(&store, "a").await.status, MessageStatus::Success);
        assert_numbers_hold(&store).await;
    }
}
