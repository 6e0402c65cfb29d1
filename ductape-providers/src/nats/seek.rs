//! Where a group stands: setting it elsewhere, and counting what it has before it.

use std::time::Duration;

use async_nats::jetstream::consumer::{self, DeliverPolicy};
use ductape_schema::GroupName;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::declare::{create_consumer, group_missing};
use super::provider::Nats;
use super::topic::Topic;
use crate::error::{Error, ErrorKind, Result};
use crate::message::TopicName;
use crate::provider::Backlog;
use crate::spec::SeekTo;

/// How often it is tried to make a consumer again that was deleted to be moved.
const AGAIN: usize = 20;

/// A consumer can't be moved: it is deleted and made again, under its name, where it is to begin.
pub(super) async fn seek(nats: &Nats, topic: &TopicName, group: &GroupName, to: SeekTo) -> Result<()> {
    let (topic, name, info) = find(nats, topic, group).await?;
    let in_group = |error: Error| error.with("topic", &topic.name).with("group", group);
    let mut wanted = info.config;
    wanted.deliver_policy = match to {
        SeekTo::Earliest => DeliverPolicy::All,
        SeekTo::Latest => DeliverPolicy::New,
        SeekTo::Position(position) => DeliverPolicy::ByStartSequence {
            start_sequence: position.0.max(1),
        },
        SeekTo::Time(time) => DeliverPolicy::ByStartTime {
            start_time: time::OffsetDateTime::from(time),
        },
    };
    let mine: Vec<_> = nats
        .subscriptions()
        .into_iter()
        .filter(|shared| shared.stream == topic.stream && shared.consumer == name)
        .collect();
    // What they have in hand, and what still comes to them, is of before.
    for shared in &mine {
        shared.forget(true);
    }
    let moved = replace(nats, &topic, &name, &wanted).await;
    for shared in &mine {
        shared.forget(false);
    }
    moved.map_err(in_group)
}

async fn replace(nats: &Nats, topic: &Topic, name: &str, wanted: &consumer::Config) -> Result<()> {
    let deleted: Result<Value> = nats
        .api(&format!("CONSUMER.DELETE.{}.{name}", topic.stream), &json!({}))
        .await;
    match deleted {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::GroupMissing => {}
        Err(error) => return Err(error),
    }
    let mut failed = None;
    for _ in 0..AGAIN {
        match create_consumer(nats, &topic.stream, wanted).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_temporary() => {
                failed = Some(error);
                sleep(Duration::from_millis(250)).await;
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    let text = format!(
        "consumer `{name}` was deleted to be moved to {:?}, and could not be made again; declare the group, then seek again",
        wanted.deliver_policy
    );
    let error = Error::new(ErrorKind::Unexpected, text);
    Err(match failed {
        Some(failed) => error.with_source(failed),
        None => error,
    })
}

/// Counts what a group has before it. What was requeued for later counts as in flight: the server does not tell it apart.
pub(super) async fn backlog(nats: &Nats, topic: &TopicName, group: &GroupName) -> Result<Backlog> {
    let (topic, _, info) = find(nats, topic, group).await?;
    let mut delayed = 0;
    if nats.has_schedules() {
        for filter in topic.names.later_filters(group) {
            delayed += nats.count(&topic.stream, &filter).await?;
        }
    }
    let dead = topic.names.dead(group);
    let dead_letters = match nats.stream_of(&dead).await? {
        Some(stream) => nats.count(&stream, &dead).await?,
        None => 0,
    };
    Ok(Backlog {
        ready: info.num_pending,
        delayed,
        in_flight: info.num_ack_pending as u64,
        dead_letters,
    })
}

async fn find(
    nats: &Nats,
    topic: &TopicName,
    group: &GroupName,
) -> Result<(std::sync::Arc<Topic>, String, consumer::Info)> {
    let topic = nats.topic(topic).await?;
    let name = topic.names.consumer(group);
    let found = nats.consumer_info(&topic.stream, &name).await?;
    match found {
        Some(info) => Ok((topic, name, info)),
        None => Err(group_missing(&topic.stream, &name)
            .with("topic", &topic.name)
            .with("group", group)),
    }
}
