//! The history of messages, on SQLite and on Postgres.
//!
//! Postgres is the one that `DUCTAPE_TEST_POSTGRES` names (`eval "$(dev/brokers env postgres)"`); without it these tests run on
//! SQLite alone, unless `DUCTAPE_TEST` asks for `postgres`.

// A test fails by panicking, and waits by the real clock.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used
)]

#[path = "tracking/again.rs"]
mod again;
#[path = "tracking/couriers.rs"]
mod couriers;
#[path = "tracking/letters.rs"]
mod letters;
#[path = "tracking/range.rs"]
mod range;
#[path = "tracking/reprocess.rs"]
mod reprocess;
#[path = "tracking/retention.rs"]
mod retention;
#[path = "tracking/sensitive.rs"]
mod sensitive;
#[allow(dead_code)] // the other suites use more of it
#[path = "../ductape-store/tests/store/support.rs"]
mod support;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ductape_events::ErrorCode;
use ductape_events::prelude::*;
use ductape_events::store::Store;
use ductape_events::store::tracking::{
    BrokerFilter, ConsumerFilter, DeadLetterFilter, DeliveryStatus, Message, MessageFilter, MessageStatus,
    ProducerFilter,
};
use ductape_events::tracking::{Tracking, TrackingPolicy};
use sqlx::{Connection as _, Executor as _};

use crate::support::{places, sqlite};

/// Someone paid.
#[topic("shop:paid", key = order)]
struct Paid {
    order: String,
    secret: String,
}

impl Paid {
    fn of(order: &str) -> Self {
        Self {
            order: order.to_owned(),
            secret: "c-1".to_owned(),
        }
    }
}

#[consumer(group = "billing")]
async fn bill(_paid: Paid) {}

/// Fails at what is called `again` until its second attempt, and at what is called `never` for good.
#[consumer(group = "shipping", retry(attempts = 3, base = "5ms"))]
async fn ship(paid: Paid, meta: Meta) -> Result<(), HandlerError> {
    match paid.order.as_str() {
        "again" if meta.attempt < 2 => Err(std::io::Error::other("the truck is late").into()),
        "never" => Err("no such street".reject()),
        _ => Ok(()),
    }
}

fn builder(store: &Store) -> ductape_events::DuctapeBuilder {
    let builder = Ductape::builder().without_inventory().in_process();
    builder
        .environment("prd")
        .consumer::<bill>()
        .consumer::<ship>()
        .store(store.clone())
}

fn paid_messages() -> MessageFilter {
    MessageFilter {
        broker_tag: "shop".to_owned(),
        limit: 1_000,
        ..MessageFilter::default()
    }
}

/// The messages, once `done` says that they are as they should be.
async fn messages(ductape: &Ductape, done: impl Fn(&[Message]) -> bool) -> Vec<Message> {
    let began = Instant::now();
    loop {
        let page = ductape
            .messaging()
            .messages()
            .query(&paid_messages())
            .await
            .unwrap();
        if done(&page.messages) {
            return page.messages;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{:#?}", page.messages);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn are_finished(messages: &[Message]) -> bool {
    !messages.is_empty()
        && messages
            .iter()
            .all(|message| message.status != MessageStatus::Pending)
}

#[tokio::test]
async fn what_is_produced_and_what_each_group_does_is_in_the_history() {
    for place in places().await {
        let store = place.open().await;
        let ductape = builder(&store).build().await.unwrap();
        for order in ["fine", "again", "never"] {
            Paid::of(order).produce(&ductape).await.unwrap();
        }
        let waiting = messages(&ductape, |messages| messages.len() == 3).await;
        assert!(
            waiting
                .iter()
                .all(|message| message.status == MessageStatus::Pending)
        );
        assert!(
            waiting
                .iter()
                .all(|message| message.consumer_deliveries.len() == 2)
        );

        ductape.start().await.unwrap();
        let messages = messages(&ductape, |messages| {
            messages.iter().all(|message| {
                let mut deliveries = message.consumer_deliveries.iter();
                deliveries.all(|delivery| {
                    matches!(
                        delivery.status,
                        DeliveryStatus::Success | DeliveryStatus::DeadLettered
                    )
                })
            })
        })
        .await;
        let by_key: HashMap<&str, &Message> = messages
            .iter()
            .map(|message| (message.key.as_deref().unwrap(), message))
            .collect();
        let of = |key: &str, group: &str| {
            let deliveries = &by_key[key].consumer_deliveries;
            let delivery = deliveries
                .iter()
                .find(|delivery| delivery.consumer_tag == group)
                .unwrap();
            (delivery.status, delivery.retry_count, delivery.error.clone())
        };
        assert_eq!(by_key["fine"].status, MessageStatus::Success);
        assert_eq!(by_key["never"].status, MessageStatus::Partial);
        assert_eq!(of("fine", "billing"), (DeliveryStatus::Success, 0, None));
        assert_eq!(
            (of("again", "shipping").0, of("again", "shipping").1),
            (DeliveryStatus::Success, 1)
        );
        let (dead, _, error) = of("never", "shipping");
        assert_eq!(dead, DeliveryStatus::DeadLettered);
        assert!(error.unwrap().contains("no such street"));
        assert_eq!(by_key["fine"].event, "shop:paid");
        assert_eq!(by_key["fine"].env, "prd");
        assert_eq!(by_key["fine"].metadata["ce-type"], "shop:paid");
        assert_eq!(
            by_key["fine"].payload.as_deref().unwrap(),
            br#"{"order":"fine","secret":"c-1"}"#
        );

        let history = ductape.messaging().messages();
        let one = history.get(&by_key["never"].message_id).await.unwrap().unwrap();
        assert_eq!(one.key.as_deref(), Some("never"));
        assert!(history.get("no-such-id").await.unwrap().is_none());
        let broker = BrokerFilter {
            broker_tag: "shop".to_owned(),
            ..BrokerFilter::default()
        };
        let stats = history.stats(&broker).await.unwrap();
        assert_eq!((stats.total, stats.success, stats.partial), (3, 2, 1));
        assert_eq!(
            (stats.consumer_count, stats.dead_letter_count, stats.left_out),
            (2, 1, 0)
        );
        let letters = DeadLetterFilter {
            broker_tag: "shop".to_owned(),
            ..DeadLetterFilter::default()
        };
        let letters = history.dead_letters(&letters).await.unwrap();
        assert_eq!(
            letters.dead_letters[0].original_message.as_deref().unwrap(),
            br#"{"order":"never","secret":"c-1"}"#
        );
        let consumers = ConsumerFilter {
            broker_tag: "shop".to_owned(),
            ..ConsumerFilter::default()
        };
        assert_eq!(history.consumers(&consumers).await.unwrap().consumers.len(), 2);
        let producers = ProducerFilter {
            broker_tag: "shop".to_owned(),
            ..ProducerFilter::default()
        };
        assert_eq!(
            history.producers(&producers).await.unwrap().producers[0].message_count,
            3
        );
        history.dashboard(&broker).await.unwrap();
        ductape.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn what_was_produced_before_a_group_began_does_not_wait_for_it() {
    for place in places().await {
        let store = place.open().await;
        let ductape = builder(&store).build().await.unwrap();
        ductape.start().await.unwrap();
        for late in ["late", "later"] {
            // Not written yet when the group begins.
            Paid::of(late).produce(&ductape).await.unwrap();
            ductape
                .consume("shop:paid", late, |_| async { Ok(()) })
                .await
                .unwrap();
        }
        Paid::of("last").produce(&ductape).await.unwrap();
        let all = messages(&ductape, |messages| {
            messages.len() == 3 && messages.iter().all(|one| one.status == MessageStatus::Success)
        })
        .await;
        let had: Vec<usize> = all.iter().map(|one| one.consumer_deliveries.len()).collect();
        assert_eq!(had, [4, 3, 2]);
        ductape.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_policy_leaves_out_what_went_well_and_never_what_failed() {
    for place in places().await {
        let store = place.open().await;
        let mut tracking = Tracking::default();
        tracking.policy = TrackingPolicy::Failures;
        tracking.payloads = false;
        let ductape = builder(&store)
            .tracking_of("shop:paid", tracking)
            .build()
            .await
            .unwrap();
        ductape.start().await.unwrap();
        let orders = (0..50)
            .map(|n| Paid::of(&format!("fine-{n}")))
            .chain([Paid::of("never")]);
        for receipt in Paid::produce_all(orders, &ductape).await {
            receipt.unwrap();
        }
        let kept = messages(&ductape, are_finished).await;
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].payload, None);
        ductape.shutdown().await.unwrap();
        let broker = BrokerFilter {
            broker_tag: "shop".to_owned(),
            product: ductape.context().product().to_owned(),
            env: "prd".to_owned(),
        };
        assert_eq!(store.tracking().stats(&broker).await.unwrap().left_out, 51);
    }
}

#[tokio::test]
async fn messages_flow_while_the_store_is_locked_and_the_history_catches_up() {
    let place = sqlite();
    let store = place.open().await;
    let ductape = builder(&store).build().await.unwrap();
    ductape.start().await.unwrap();
    // Another writer has the file for itself.
    let mut other = sqlx::SqliteConnection::connect(&place.url).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let orders = (0..200).map(|n| Paid::of(&format!("order-{n}")));
    for receipt in Paid::produce_all(orders, &ductape).await {
        receipt.unwrap();
    }
    let began = Instant::now();
    while ductape.stats().iter().any(|consumer| consumer.handled < 200) {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "the messages wait for the store"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let page = ductape
        .messaging()
        .messages()
        .query(&paid_messages())
        .await
        .unwrap();
    assert_eq!(page.total, 0, "nothing can be written yet");
    other.execute("ROLLBACK").await.unwrap();
    let all = messages(&ductape, |messages| {
        messages.len() == 200 && are_finished(messages)
    })
    .await;
    assert!(all.iter().all(|message| message.status == MessageStatus::Success));
    ductape.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_happened_until_the_end_is_written_at_the_end() {
    for place in places().await {
        let store = place.open().await;
        let ductape = builder(&store).build().await.unwrap();
        let orders = (0..500).map(|n| Paid::of(&format!("order-{n}")));
        for receipt in Paid::produce_all(orders, &ductape).await {
            receipt.unwrap();
        }
        ductape.shutdown().await.unwrap();
        let again = builder(&store).build().await.unwrap();
        let all = messages(&again, |messages| messages.len() == 500).await;
        assert_eq!(all.len(), 500);
        again.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_question_that_can_not_be_is_refused_and_so_is_one_without_a_store() {
    let place = sqlite();
    let store = place.open().await;
    let ductape = builder(&store).build().await.unwrap();
    for (page, limit) in [(0, 20), (1, 0), (1, 1_000_000)] {
        let filter = MessageFilter {
            page,
            limit,
            ..paid_messages()
        };
        let error = ductape.messaging().messages().query(&filter).await.unwrap_err();
        assert_eq!(
            error.code(),
            ErrorCode::ConfigInvalid,
            "page {page}, limit {limit}: {error}"
        );
    }
    for odd in ["'; DROP TABLE ductape_tracking; --", "%", "\u{0}\u{7}", "_"] {
        let filter = MessageFilter {
            topic_tag: Some(odd.to_owned()),
            ..paid_messages()
        };
        let page = ductape.messaging().messages().query(&filter).await.unwrap();
        assert_eq!(page.total, 0, "{odd:?}");
    }
    ductape.shutdown().await.unwrap();
    let builder = Ductape::builder().without_inventory().in_process();
    let ductape = builder.consumer::<bill>().build().await.unwrap();
    let error = ductape
        .messaging()
        .messages()
        .query(&paid_messages())
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::StoreFailed);
    ductape.shutdown().await.unwrap();
}
