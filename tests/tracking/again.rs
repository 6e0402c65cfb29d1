//! Messages that are given to a group again: retried, reprocessed, replayed.

use ductape_events::ErrorCode;
use ductape_events::prelude::*;
use ductape_events::store::tracking::{BrokerFilter, EventFilter, EventStatus, MessageStatus};
use ductape_events::tracking::{ReplayOptions, ReprocessOptions, Tracking};
use serde_json::json;

use crate::couriers::{OPEN, builder, dead_letters, given, given_up, is_partial, order};
use crate::support::places;
use crate::{Paid, are_finished, bill, messages};

#[tokio::test]
async fn a_retry_reaches_the_group_that_failed_and_no_other() {
    for place in places().await {
        let store = place.open().await;
        let order = order("retried");
        let (ductape, failed) = given_up(&store, std::slice::from_ref(&order)).await;
        let id = failed[0].message_id.as_str();
        let history = ductape.messaging().messages();
        let refused = history.retry(id, "audit").await.unwrap_err();
        assert_eq!(
            refused.code(),
            ErrorCode::ConfigInvalid,
            "it has not failed there"
        );
        for (id, group) in [("no-such-id", "courier"), (id, "nobody")] {
            let missing = history.retry(id, group).await.unwrap_err();
            assert_eq!(missing.code(), ErrorCode::EventNotFound);
        }

        OPEN.lock().unwrap().insert(order.clone());
        let (one, other) = tokio::join!(history.retry(id, "courier"), history.retry(id, "courier"));
        assert!(one.is_ok() != other.is_ok(), "of two that ask at once, one does");
        let after = messages(&ductape, |messages| messages[0].status == MessageStatus::Success).await;
        let delivery = after[0]
            .consumer_deliveries
            .iter()
            .find(|delivery| delivery.consumer_tag == "courier")
            .unwrap();
        assert_eq!((delivery.redrive_count, &delivery.error), (1, &None));
        assert_eq!((given("courier", &order), given("audit", &order)), (2, 1));
        assert!(
            ductape
                .dead_letters("shop:paid", "courier", 10)
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(history.dead_letters(&dead_letters()).await.unwrap().total, 0);
        ductape.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn two_operators_reprocess_dead_letters_once() {
    for place in places().await {
        let store = place.open().await;
        let orders: Vec<String> = (0..5).map(|_| order("reprocessed")).collect();
        let (ductape, _) = given_up(&store, &orders).await;
        let brokers = ductape.brokers();
        let filter = dead_letters();
        let dry = ReprocessOptions {
            dry_run: true,
            ..ReprocessOptions::default()
        };
        let would = brokers.reprocess_dlq(&filter, &dry).await.unwrap();
        assert_eq!((would.reprocessed_count, would.event_ids.len()), (5, 5));
        assert_eq!(
            orders.iter().map(|order| given("courier", order)).sum::<usize>(),
            5
        );

        OPEN.lock().unwrap().extend(orders.iter().cloned());
        let options = ReprocessOptions::default();
        let (one, other) = tokio::join!(
            brokers.reprocess_dlq(&filter, &options),
            brokers.reprocess_dlq(&filter, &options)
        );
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(
            (
                one.reprocessed_count + other.reprocessed_count,
                one.failed_count + other.failed_count
            ),
            (5, 0),
            "{one:?} {other:?}"
        );
        messages(&ductape, |messages| {
            messages
                .iter()
                .all(|message| message.status == MessageStatus::Success)
        })
        .await;
        for order in &orders {
            assert_eq!((given("courier", order), given("audit", order)), (2, 1));
        }
        let none = brokers.reprocess_dlq(&filter, &options).await.unwrap();
        assert_eq!(none.reprocessed_count, 0);
        ductape.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_replay_is_refused_without_force_and_its_copy_goes_to_one_group() {
    for place in places().await {
        let store = place.open().await;
        let order = order("replayed");
        OPEN.lock().unwrap().insert(order.clone());
        let ductape = builder(&store).build().await.unwrap();
        ductape.start().await.unwrap();
        let receipt = Paid::of(&order).produce(&ductape).await.unwrap();
        let id = receipt.process_id.to_string();
        messages(&ductape, |messages| {
            !messages.is_empty() && messages[0].status == MessageStatus::Success
        })
        .await;

        let brokers = ductape.brokers();
        let refused = brokers
            .replay_event(&id, &ReplayOptions::default())
            .await
            .unwrap_err();
        assert_eq!(refused.code(), ErrorCode::ReplayRefused);
        let one = ReplayOptions {
            group: Some("audit".to_owned()),
            force: false,
        };
        let refused = brokers.replay_event(&id, &one).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::ReplayRefused);
        let missing = brokers.replay_event("no-such-id", &one).await.unwrap_err();
        assert_eq!(missing.code(), ErrorCode::EventNotFound);

        let report = brokers
            .replay_event(&id, &ReplayOptions { force: true, ..one })
            .await
            .unwrap();
        assert_ne!(report.new_event_id, receipt.process_id);
        let all = messages(&ductape, |messages| messages.len() == 2 && are_finished(messages)).await;
        let copy = all
            .iter()
            .find(|message| message.message_id == report.new_event_id.to_string())
            .unwrap();
        assert_eq!(copy.replay_of.as_ref(), Some(&id));
        assert_eq!(copy.consumer_deliveries.len(), 1);
        assert_eq!((given("audit", &order), given("courier", &order)), (2, 1));
        ductape.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn what_was_not_kept_can_not_be_replayed_and_what_is_pending_can_be_failed() {
    for place in places().await {
        let store = place.open().await;
        let mut tracking = Tracking::default();
        tracking.payloads = false;
        let builder = Ductape::builder()
            .without_inventory()
            .in_process()
            .consumer::<bill>();
        let ductape = builder
            .store(store.clone())
            .tracking(tracking)
            .build()
            .await
            .unwrap();
        let receipt = Paid::of("a").produce(&ductape).await.unwrap();
        let id = receipt.process_id.to_string();
        let force = ReplayOptions {
            force: true,
            ..ReplayOptions::default()
        };
        let refused = ductape.brokers().replay_event(&id, &force).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::ReplayRefused, "{refused}");
        let history = ductape.messaging().messages();
        let failed = history.fail(&id, "given up by hand").await.unwrap();
        assert_eq!(failed.status, MessageStatus::Failed);
        let again = history.fail(&id, "again").await.unwrap_err();
        assert_eq!(again.code(), ErrorCode::ConfigInvalid);
        ductape.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn events_are_listed_counted_and_published_by_name() {
    for place in places().await {
        let store = place.open().await;
        let orders = [order("listed"), order("listed")];
        OPEN.lock().unwrap().insert(orders[0].clone());
        let ductape = builder(&store).build().await.unwrap();
        ductape.start().await.unwrap();
        let brokers = ductape.brokers();
        let event = |order: &str| json!({"order": order, "secret": "c-1"});
        let first = brokers
            .publish_idempotent("shop:paid", &event(&orders[0]), "key-1")
            .await
            .unwrap();
        let second = brokers
            .publish_idempotent("shop:paid", &event(&orders[0]), "key-1")
            .await
            .unwrap();
        assert!(second.duplicate && second.process_id == first.process_id);
        assert!(brokers.check_idempotency("key-1").await.unwrap().unwrap().done);
        let conflict = brokers
            .publish_idempotent("shop:paid", &event("other"), "key-1")
            .await;
        assert_eq!(conflict.unwrap_err().code(), ErrorCode::IdempotencyConflict);
        brokers.publish("shop:paid", &event(&orders[1])).await.unwrap();
        messages(&ductape, |messages| messages.len() == 2 && are_finished(messages)).await;
        messages(&ductape, |messages| messages.iter().any(is_partial)).await;

        let filter = EventFilter {
            broker_tag: "shop".to_owned(),
            status: Some(EventStatus::Failed),
            ..EventFilter::default()
        };
        let failed = brokers.get_events(&filter).await.unwrap();
        assert_eq!(
            (failed.total, failed.events.len(), failed.has_more),
            (1, 1, false)
        );
        let keyed = ductape.messaging().messages();
        let keyed = keyed.get(&first.process_id.to_string()).await.unwrap().unwrap();
        assert_eq!(keyed.idempotency_key.as_deref(), Some("key-1"));
        let one = brokers.get_event(&failed.events[0].id).await.unwrap();
        assert_eq!(one.event, "shop:paid");
        assert_eq!(
            brokers.get_event("no-such-id").await.unwrap_err().code(),
            ErrorCode::EventNotFound
        );
        let broker = BrokerFilter {
            broker_tag: "shop".to_owned(),
            ..BrokerFilter::default()
        };
        let stats = brokers.get_event_stats(&broker).await.unwrap();
        assert_eq!(
            (stats.total_events, stats.failed_count, stats.dead_letter_count),
            (2, 1, 1)
        );
        let odd = EventFilter { limit: 0, ..filter };
        let refused = brokers.get_events(&odd).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::ConfigInvalid);
        assert_eq!(brokers.get_broker("shop").await.unwrap().tag, "shop");
        assert_eq!(brokers.get_topics("shop").await.unwrap().len(), 1);
        assert_eq!(
            brokers.get_broker("none").await.unwrap_err().code(),
            ErrorCode::BrokerNotFound
        );
        assert_eq!(
            brokers.get_topic("shop:none").await.unwrap_err().code(),
            ErrorCode::TopicNotFound
        );
        ductape.shutdown().await.unwrap();
    }
}
