//! The numbers that are kept say what counting the messages says.

use ductape_store::Store;
use ductape_store::tracking::{
    ConsumerFilter, DeliveryStatus, Event, EventFilter, EventStatus, Message, MessageFilter, MessageStatus,
};

use super::{all, at, broker};

pub(crate) async fn assert_numbers_hold(store: &Store) {
    let messages = every(store).await;
    assert_stats_hold(store, &messages).await;
    assert_consumers_hold(store, &messages).await;
    assert_events_hold(store).await;
}

async fn every(store: &Store) -> Vec<Message> {
    let tracking = store.tracking();
    let mut filter = MessageFilter {
        limit: 1_000,
        ..all()
    };
    let mut messages = Vec::new();
    loop {
        let page = tracking.messages(&filter).await.unwrap();
        messages.extend(page.messages);
        filter.page += 1;
        filter.snapshot = Some(page.snapshot);
        if !page.has_more {
            assert_eq!(page.total, messages.len() as u64, "{store}");
            return messages;
        }
    }
}

async fn assert_stats_hold(store: &Store, messages: &[Message]) {
    let tracking = store.tracking();
    let stats = tracking.stats(&broker()).await.unwrap();
    assert_eq!(stats.total, messages.len() as u64, "{store}");
    for (status, count) in [
        (MessageStatus::Pending, stats.pending),
        (MessageStatus::Success, stats.success),
        (MessageStatus::Failed, stats.failed),
        (MessageStatus::Partial, stats.partial),
    ] {
        let counted = messages.iter().filter(|one| one.status == status).count();
        assert_eq!(count, counted as u64, "{store}: {status}");
        let filter = MessageFilter {
            status: Some(status),
            limit: 1_000,
            ..all()
        };
        let page = tracking.messages(&filter).await.unwrap();
        assert_eq!(page.total, count, "{store}: {status}");
        assert_eq!(page.messages.len() as u64, count.min(1_000), "{store}: {status}");
        assert!(
            page.messages.iter().all(|one| one.status == status),
            "{store}: {status}"
        );
    }
    for producer in &stats.messages_by_producer {
        let counted = messages
            .iter()
            .filter(|one| one.producer_tag == producer.tag)
            .count();
        assert_eq!(producer.count, counted as u64, "{store}: {}", producer.tag);
    }
    for topic in &stats.messages_by_topic {
        let counted = messages.iter().filter(|one| one.topic_tag == topic.tag).count();
        assert_eq!(topic.count, counted as u64, "{store}: {}", topic.tag);
    }
}

async fn assert_consumers_hold(store: &Store, messages: &[Message]) {
    let filter = ConsumerFilter {
        product: "shop".to_owned(),
        env: "prd".to_owned(),
        broker_tag: "order-events".to_owned(),
        limit: 1_000,
        ..ConsumerFilter::default()
    };
    let page = store.tracking().consumers(&filter, at(200)).await.unwrap();
    for consumer in page.consumers {
        let deliveries = messages
            .iter()
            .filter(|one| one.topic_tag == consumer.topic)
            .flat_map(|one| &one.consumer_deliveries)
            .filter(|one| one.consumer_tag == consumer.tag);
        let count =
            |is: fn(DeliveryStatus) -> bool| deliveries.clone().filter(|one| is(one.status)).count() as u64;
        let has_failed = |status| matches!(status, DeliveryStatus::Failed | DeliveryStatus::DeadLettered);
        let counted = [
            count(|_| true),
            count(|status| status == DeliveryStatus::Success),
            count(has_failed),
        ];
        let kept = [
            consumer.message_count,
            consumer.success_count,
            consumer.failed_count,
        ];
        assert_eq!(kept, counted, "{store}: {}", consumer.tag);
    }
}

async fn assert_events_hold(store: &Store) {
    for status in EventStatus::ALL {
        let filter = EventFilter {
            product: "shop".to_owned(),
            env: "prd".to_owned(),
            broker_tag: "order-events".to_owned(),
            status: Some(*status),
            limit: 1_000,
            ..EventFilter::default()
        };
        let page = store.tracking().events(&filter).await.unwrap();
        let is_this = |one: &Event| {
            if *status == EventStatus::Duplicate {
                let deliveries = &one.message.consumer_deliveries;
                deliveries.iter().any(|one| one.duplicate_count > 0)
            } else {
                one.status == *status
            }
        };
        assert!(page.events.iter().all(is_this), "{store}: {status}");
        assert_eq!(page.total, page.events.len() as u64, "{store}: {status}");
    }
}
