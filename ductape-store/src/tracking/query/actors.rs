//! Producers and consumers.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use sqlx::{AnyConnection, Row as _};

use super::Tracking;
use super::scope::{self, offset};
use crate::error::Result;
use crate::statement::Statement;
use crate::time::{from_micros, micros};
use crate::tracking::answer::{Consumer, ConsumerPage, Producer, ProducerPage};
use crate::tracking::code::{HOUR, delivery, is_finished, state};
use crate::tracking::filter::{ConsumerFilter, ProducerFilter};
use crate::tracking::names::Kind;
use crate::tracking::status::ActivityStatus;

/// What is summed up of a producer or a consumer at a topic.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    success: i64,
    failed: i64,
    pending: i64,
    elapsed: i64,
    finished: i64,
    last_success_at: i64,
    last_failed_at: i64,
    last_at: i64,
}

impl Sums {
    const fn status(&self, now: i64) -> ActivityStatus {
        if self.last_failed_at > self.last_success_at {
            ActivityStatus::Error
        } else if self.last_at > now.saturating_sub(HOUR) {
            ActivityStatus::Active
        } else {
            ActivityStatus::Inactive
        }
    }

    const fn count(&self) -> i64 {
        self.success + self.failed + self.pending
    }
}

/// A producer or a consumer at a topic.
struct Actor {
    tag: String,
    topic: String,
    created_at: i64,
    sums: Sums,
}

pub(super) async fn producers(
    tracking: &Tracking,
    filter: &ProducerFilter,
    now: SystemTime,
) -> Result<ProducerPage> {
    offset(filter.page, filter.limit)?;
    let mut reading = tracking.read().await?;
    let connection = &mut *reading;
    let broker = scope::broker(connection, &filter.product, &filter.env, &filter.broker_tag).await?;
    let mut producers = Vec::new();
    if let Some(broker) = broker
        && let Some(topic) = scope::find(connection, broker, Kind::Topic, filter.topic_tag.as_ref()).await?
    {
        producers = all_producers(connection, broker, topic, &filter.broker_tag, now).await?;
    }
    reading.rollback().await?;
    let (producers, total, has_more) = page(producers, filter.page, filter.limit)?;
    Ok(ProducerPage {
        producers,
        total,
        page: filter.page,
        limit: filter.limit,
        has_more,
    })
}

pub(super) async fn consumers(
    tracking: &Tracking,
    filter: &ConsumerFilter,
    now: SystemTime,
) -> Result<ConsumerPage> {
    offset(filter.page, filter.limit)?;
    let mut reading = tracking.read().await?;
    let connection = &mut *reading;
    let broker = scope::broker(connection, &filter.product, &filter.env, &filter.broker_tag).await?;
    let mut consumers = Vec::new();
    if let Some(broker) = broker
        && let Some(topic) = scope::find(connection, broker, Kind::Topic, filter.topic_tag.as_ref()).await?
    {
        consumers = all_consumers(connection, broker, topic, &filter.broker_tag, now).await?;
    }
    reading.rollback().await?;
    let (consumers, total, has_more) = page(consumers, filter.page, filter.limit)?;
    Ok(ConsumerPage {
        consumers,
        total,
        page: filter.page,
        limit: filter.limit,
        has_more,
    })
}

fn page<T>(all: Vec<T>, page: u32, limit: u32) -> Result<(Vec<T>, u64, bool)> {
    let total = all.len();
    let skip = usize::try_from(offset(page, limit)?).unwrap_or(usize::MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let some = all.into_iter().skip(skip).take(limit).collect();
    Ok((some, total as u64, skip.saturating_add(limit) < total))
}

/// All producers of a broker, or of one of its topics, most recently active first.
pub(super) async fn all_producers(
    connection: &mut AnyConnection,
    broker: i64,
    topic: Option<i64>,
    broker_tag: &str,
    now: SystemTime,
) -> Result<Vec<Producer>> {
    let mut sums: HashMap<(i64, i64), Sums> = HashMap::new();
    let mut statement = Statement::new(
        "SELECT topic, producer, state, count, last_at FROM ductape_message_totals WHERE state < 7 AND broker = ",
    );
    statement.bind(broker);
    for row in statement.all(&mut *connection).await? {
        let (count, last_at): (i64, i64) = (row.try_get(3)?, row.try_get(4)?);
        let sums = sums.entry((row.try_get(0)?, row.try_get(1)?)).or_default();
        match row.try_get(2)? {
            state::SUCCESS => {
                sums.success += count;
                sums.last_success_at = sums.last_success_at.max(last_at);
            }
            state::FAILED | state::PARTIAL_FAILED => {
                sums.failed += count;
                sums.last_failed_at = sums.last_failed_at.max(last_at);
            }
            _ => sums.pending += count,
        }
        sums.last_at = sums.last_at.max(last_at);
    }
    let actors = actors(connection, broker, topic, Kind::Produces, &sums).await?;
    let now = micros(now);
    let show = |actor: Actor| Producer {
        name: None,
        description: None,
        topic: actor.topic,
        broker_tag: broker_tag.to_owned(),
        message_count: unsigned(actor.sums.count()),
        success_count: unsigned(actor.sums.success),
        failed_count: unsigned(actor.sums.failed),
        pending_count: unsigned(actor.sums.pending),
        last_activity: (actor.sums.last_at > 0).then(|| from_micros(actor.sums.last_at)),
        status: actor.sums.status(now),
        created_at: from_micros(actor.created_at),
        tag: actor.tag,
    };
    Ok(actors.into_iter().map(show).collect())
}

/// All consumers of a broker, or of one of its topics, most recently active first.
pub(super) async fn all_consumers(
    connection: &mut AnyConnection,
    broker: i64,
    topic: Option<i64>,
    broker_tag: &str,
    now: SystemTime,
) -> Result<Vec<Consumer>> {
    let mut sums: HashMap<(i64, i64), Sums> = HashMap::new();
    let mut statement = Statement::new(
        "SELECT topic, consumer, status, count, last_at, elapsed FROM ductape_delivery_totals WHERE broker = ",
    );
    statement.bind(broker);
    for row in statement.all(&mut *connection).await? {
        let (status, count): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
        let last_at: i64 = row.try_get(4)?;
        let sums = sums.entry((row.try_get(0)?, row.try_get(1)?)).or_default();
        match status {
            delivery::SUCCESS => {
                sums.success += count;
                sums.last_success_at = sums.last_success_at.max(last_at);
            }
            delivery::FAILED | delivery::DEAD => {
                sums.failed += count;
                sums.last_failed_at = sums.last_failed_at.max(last_at);
            }
            _ => sums.pending += count,
        }
        if is_finished(status) {
            sums.finished += count;
            sums.elapsed += row.try_get::<i64, _>(5)?;
        }
        sums.last_at = sums.last_at.max(last_at);
    }
    let actors = actors(connection, broker, topic, Kind::Consumes, &sums).await?;
    let now = micros(now);
    let show = |actor: Actor| Consumer {
        name: None,
        description: None,
        topic: actor.topic,
        broker_tag: broker_tag.to_owned(),
        message_count: unsigned(actor.sums.count()),
        success_count: unsigned(actor.sums.success),
        failed_count: unsigned(actor.sums.failed),
        pending_count: unsigned(actor.sums.pending),
        last_activity: (actor.sums.last_at > 0).then(|| from_micros(actor.sums.last_at)),
        status: actor.sums.status(now),
        created_at: from_micros(actor.created_at),
        avg_processing_time: average(actor.sums.elapsed, actor.sums.finished).unwrap_or_default(),
        tag: actor.tag,
    };
    Ok(actors.into_iter().map(show).collect())
}

async fn actors(
    connection: &mut AnyConnection,
    broker: i64,
    topic: Option<i64>,
    seen_as: Kind,
    sums: &HashMap<(i64, i64), Sums>,
) -> Result<Vec<Actor>> {
    let mut statement = Statement::new(
        "SELECT actor.id, actor.tag, topic.id, topic.tag, seen.created_at FROM ductape_names topic \
         JOIN ductape_names seen ON seen.parent = topic.id \
         JOIN ductape_names actor ON actor.parent = topic.parent AND actor.kind = 5 AND actor.tag = seen.tag \
         WHERE topic.kind = 4 AND topic.parent = ",
    );
    statement
        .bind(broker)
        .text(" AND seen.kind = ")
        .bind(seen_as.code());
    if let Some(topic) = topic {
        statement.text(" AND topic.id = ").bind(topic);
    }
    let mut actors = Vec::new();
    for row in statement.all(connection).await? {
        let key = (row.try_get(2)?, row.try_get(0)?);
        actors.push(Actor {
            tag: row.try_get(1)?,
            topic: row.try_get(3)?,
            created_at: row.try_get(4)?,
            sums: sums.get(&key).copied().unwrap_or_default(),
        });
    }
    actors.sort_by(|a, b| (b.sums.last_at, &a.topic, &a.tag).cmp(&(a.sums.last_at, &b.topic, &b.tag)));
    Ok(actors)
}

pub(super) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

pub(super) fn average(elapsed: i64, count: i64) -> Option<Duration> {
    let micros = elapsed.checked_div(count)?;
    (count > 0).then(|| Duration::from_micros(unsigned(micros)))
}
