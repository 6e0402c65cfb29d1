//! Lists that are walked from their beginning.

use ductape_store::tracking::{DeadLetterChange, DeadLetterFilter, EventFilter, EventStatus, Outcome};
use ductape_store::{Store, StoreErrorKind};

use super::dead_letters::{filter, of, three};
use super::{at, attempt, dead, produce, write};
use crate::support::places;

fn events() -> EventFilter {
    EventFilter {
        product: "shop".to_owned(),
        env: "prd".to_owned(),
        broker_tag: "order-events".to_owned(),
        limit: 3,
        ..EventFilter::default()
    }
}

/// The ids of all events of a filter; `between` happens between the steps.
async fn walk(store: &Store, filter: &EventFilter, between: impl AsyncFn(usize)) -> Vec<String> {
    let (mut ids, mut walked) = (Vec::new(), None);
    loop {
        let step = store.tracking().events_in_order(filter, walked).await.unwrap();
        if step.found.is_empty() {
            return ids;
        }
        assert!(step.found.len() <= 3, "{store}");
        walked = Some(step.walked);
        ids.extend(step.found.into_iter().map(|event| event.id));
        between(ids.len()).await;
    }
}

#[tokio::test]
async fn events_are_walked_oldest_first_whatever_changes_meanwhile() {
    for place in places().await {
        let store = place.open().await;
        // Two at a time are produced at the same moment.
        let records: Vec<_> = (0..10)
            .flat_map(|n| {
                let id = format!("m{n}");
                let second = 10 * (n / 2);
                [
                    produce(&id, second, &["billing"]),
                    attempt(&id, second, "billing", 1, dead("no")),
                ]
            })
            .collect();
        write(&store, &records).await;
        let all: Vec<String> = (0..10).map(|n| format!("m{n}")).collect();
        let nothing = async |_| {};
        assert_eq!(walk(&store, &events(), nothing).await, all, "{store}");
        let failed = EventFilter {
            status: Some(EventStatus::Failed),
            ..events()
        };
        let found = walk(&store, &failed, async |count| {
            // One that was walked past is handled, and others are produced and fail: before, between and behind.
            let mut again = super::attempted("m0", 100, "billing", 1, Outcome::Success);
            again.redrive = 1;
            let again = ductape_store::tracking::Record::Attempted(Box::new(again));
            let new = |second| {
                let id = format!("new{count}-{second}");
                [
                    produce(&id, second, &["billing"]),
                    attempt(&id, second, "billing", 1, dead("no")),
                ]
            };
            let mut records = vec![again];
            records.extend([1, 35, 900].into_iter().flat_map(new));
            write(&store, &records).await;
        })
        .await;
        assert_eq!(found, all, "{store}");
        let late = EventFilter {
            start_date: Some(at(20)),
            end_date: Some(at(40)),
            ..events()
        };
        let late = walk(&store, &late, nothing).await;
        assert_eq!(late[..2], ["m4", "m5"], "{store}");
        assert!(!late.contains(&"m8".to_owned()) && late.contains(&"m7".to_owned()));
        for odd in [
            EventFilter { page: 2, ..events() },
            EventFilter { page: 0, ..events() },
            EventFilter { limit: 0, ..events() },
            EventFilter {
                limit: 1_001,
                ..events()
            },
            EventFilter {
                snapshot: Some("0.0.0.0.0.0.0".to_owned()),
                ..events()
            },
        ] {
            let error = store.tracking().events_in_order(&odd, None).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
        }
    }
}

#[tokio::test]
async fn dead_letters_are_walked_in_the_order_of_their_messages_and_found_by_their_ids() {
    for place in places().await {
        let store = place.open().await;
        // Both groups failed at the second message before the first one failed.
        three(&store).await;
        write(
            &store,
            &[
                produce("c", 20, &["billing"]),
                produce("d", 21, &["billing"]),
                attempt("d", 21, "billing", 1, dead("no")),
                attempt("c", 600, "billing", 2, dead("no")),
            ],
        )
        .await;
        let tracking = store.tracking();
        let small = DeadLetterFilter { limit: 2, ..filter() };
        let (mut walked, mut all) = (None, Vec::new());
        loop {
            let step = tracking
                .dead_letters_in_order(&small, walked, at(700))
                .await
                .unwrap();
            if step.found.is_empty() {
                break;
            }
            walked = Some(step.walked);
            // What was walked past is put aside.
            let ids: Vec<String> = step.found.iter().map(|one| one.id.clone()).collect();
            tracking
                .change_dead_letters(&ids, &DeadLetterChange::Archived)
                .await
                .unwrap();
            all.extend(step.found);
        }
        assert_eq!(of(&all), ["a", "b", "b", "c", "d"], "{store}");

        let one = &all[3];
        let found = tracking
            .dead_letter("shop", "prd", &one.id, at(700))
            .await
            .unwrap();
        assert_eq!(found.unwrap().message_id, "c");
        for (product, env, id) in [
            ("shop", "dev", one.id.as_str()),
            ("other", "prd", one.id.as_str()),
            ("shop", "prd", "none"),
            ("shop", "prd", "\0"),
            ("shop", "prd", "999999"),
        ] {
            let found = tracking.dead_letter(product, env, id, at(700)).await.unwrap();
            assert!(found.is_none(), "{product} {env} {id:?}");
        }
        let by_id = |ids: &[&str]| DeadLetterFilter {
            ids: ids.iter().map(ToString::to_string).collect(),
            states: ductape_store::tracking::DeadLetterState::ALL.to_vec(),
            ..filter()
        };
        let two = by_id(&[&all[0].id, &one.id, "none"]);
        let page = tracking.dead_letters(&two, at(700)).await.unwrap();
        assert_eq!(
            (of(&page.dead_letters), page.total),
            (vec!["c", "a"], 2),
            "{store}"
        );
        let none = tracking.dead_letters(&by_id(&["'; --"]), at(700)).await.unwrap();
        assert_eq!(none.total, 0);
        let many = DeadLetterFilter {
            ids: vec!["1".to_owned(); 1_001],
            ..filter()
        };
        let error = tracking.dead_letters(&many, at(700)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
    }
}
