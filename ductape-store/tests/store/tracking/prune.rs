//! Old messages removed.

use std::time::Duration;

use ductape_store::Store;
use ductape_store::tracking::{
    DeadLetterChange, DeadLetterFilter, DeadLetterState, MessageFilter, Outcome, Retention,
};

use super::{all, assert_numbers_hold, at, attempt, broker, dead, failed, messages, produce, write};
use crate::support::places;

const DAY: u64 = 24 * 3600;

/// A message an hour for ten days.
async fn ten_days(store: &Store) {
    let mut records = Vec::new();
    for number in 0..240_u64 {
        let (id, seconds) = (format!("m{number}"), number * 3600);
        records.push(produce(&id, seconds, &["billing", "mail"]));
        let outcome = match number % 4 {
            0 => dead("no"),
            1 => failed("no"),
            _ => Outcome::Success,
        };
        records.push(attempt(&id, seconds, "billing", 1, outcome));
    }
    write(store, &records).await;
}

async fn prune(store: &Store, retention: Retention, now: u64) -> (u64, u64) {
    let (mut removed, mut letters) = (0, 0);
    loop {
        let step = store.tracking().prune(retention, at(now)).await.unwrap();
        assert!(step.messages <= 1_000 && step.dead_letters <= 1_000);
        removed += step.messages;
        letters += step.dead_letters;
        if step.is_done {
            return (removed, letters);
        }
        assert!(
            step.messages + step.dead_letters > 0,
            "a step that does nothing would go on for ever"
        );
    }
}

#[tokio::test]
async fn what_is_too_old_is_removed_and_the_numbers_with_it() {
    for place in places().await {
        let store = place.open().await;
        ten_days(&store).await;
        let retention = Retention {
            age_max: Some(Duration::from_secs(4 * DAY)),
            ..Retention::default()
        };
        let (removed, letters) = prune(&store, retention, 10 * DAY).await;
        assert_eq!((removed, letters), (144, 0), "{store}");
        let left = messages(
            &store,
            &MessageFilter {
                limit: 1_000,
                ..all()
            },
        )
        .await;
        assert_eq!((left.total, left.messages.len()), (96, 96));
        assert!(left.messages.iter().all(|one| one.produced_at >= at(6 * DAY)));
        assert_numbers_hold(&store).await;
        // Dead letters that wait for an operator stay, with what they need.
        let filter = DeadLetterFilter {
            product: "shop".to_owned(),
            env: "prd".to_owned(),
            broker_tag: "order-events".to_owned(),
            limit: 1_000,
            ..DeadLetterFilter::default()
        };
        let open = store.tracking().dead_letters(&filter, at(0)).await.unwrap();
        assert_eq!(open.total, 60);
        assert!(open.dead_letters.iter().all(|one| one.original_message.is_some()));
        let ids: Vec<String> = open.dead_letters.into_iter().map(|one| one.id).collect();
        store
            .tracking()
            .change_dead_letters(&ids, &DeadLetterChange::Archived)
            .await
            .unwrap();
        assert_eq!(prune(&store, retention, 10 * DAY).await, (0, 36), "{store}");
        let archived = DeadLetterFilter {
            states: vec![DeadLetterState::Archived],
            ..filter
        };
        assert_eq!(
            store
                .tracking()
                .dead_letters(&archived, at(0))
                .await
                .unwrap()
                .total,
            24
        );
        assert_eq!(prune(&store, Retention::default(), 99 * DAY).await, (0, 0));
        // What comes again later begins anew.
        write(&store, &[produce("m0", 0, &["billing"])]).await;
        assert_eq!(messages(&store, &all()).await.total, 97);
        assert_numbers_hold(&store).await;
    }
}

#[tokio::test]
async fn what_is_too_much_is_removed_from_the_oldest() {
    for place in places().await {
        let store = place.open().await;
        ten_days(&store).await;
        let none = Retention {
            bytes_max: Some(1 << 30),
            ..Retention::default()
        };
        assert_eq!(prune(&store, none, 10 * DAY).await.0, 0);
        let some = Retention {
            bytes_max: Some(50_000),
            ..Retention::default()
        };
        let (removed, _) = prune(&store, some, 10 * DAY).await;
        assert!((100..240).contains(&removed), "{store}: {removed}");
        let left = messages(
            &store,
            &MessageFilter {
                limit: 1_000,
                ..all()
            },
        )
        .await;
        assert_eq!(left.total, 240 - removed);
        assert_eq!(left.messages.last().unwrap().message_id, format!("m{removed}"));
        assert_eq!(prune(&store, some, 10 * DAY).await.0, 0);
        assert_numbers_hold(&store).await;
        let all_of_it = Retention {
            bytes_max: Some(0),
            ..Retention::default()
        };
        prune(&store, all_of_it, 10 * DAY).await;
        assert_eq!(store.tracking().stats(&broker()).await.unwrap().total, 0);
        assert_eq!(
            prune(&store, all_of_it, 10 * DAY).await.0,
            0,
            "nothing left that takes room"
        );
    }
}
