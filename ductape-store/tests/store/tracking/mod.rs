//! Tracked messages.

mod bad_input;
mod dead_letters;
mod in_order;
mod listed;
mod numbers;
mod operate;
mod prune;
mod query;
mod write;
mod writers;

pub(crate) use numbers::assert_numbers_hold;

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
