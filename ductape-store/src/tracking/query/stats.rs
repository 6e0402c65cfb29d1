//! A broker's numbers.

use std::collections::HashMap;
use std::time::SystemTime;

use sqlx::{AnyConnection, Row as _};

use super::actors::{all_consumers, all_producers, average, unsigned};
use super::page::{self, PageSpec};
use super::scope::{self, Scope, tags};
use super::{Tracking, load};
use crate::error::Result;
use crate::statement::Statement;
use crate::time::micros;
use crate::tracking::answer::{DailyActivity, Dashboard, EventStats, HourlyCount, Stats, TagCount};
use crate::tracking::code::{delivery, hour, is_finished, mark, state};
use crate::tracking::filter::BrokerFilter;
use crate::tracking::serial::date;

/// How many days a dashboard shows.
const DAYS: i64 = 30;
/// How many messages, producers and consumers a dashboard shows.
const TOP: usize = 10;

/// How many messages a broker has, by what is asked.
#[derive(Default)]
struct Counts {
    states: HashMap<i64, i64>,
    topics: HashMap<i64, i64>,
    producers: HashMap<i64, i64>,
}

impl Counts {
    async fn read(connection: &mut AnyConnection, broker: i64) -> Result<Self> {
        let mut statement = Statement::new(
            "SELECT topic, producer, state, count FROM ductape_message_totals WHERE broker = ",
        );
        statement.bind(broker);
        let mut counts = Self::default();
        for row in statement.all(connection).await? {
            let (state, count): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
            *counts.states.entry(state).or_default() += count;
            if !mark::ALL.contains(&state) {
                *counts.topics.entry(row.try_get(0)?).or_default() += count;
                *counts.producers.entry(row.try_get(1)?).or_default() += count;
            }
        }
        Ok(counts)
    }

    fn of(&self, states: &[i64]) -> u64 {
        let count = |state| self.states.get(state).copied().unwrap_or_default();
        unsigned(states.iter().map(count).sum())
    }

    fn total(&self) -> u64 {
        unsigned(self.topics.values().sum())
    }
}

/// The counts by tag, most first; those of no one are left out.
async fn by_tag(connection: &mut AnyConnection, counts: &HashMap<i64, i64>) -> Result<Vec<TagCount>> {
    let tags = tags(connection, counts.keys().copied()).await?;
    let mut by_tag: Vec<_> = tags
        .into_iter()
        .map(|(id, tag)| TagCount {
            tag,
            count: unsigned(counts.get(&id).copied().unwrap_or_default()),
        })
        .filter(|one| one.count > 0)
        .collect();
    by_tag.sort_by(|a, b| (b.count, &a.tag).cmp(&(a.count, &b.tag)));
    Ok(by_tag)
}

pub(super) async fn stats(tracking: &Tracking, filter: &BrokerFilter) -> Result<Stats> {
    let mut reading = tracking.read().await?;
    let broker = scope::broker(&mut reading, &filter.product, &filter.env, &filter.broker_tag).await?;
    let stats = read_stats(&mut reading, broker.unwrap_or_default()).await?;
    reading.rollback().await?;
    Ok(stats)
}

async fn read_stats(connection: &mut AnyConnection, broker: i64) -> Result<Stats> {
    let counts = Counts::read(connection, broker).await?;
    let mut statement = Statement::new(
        "SELECT status, CAST(SUM(count) AS BIGINT), CAST(SUM(elapsed) AS BIGINT) FROM ductape_delivery_totals WHERE broker = ",
    );
    statement.bind(broker).text(" GROUP BY status");
    let (mut finished, mut elapsed) = (0, 0);
    for row in statement.all(&mut *connection).await? {
        if is_finished(row.try_get(0)?) {
            finished += row.try_get::<i64, _>(1)?;
            elapsed += row.try_get::<i64, _>(2)?;
        }
    }
    let mut statement = Statement::new(
        "SELECT seen.kind, COUNT(DISTINCT seen.tag) FROM ductape_names topic \
         JOIN ductape_names seen ON seen.parent = topic.id WHERE topic.kind = 4 AND seen.kind IN (6, 7) AND topic.parent = ",
    );
    statement.bind(broker).text(" GROUP BY seen.kind");
    let mut actors = HashMap::new();
    for row in statement.all(&mut *connection).await? {
        actors.insert(row.try_get::<i64, _>(0)?, row.try_get::<i64, _>(1)?);
    }
    let actors = |kind: i64| unsigned(actors.get(&kind).copied().unwrap_or_default());
    Ok(Stats {
        total: counts.total(),
        pending: counts.of(&[state::PENDING, state::RETRYING]),
        success: counts.of(&[state::SUCCESS]),
        failed: counts.of(&[state::FAILED]),
        partial: counts.of(&[state::PARTIAL, state::PARTIAL_FAILED, state::PARTIAL_RETRYING]),
        producer_count: actors(6),
        consumer_count: actors(7),
        dead_letter_count: dead_letters(connection, broker).await?,
        messages_by_topic: by_tag(connection, &counts.topics).await?,
        messages_by_producer: by_tag(connection, &counts.producers).await?,
        avg_processing_time: average(elapsed, finished),
        left_out: left_out(connection, broker).await?,
    })
}

/// How many dead letters an operator has to look at.
async fn dead_letters(connection: &mut AnyConnection, broker: i64) -> Result<u64> {
    let mut statement = Statement::new(
        "SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM ductape_failures WHERE state IN (0, 1) AND broker = ",
    );
    statement.bind(broker);
    Ok(unsigned(statement.one(connection).await?.try_get(0)?))
}

async fn left_out(connection: &mut AnyConnection, broker: i64) -> Result<u64> {
    let mut statement = Statement::new(
        "SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM ductape_left_out WHERE broker = ",
    );
    statement.bind(broker);
    Ok(unsigned(statement.one(connection).await?.try_get(0)?))
}

pub(super) async fn event_stats(tracking: &Tracking, filter: &BrokerFilter) -> Result<EventStats> {
    let mut reading = tracking.read().await?;
    let connection = &mut *reading;
    let broker = scope::broker(connection, &filter.product, &filter.env, &filter.broker_tag).await?;
    let broker = broker.unwrap_or_default();
    let counts = Counts::read(connection, broker).await?;
    let stats = EventStats {
        total_events: counts.total(),
        success_count: counts.of(&[state::SUCCESS]),
        failed_count: counts.of(&[state::FAILED, state::PARTIAL_FAILED]),
        pending_count: counts.of(&[
            state::PENDING,
            state::PARTIAL,
            state::RETRYING,
            state::PARTIAL_RETRYING,
        ]),
        duplicate_count: counts.of(&[mark::DUPLICATE]),
        dead_letter_count: dead_letters(connection, broker).await?,
        events_by_topic: by_tag(connection, &counts.topics).await?,
    };
    reading.rollback().await?;
    Ok(stats)
}

pub(super) async fn dashboard(
    tracking: &Tracking,
    filter: &BrokerFilter,
    now: SystemTime,
) -> Result<Dashboard> {
    let mut reading = tracking.read().await?;
    let connection = &mut *reading;
    let broker = scope::broker(connection, &filter.product, &filter.env, &filter.broker_tag).await?;
    let broker = broker.unwrap_or_default();
    let spec = PageSpec {
        page: 1,
        limit: u32::try_from(TOP).unwrap_or(u32::MAX),
        snapshot: None,
    };
    let recent = page::find(connection, &Scope::broker(broker), spec).await?;
    let recent: Vec<i64> = recent.keys.iter().map(|key| key.seq).collect();
    let mut producers = all_producers(connection, broker, None, &filter.broker_tag, now).await?;
    producers.sort_by_key(|producer| std::cmp::Reverse(producer.message_count));
    producers.truncate(TOP);
    let mut consumers = all_consumers(connection, broker, None, &filter.broker_tag, now).await?;
    consumers.sort_by_key(|consumer| std::cmp::Reverse(consumer.message_count));
    consumers.truncate(TOP);
    let (daily_activity, hourly_distribution) = activity(connection, broker, now).await?;
    let dashboard = Dashboard {
        stats: read_stats(connection, broker).await?,
        recent_messages: load::messages(&tracking.store, connection, &recent).await?,
        top_producers: producers,
        top_consumers: consumers,
        daily_activity,
        hourly_distribution,
    };
    reading.rollback().await?;
    Ok(dashboard)
}

async fn activity(
    connection: &mut AnyConnection,
    broker: i64,
    now: SystemTime,
) -> Result<(Vec<DailyActivity>, Vec<HourlyCount>)> {
    let first = hour(micros(now)).div_euclid(24) - (DAYS - 1);
    let hours = (first * 24, (first + DAYS) * 24);
    let mut daily: Vec<_> = (first..first + DAYS)
        .map(|day| DailyActivity {
            date: date(day),
            published: 0,
            consumed: 0,
            failed: 0,
        })
        .collect();
    let mut hourly: Vec<_> = (0..24).map(|hour| HourlyCount { hour, count: 0 }).collect();
    let index = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    for (at, count) in Scope::broker(broker).hours(connection, hours, i64::MAX).await? {
        if let Some(day) = daily.get_mut(index(at.div_euclid(24) - first)) {
            day.published += unsigned(count);
        }
        if let Some(hour) = hourly.get_mut(index(at.rem_euclid(24))) {
            hour.count += unsigned(count);
        }
    }
    let mut statement = Statement::new(
        "SELECT hour / 24, status, CAST(SUM(count) AS BIGINT) FROM ductape_delivery_hours WHERE status IN (1, 2, 3) \
         AND consumer = -1 AND topic = -1 AND producer = -1 AND broker = ",
    );
    statement.bind(broker).text(" AND hour >= ").bind(hours.0);
    statement
        .text(" AND hour < ")
        .bind(hours.1)
        .text(" GROUP BY 1, 2");
    for row in statement.all(connection).await? {
        let (day, status): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if let Some(day) = daily.get_mut(index(day - first)) {
            let count = unsigned(row.try_get(2)?);
            match status {
                delivery::SUCCESS => day.consumed += count,
                _ => day.failed += count,
            }
        }
    }
    Ok((daily, hourly))
}
