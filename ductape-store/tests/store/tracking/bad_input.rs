//! What can't be asked, and what nothing answers to.

use std::time::{Duration, SystemTime};

use ductape_store::StoreErrorKind;
use ductape_store::tracking::{
    BrokerFilter, ConsumerFilter, DeadLetterFilter, EventFilter, MessageFilter, MessageStatus,
    ProducerFilter, Retention,
};

use super::{all, at, broker, messages, produce, write};
use crate::support::places;

const ODD: &[&str] = &[
    "'",
    "\"",
    "' OR '1'='1",
    "'; DROP TABLE ductape_messages; --",
    "%",
    "_",
    "order-events%",
    "order\\-events",
    "*",
    "$1",
    "?",
    "\0",
    "order-events\0",
    "\u{1}\u{7f}\r\n\t",
    "\u{feff}",
    "\u{202e}",
    "\u{1F980}",
    "ORDER-EVENTS",
    "NULL",
    "order-events ",
];

#[tokio::test]
async fn odd_names_are_of_nothing() {
    for place in places().await {
        let store = place.open().await;
        write(&store, &[produce("m", 0, &["billing"])]).await;
        let tracking = store.tracking();
        let long = "x".repeat(100_000);
        for odd in ODD.iter().copied().chain([long.as_str()]) {
            let text = Some(odd.to_owned());
            for filter in [
                MessageFilter {
                    product: odd.to_owned(),
                    ..all()
                },
                MessageFilter {
                    env: odd.to_owned(),
                    ..all()
                },
                MessageFilter {
                    broker_tag: odd.to_owned(),
                    ..all()
                },
                MessageFilter {
                    topic_tag: text.clone(),
                    ..all()
                },
                MessageFilter {
                    producer_tag: text.clone(),
                    ..all()
                },
                MessageFilter {
                    consumer_tag: text.clone(),
                    ..all()
                },
            ] {
                let page = messages(&store, &filter).await;
                assert_eq!((page.total, page.has_more), (0, false), "{store}: {filter:?}");
                assert!(page.messages.is_empty(), "{store}: {filter:?}");
            }
            assert!(
                tracking
                    .message("shop", Some("prd"), odd)
                    .await
                    .unwrap()
                    .is_none()
            );
            assert!(tracking.message(odd, Some(odd), "m").await.unwrap().is_none());
            assert!(tracking.event("shop", odd).await.unwrap().is_none());
            let letters = DeadLetterFilter {
                product: "shop".to_owned(),
                env: "prd".to_owned(),
                broker_tag: "order-events".to_owned(),
                fingerprint: text.clone(),
                error_contains: text.clone(),
                message_ids: vec![odd.to_owned()],
                ..DeadLetterFilter::default()
            };
            assert_eq!(tracking.dead_letters(&letters, at(0)).await.unwrap().total, 0);
            let other = BrokerFilter {
                broker_tag: odd.to_owned(),
                ..broker()
            };
            assert_eq!(tracking.stats(&other).await.unwrap().total, 0);
            assert_eq!(tracking.event_stats(&other).await.unwrap().total_events, 0);
            let dashboard = tracking.dashboard(&other, at(0)).await.unwrap();
            assert_eq!(
                (dashboard.recent_messages.len(), dashboard.daily_activity.len()),
                (0, 30)
            );
            let filter = MessageFilter {
                snapshot: text,
                ..all()
            };
            let error = tracking.messages(&filter).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
        }
        assert_eq!(messages(&store, &all()).await.total, 1, "{store}: still there");
    }
}

#[tokio::test]
async fn pages_that_can_t_be_are_refused() {
    for place in places().await {
        let store = place.open().await;
        write(&store, &[produce("m", 0, &["billing"])]).await;
        let tracking = store.tracking();
        for (page, limit, says) in [
            (0, 20, "counted from 1"),
            (1, 0, "1 to 1000"),
            (1, 1_000_000, "1 to 1000"),
        ] {
            let errors = [
                tracking
                    .messages(&MessageFilter { page, limit, ..all() })
                    .await
                    .unwrap_err(),
                tracking
                    .producers(
                        &ProducerFilter {
                            page,
                            limit,
                            ..Default::default()
                        },
                        at(0),
                    )
                    .await
                    .unwrap_err(),
                tracking
                    .consumers(
                        &ConsumerFilter {
                            page,
                            limit,
                            ..Default::default()
                        },
                        at(0),
                    )
                    .await
                    .unwrap_err(),
                tracking
                    .dead_letters(
                        &DeadLetterFilter {
                            page,
                            limit,
                            ..Default::default()
                        },
                        at(0),
                    )
                    .await
                    .unwrap_err(),
                tracking
                    .events(&EventFilter {
                        page,
                        limit,
                        ..Default::default()
                    })
                    .await
                    .unwrap_err(),
            ];
            for error in errors {
                assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
                assert!(error.to_string().contains(says), "{error}");
            }
        }
        for page in [2, 1_000_000, u32::MAX] {
            for limit in [1, 1_000] {
                let page = messages(&store, &MessageFilter { page, limit, ..all() }).await;
                assert_eq!((page.messages.len(), page.total, page.has_more), (0, 1, false));
            }
        }
        let error = tracking.messages(&MessageFilter::default()).await.unwrap_err();
        assert!(error.to_string().contains("`product` is empty"), "{error}");
        let ids = vec![String::new(); 1_001];
        let filter = DeadLetterFilter {
            message_ids: ids.clone(),
            ..Default::default()
        };
        let error = tracking.dead_letters(&filter, at(0)).await.unwrap_err();
        assert!(error.to_string().contains("at most 1000"), "{error}");
        let error = tracking
            .claim_dead_letters(&ids, "t", at(1), at(0))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("at most 1000"), "{error}");
        assert!(tracking.claim_dead_letters(&[], "", at(1), at(0)).await.is_err());
    }
}

#[tokio::test]
async fn dates_may_be_anything_but_reversed() {
    for place in places().await {
        let store = place.open().await;
        write(&store, &[produce("m", 0, &["billing"])]).await;
        let tracking = store.tracking();
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1 << 40);
        for (start, end, count) in [
            (Some(at(0)), None, 1),
            (None, Some(at(0)), 0),
            (Some(at(0)), Some(at(0)), 0),
            (Some(at(0)), Some(at(1)), 1),
            (Some(before), Some(far), 1),
            (Some(far), Some(far), 0),
            (Some(far), None, 0),
            (None, Some(before), 0),
        ] {
            for status in [None, Some(MessageStatus::Pending), Some(MessageStatus::Success)] {
                let filter = MessageFilter {
                    start_date: start,
                    end_date: end,
                    status,
                    ..all()
                };
                let page = messages(&store, &filter).await;
                let count = if status == Some(MessageStatus::Success) {
                    0
                } else {
                    count
                };
                assert_eq!(
                    (page.total, page.messages.len() as u64),
                    (count, count),
                    "{store}: {filter:?}"
                );
            }
        }
        let reversed = MessageFilter {
            start_date: Some(at(1)),
            end_date: Some(at(0)),
            ..all()
        };
        let error = tracking.messages(&reversed).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains("start date"), "{error}");
        let retention = Retention {
            age_max: Some(Duration::MAX),
            bytes_max: Some(u64::MAX),
        };
        assert!(tracking.prune(retention, at(0)).await.unwrap().is_done);
        assert!(tracking.prune(retention, before).await.unwrap().is_done);
    }
}
