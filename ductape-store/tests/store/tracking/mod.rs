//! Tracked messages.

mod query;
mod write;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ductape_store::Store;
use ductape_store::tracking::{
    Attempted, BrokerFilter, Message, MessageFilter, MessagePage, Original, Outcome, Produced, Record,
    TopicPlace, TrackingWriter,
};

/// 2025-11-25 at noon.
pub(crate) const NOON: u64 = 1_764_072_000;

pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOON + seconds)
}

pub(crate) fn topic(tag: &str) -> Arc<TopicPlace> {
    Arc::new(TopicPlace {
        product: "shop".into(),
        env: "prd".into(),
        broker_tag: "order-events".into(),
        topic_tag: tag.into(),
    })
}

/// A produce of `id`, `seconds` after noon, for these groups.
pub(crate) fn produced(id: &str, seconds: u64, groups: &[&str]) -> Produced {
    Produced {
        topic: topic("order-created"),
        message_id: id.to_owned(),
        producer_tag: "checkout".into(),
        produced_at: at(seconds),
        payload: Some(Bytes::from(format!(r#"{{"orderId":"{id}"}}"#))),
        key: Some("k".to_owned()),
        idempotency_key: None,
        metadata: Some(r#"{"ce-source":"checkout"}"#.to_owned()),
        process_id: Some(format!("p-{id}")),
        session_tag: Some("user-session".to_owned()),
        replay_of: None,
        groups: groups.iter().map(|group| Arc::from(*group)).collect(),
    }
}

/// An attempt at `id`, a second after `seconds`, that took 10 ms.
pub(crate) fn attempted(id: &str, seconds: u64, group: &str, attempt: u32, outcome: Outcome) -> Attempted {
    let is_dead = matches!(outcome, Outcome::DeadLettered { .. });
    Attempted {
        topic: topic("order-created"),
        message_id: id.to_owned(),
        consumer_tag: group.into(),
        redrive: 0,
        attempt,
        started_at: at(seconds + 1),
        elapsed: Duration::from_millis(10),
        produced_at: Some(at(seconds)),
        response_data: (outcome == Outcome::Success).then(|| r#"{"done":true}"#.to_owned()),
        outcome,
        original: is_dead.then(|| Original {
            payload: Bytes::from(format!(r#"{{"orderId":"{id}"}}"#)),
            key: Some("k".to_owned()),
            metadata: Some(r#"{"ce-source":"checkout"}"#.to_owned()),
        }),
    }
}

pub(crate) fn produce(id: &str, seconds: u64, groups: &[&str]) -> Record {
    Record::Produced(Box::new(produced(id, seconds, groups)))
}

pub(crate) fn attempt(id: &str, seconds: u64, group: &str, attempt: u32, outcome: Outcome) -> Record {
    Record::Attempted(Box::new(attempted(id, seconds, group, attempt, outcome)))
}

pub(crate) fn failed(error: &str) -> Outcome {
    Outcome::Failed {
        error: error.to_owned(),
    }
}

pub(crate) fn dead(error: &str) -> Outcome {
    Outcome::DeadLettered {
        error: error.to_owned(),
    }
}

pub(crate) fn retrying(error: &str) -> Outcome {
    Outcome::Retrying {
        error: error.to_owned(),
        next_at: at(60),
    }
}

pub(crate) async fn write(store: &Store, records: &[Record]) {
    let writer = TrackingWriter::new(store);
    writer.write(records, at(100)).await.unwrap();
}

pub(crate) fn broker() -> BrokerFilter {
    BrokerFilter {
        product: "shop".to_owned(),
        env: "prd".to_owned(),
        broker_tag: "order-events".to_owned(),
    }
}

pub(crate) fn all() -> MessageFilter {
    MessageFilter {
        product: "shop".to_owned(),
        env: "prd".to_owned(),
        broker_tag: "order-events".to_owned(),
        ..MessageFilter::default()
    }
}

pub(crate) async fn messages(store: &Store, filter: &MessageFilter) -> MessagePage {
    store.tracking().messages(filter).await.unwrap()
}

pub(crate) async fn message(store: &Store, id: &str) -> Message {
    let found = store.tracking().message("shop", Some("prd"), id).await.unwrap();
    found.unwrap_or_else(|| panic!("{id} in {store}"))
}

pub(crate) fn ids(page: &MessagePage) -> Vec<&str> {
    page.messages.iter().map(|one| one.message_id.as_str()).collect()
}

/// The numbers that are kept say what counting the messages says.
pub(crate) async fn assert_numbers_hold(store: &Store) {
    let tracking = store.tracking();
    let mut filter = MessageFilter {
        limit: 1_000,
        ..all()
    };
    let mut messages = Vec::new();
    loop {
        let page = tracking.messages(&filter).await.unwrap();
        assert_eq!(page.total, tracking.stats(&broker()).await.unwrap().total);
        messages.extend(page.messages);
        filter.page += 1;
        filter.snapshot = Some(page.snapshot);
        if !page.has_more {
            assert_eq!(page.total, messages.len() as u64, "{store}");
            break;
        }
    }
    use ductape_store::tracking::{DeliveryStatus, EventStatus, MessageStatus};
    let stats = tracking.stats(&broker()).await.unwrap();
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
    let filter = ductape_store::tracking::ConsumerFilter {
        product: "shop".to_owned(),
        env: "prd".to_owned(),
        broker_tag: "order-events".to_owned(),
        limit: 1_000,
        ..Default::default()
    };
    for consumer in tracking.consumers(&filter, at(200)).await.unwrap().consumers {
        let deliveries = messages
            .iter()
            .filter(|one| one.topic_tag == consumer.topic)
            .flat_map(|one| &one.consumer_deliveries)
            .filter(|one| one.consumer_tag == consumer.tag);
        let count =
            |is: fn(DeliveryStatus) -> bool| deliveries.clone().filter(|one| is(one.status)).count() as u64;
        assert_eq!(
            consumer.message_count,
            count(|_| true),
            "{store}: {}",
            consumer.tag
        );
        assert_eq!(
            consumer.success_count,
            count(|status| status == DeliveryStatus::Success)
        );
        let has_failed = |status| matches!(status, DeliveryStatus::Failed | DeliveryStatus::DeadLettered);
        assert_eq!(
            consumer.failed_count,
            count(has_failed),
            "{store}: {}",
            consumer.tag
        );
    }
    for status in EventStatus::ALL {
        let filter = ductape_store::tracking::EventFilter {
            product: "shop".to_owned(),
            env: "prd".to_owned(),
            broker_tag: "order-events".to_owned(),
            status: Some(*status),
            limit: 1_000,
            ..Default::default()
        };
        let page = tracking.events(&filter).await.unwrap();
        let is_this = |one: &&ductape_store::tracking::Event| {
            if *status == EventStatus::Duplicate {
                let deliveries = &one.message.consumer_deliveries;
                deliveries.iter().any(|one| one.duplicate_count > 0)
            } else {
                one.status == *status
            }
        };
        assert_eq!(
            page.events.iter().filter(is_this).count(),
            page.events.len(),
            "{store}: {status}"
        );
        assert_eq!(page.total, page.events.len() as u64, "{store}: {status}");
    }
}
