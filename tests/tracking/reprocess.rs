//! Dead letters that are sent back: which, how many, how fast, in which order and how often.

use std::time::{Duration, Instant};

use ductape_events::ErrorCode;
use ductape_events::prelude::*;
use ductape_events::store::Store;
use ductape_events::store::tracking::{DeadLetterFilter, MessageStatus};
use ductape_events::tracking::ReprocessOptions;

use crate::couriers::{OPEN, builder, dead_letters, given, order, taken};
use crate::letters::{letters, with_ids};
use crate::support::{places, sqlite};
use crate::{Paid, messages};

/// A program whose couriers have given up `count` messages of one order.
async fn of_one_order(store: &Store, order: &str, count: usize) -> Ductape {
    let ductape = builder(store).build().await.unwrap();
    ductape.start().await.unwrap();
    let paid = (0..count).map(|n| Paid {
        order: order.to_owned(),
        secret: n.to_string(),
    });
    for receipt in Paid::produce_all(paid, &ductape).await {
        receipt.unwrap();
    }
    letters(&ductape, count).await;
    ductape
}

#[tokio::test]
async fn every_filter_narrows_what_is_sent_back() {
    for place in places().await {
        let store = place.open().await;
        let order = order("narrowed");
        let ductape = of_one_order(&store, &order, 9).await;
        let brokers = ductape.brokers();
        let open = letters(&ductape, 9).await;
        let dry = |filter: DeadLetterFilter| {
            let brokers = brokers.clone();
            async move {
                let dry = ReprocessOptions {
                    dry_run: true,
                    at_most: Some(u64::MAX),
                    ..ReprocessOptions::default()
                };
                brokers
                    .reprocess_dlq(&filter, &dry)
                    .await
                    .unwrap()
                    .reprocessed_count
            }
        };
        let text = |text: &str| Some(text.to_owned());
        let filter = dead_letters;
        for (filter, count) in [
            (DeadLetterFilter { limit: 1, ..filter() }, 9),
            (
                DeadLetterFilter {
                    topic_tag: text("paid"),
                    ..filter()
                },
                9,
            ),
            (
                DeadLetterFilter {
                    topic_tag: text("' OR 1=1"),
                    ..filter()
                },
                0,
            ),
            (
                DeadLetterFilter {
                    consumer_tag: text("courier"),
                    ..filter()
                },
                9,
            ),
            (
                DeadLetterFilter {
                    consumer_tag: text("audit"),
                    ..filter()
                },
                0,
            ),
            (
                DeadLetterFilter {
                    error_contains: text("street is closed"),
                    ..filter()
                },
                9,
            ),
            (
                DeadLetterFilter {
                    error_contains: text("str%closed"),
                    ..filter()
                },
                0,
            ),
            (
                DeadLetterFilter {
                    end_date: Some(open[8].failed_at),
                    ..filter()
                },
                0,
            ),
            (
                DeadLetterFilter {
                    start_date: Some(open[8].failed_at),
                    ..filter()
                },
                9,
            ),
            (
                DeadLetterFilter {
                    message_ids: vec![open[3].message_id.clone(), "none".to_owned()],
                    ..filter()
                },
                1,
            ),
            (with_ids(&[&open[0].id, &open[4].id, "\u{0}"]), 2),
        ] {
            assert_eq!(dry(filter.clone()).await, count, "{filter:?}");
        }
        ductape.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn some_or_all_are_sent_back_in_the_order_of_their_key() {
    for place in places().await {
        let store = place.open().await;
        let order = order("sent-back");
        let ductape = of_one_order(&store, &order, 9).await;
        let brokers = ductape.brokers();
        OPEN.lock().unwrap().insert(order.clone());
        let began = Instant::now();
        let few = ReprocessOptions {
            at_most: Some(4),
            rate: Some(20),
            ..ReprocessOptions::default()
        };
        let some = brokers.reprocess_dlq(&dead_letters(), &few).await.unwrap();
        assert_eq!((some.reprocessed_count, some.stopped), (4, None));
        assert_eq!(
            (some.by_group[0].count, &*some.by_group[0].event),
            (4, "shop:paid")
        );
        assert!(began.elapsed() >= Duration::from_millis(90), "4 at 20 a second");
        let all = ReprocessOptions {
            at_most: Some(u64::MAX),
            ..ReprocessOptions::default()
        };
        let one_at_a_time = DeadLetterFilter {
            limit: 1,
            ..dead_letters()
        };
        let rest = brokers.reprocess_dlq(&one_at_a_time, &all).await.unwrap();
        assert_eq!((rest.reprocessed_count, rest.failed_count), (5, 0));
        messages(&ductape, |messages| {
            messages.iter().all(|one| one.status == MessageStatus::Success)
        })
        .await;
        let in_order: Vec<String> = (0..9).chain(0..9).map(|n| n.to_string()).collect();
        assert_eq!(taken(&order), in_order);
        ductape.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn questions_about_dead_letters_that_can_not_be_are_refused() {
    let place = sqlite();
    let store = place.open().await;
    let ductape = builder(&store).build().await.unwrap();
    let brokers = ductape.brokers();
    let filter = dead_letters;
    for filter in [
        DeadLetterFilter { page: 0, ..filter() },
        DeadLetterFilter { page: 2, ..filter() },
        DeadLetterFilter { limit: 0, ..filter() },
        DeadLetterFilter {
            limit: 1_000_000,
            ..filter()
        },
        DeadLetterFilter {
            ids: vec!["1".to_owned(); 1_001],
            ..filter()
        },
        DeadLetterFilter {
            broker_tag: String::new(),
            ..filter()
        },
    ] {
        let options = ReprocessOptions::default();
        for error in [
            brokers.reprocess_dlq(&filter, &options).await.unwrap_err(),
            brokers.archive_dead_letters(&filter).await.unwrap_err(),
            brokers.restore_dead_letters(&filter).await.unwrap_err(),
        ] {
            assert_eq!(error.code(), ErrorCode::ConfigInvalid, "{filter:?}: {error}");
        }
    }
    for rate in [0, u32::MAX] {
        let options = ReprocessOptions {
            rate: Some(rate),
            ..ReprocessOptions::default()
        };
        let error = brokers.reprocess_dlq(&filter(), &options).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConfigInvalid, "{rate}: {error}");
    }
    ductape.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_failed_ten_times_more_stays() {
    let place = sqlite();
    let store = place.open().await;
    let order = order("poison");
    let ductape = of_one_order(&store, &order, 1).await;
    let brokers = ductape.brokers();
    let options = ReprocessOptions::default();
    for times in 1..=10 {
        let sent = brokers.reprocess_dlq(&dead_letters(), &options).await.unwrap();
        assert_eq!(sent.reprocessed_count, 1, "{times}: {sent:?}");
        let began = Instant::now();
        while letters(&ductape, 1).await[0].redrive_count != times {
            assert!(began.elapsed() < Duration::from_secs(20), "{times}");
        }
    }
    let stays = brokers.reprocess_dlq(&dead_letters(), &options).await.unwrap();
    assert_eq!((stays.reprocessed_count, stays.failed_count), (0, 1));
    assert!(stays.errors[0].contains("10 times"), "{stays:?}");
    assert_eq!(given("courier", &order), 11);
    assert!(letters(&ductape, 1).await[0].can_retry);
    ductape.shutdown().await.unwrap();
}
