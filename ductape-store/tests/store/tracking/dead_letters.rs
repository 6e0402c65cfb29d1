//! Dead letters.

use ductape_store::Store;
use ductape_store::tracking::{DeadLetter, DeadLetterFilter, DeadLetterState};

use super::{at, attempt, broker, dead, produce, write};
use crate::support::places;

pub(super) fn filter() -> DeadLetterFilter {
    DeadLetterFilter {
        product: "shop".to_owned(),
        env: "prd".to_owned(),
        broker_tag: "order-events".to_owned(),
        ..DeadLetterFilter::default()
    }
}

pub(super) async fn found(store: &Store, filter: &DeadLetterFilter) -> Vec<DeadLetter> {
    let page = store.tracking().dead_letters(filter, at(100)).await.unwrap();
    assert_eq!(page.total, page.dead_letters.len() as u64, "{store}: {filter:?}");
    assert!(!page.has_more);
    page.dead_letters
}

pub(super) fn of(letters: &[DeadLetter]) -> Vec<&str> {
    letters.iter().map(|one| one.message_id.as_str()).collect()
}

pub(super) async fn three(store: &Store) {
    write(
        store,
        &[
            produce("a", 0, &["billing", "mail"]),
            produce("b", 10, &["billing", "mail"]),
            attempt("a", 0, "billing", 5, dead("order 17 was 100% refused")),
            attempt("b", 10, "billing", 5, dead("order 18 was 200% refused")),
            attempt("b", 10, "mail", 1, dead("no such address")),
        ],
    )
    .await;
}

#[tokio::test]
async fn dead_letters_are_found_by_everything_that_is_known_of_them() {
    for place in places().await {
        let store = place.open().await;
        three(&store).await;
        let all = found(&store, &filter()).await;
        assert_eq!(of(&all), ["b", "b", "a"]);
        let one = &all[2];
        assert_eq!(
            (one.consumer_tag.as_str(), one.retry_count, one.can_retry),
            ("billing", 4, true)
        );
        assert_eq!(one.event, "order-events:order-created");
        assert_eq!(one.original_message.as_deref(), Some(&br#"{"orderId":"a"}"#[..]));
        assert_eq!(one.key.as_deref(), Some("k"));
        let json = serde_json::to_value(one).unwrap();
        assert_eq!(json["originalMessage"]["orderId"], "a");
        assert_eq!(json["failedAt"], "2025-11-25T12:00:01.01Z");
        assert_eq!(json["canRetry"], true);
    }
}

#[tokio::test]
async fn every_filter_of_dead_letters_narrows() {
    for place in places().await {
        let store = place.open().await;
        three(&store).await;
        let fingerprint = found(&store, &filter()).await[2].fingerprint.clone();
        let text = |text: &str| Some(text.to_owned());
        for (filter, count) in [
            (
                DeadLetterFilter {
                    consumer_tag: text("mail"),
                    ..filter()
                },
                1,
            ),
            (
                DeadLetterFilter {
                    topic_tag: text("order-created"),
                    ..filter()
                },
                3,
            ),
            (
                DeadLetterFilter {
                    topic_tag: text("other"),
                    ..filter()
                },
                0,
            ),
            (
                DeadLetterFilter {
                    start_date: Some(at(5)),
                    ..filter()
                },
                2,
            ),
            (
                DeadLetterFilter {
                    end_date: Some(at(5)),
                    ..filter()
                },
                1,
            ),
            (
                DeadLetterFilter {
                    message_ids: vec!["b".to_owned(), "none".to_owned()],
                    ..filter()
                },
                2,
            ),
            (
                DeadLetterFilter {
                    error_contains: text("00% ref"),
                    ..filter()
                },
                2,
            ),
            (
                DeadLetterFilter {
                    error_contains: text("_00% ref"),
                    ..filter()
                },
                0,
            ),
            (
                DeadLetterFilter {
                    error_contains: text("REFUSED"),
                    ..filter()
                },
                0,
            ),
            (
                DeadLetterFilter {
                    fingerprint: Some(fingerprint),
                    ..filter()
                },
                2,
            ),
            (
                DeadLetterFilter {
                    states: vec![DeadLetterState::Archived],
                    ..filter()
                },
                0,
            ),
        ] {
            assert_eq!(found(&store, &filter).await.len(), count, "{store}: {filter:?}");
        }
    }
}

#[tokio::test]
async fn dead_letters_are_grouped_by_how_they_failed() {
    for place in places().await {
        let store = place.open().await;
        three(&store).await;
        let groups = store.tracking().dead_letter_groups(&broker()).await.unwrap();
        assert_eq!(groups.len(), 2);
        assert_eq!((groups[0].count, groups[0].consumer_tag.as_str()), (2, "billing"));
        assert_eq!(groups[0].error, "order 18 was 200% refused", "the newest");
        assert!(groups[0].first_failed_at < groups[0].last_failed_at);
    }
}

#[tokio::test]
async fn pages_of_dead_letters_fit_together() {
    for place in places().await {
        let store = place.open().await;
        let records: Vec<_> = (0..25)
            .map(|number| attempt(&format!("m{number:02}"), number, "billing", 1, dead("no")))
            .collect();
        write(&store, &records).await;
        let mut filter = DeadLetterFilter {
            limit: 10,
            ..filter()
        };
        let mut all = Vec::new();
        for page in 1..=3 {
            filter.page = page;
            let page = store.tracking().dead_letters(&filter, at(0)).await.unwrap();
            assert_eq!((page.total, page.has_more), (25, page.page < 3));
            all.extend(page.dead_letters.into_iter().map(|one| one.message_id));
            filter.snapshot = Some(page.snapshot);
            let newer = attempt(&format!("new{}", page.page), 99, "billing", 1, dead("no"));
            write(&store, &[newer]).await;
        }
        assert_eq!(all.len(), 25);
        assert!(all.is_sorted_by(|a, b| a > b), "{all:?}");
    }
}
