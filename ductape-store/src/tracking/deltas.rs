//! How the numbers change with what is written, gathered over a batch.

use std::collections::HashMap;

use sqlx::AnyConnection;

use super::bulk::bulk;
use super::code::{ALL_HOURS, delivery, hour, mark, state};
use super::fold::Tracked;
use super::names::TopicIds;
use crate::dialect::Dialect;
use crate::error::Result;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct MessageKey {
    broker: i64,
    hour: i64,
    topic: i64,
    producer: i64,
    state: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct DeliveryKey {
    broker: i64,
    hour: i64,
    topic: i64,
    producer: i64,
    consumer: i64,
    status: i64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    count: i64,
    elapsed: i64,
    last_at: i64,
}

/// A row of the marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) broker: i64,
    pub(super) of: i64,
    pub(super) produced_at: i64,
    pub(super) seq: i64,
    topic: i64,
    producer: i64,
}

/// How the numbers change.
#[derive(Default)]
pub(super) struct Deltas {
    messages: HashMap<MessageKey, Sum>,
    deliveries: HashMap<DeliveryKey, Sum>,
    marked: Vec<Mark>,
    unmarked: Vec<Mark>,
    pub(super) bytes: i64,
}

impl Deltas {
    /// A message is there that was not, or is there again after [`remove`](Self::remove).
    pub(super) fn add(&mut self, ids: TopicIds, seq: i64, message: &Tracked, expected: &[i64]) {
        self.count(ids, message, expected, 1);
        marks(ids, seq, message, expected, &mut self.marked);
    }

    /// A message is no longer there, or no longer as it was.
    pub(super) fn remove(&mut self, ids: TopicIds, seq: i64, message: &Tracked, expected: &[i64]) {
        self.count(ids, message, expected, -1);
        marks(ids, seq, message, expected, &mut self.unmarked);
    }

    fn count(&mut self, ids: TopicIds, message: &Tracked, expected: &[i64], count: i64) {
        let key = MessageKey {
            broker: ids.broker,
            hour: hour(message.produced_at),
            topic: ids.topic,
            producer: message.producer,
            state: message.state(expected),
        };
        let mut add = |state| {
            let sum = self.messages.entry(MessageKey { state, ..key }).or_default();
            sum.count += count;
            if count > 0 {
                sum.last_at = sum.last_at.max(message.produced_at);
            }
        };
        add(key.state);
        for one in marks_of(message) {
            add(one);
        }
        let key = DeliveryKey {
            broker: ids.broker,
            hour: hour(message.produced_at),
            topic: ids.topic,
            producer: message.producer,
            consumer: 0,
            status: delivery::PENDING,
        };
        for consumer in message.waiting(expected) {
            let sum = self
                .deliveries
                .entry(DeliveryKey { consumer, ..key })
                .or_default();
            sum.count += count;
        }
        for one in &message.deliveries {
            let (consumer, status) = (one.consumer, one.status);
            let sum = self
                .deliveries
                .entry(DeliveryKey {
                    consumer,
                    status,
                    ..key
                })
                .or_default();
            sum.count += count;
            if let Some(finished_at) = one.finished_at() {
                sum.elapsed += count * one.elapsed;
                if count > 0 {
                    sum.last_at = sum.last_at.max(finished_at);
                }
            }
        }
    }

    /// Writes them.
    pub(super) async fn write(mut self, dialect: Dialect, connection: &mut AnyConnection) -> Result<()> {
        self.write_marks(dialect, connection).await?;
        let mut messages = HashMap::new();
        for (key, sum) in self.messages {
            for hour in [key.hour, ALL_HOURS] {
                merge(messages.entry(MessageKey { hour, ..key }).or_default(), sum);
            }
        }
        let mut messages: Vec<_> = messages
            .into_iter()
            .filter(|(_, sum)| sum.count != 0 || sum.last_at != 0)
            .collect();
        messages.sort_unstable_by_key(|(key, _)| *key);
        bulk(
            dialect,
            connection,
            (
                "INSERT INTO ductape_message_hours (broker, hour, topic, producer, state, count, last_at) VALUES ",
                " ON CONFLICT (broker, hour, topic, producer, state) DO UPDATE SET \
                 count = ductape_message_hours.count + excluded.count, \
                 last_at = CASE WHEN ductape_message_hours.last_at > excluded.last_at \
                 THEN ductape_message_hours.last_at ELSE excluded.last_at END",
            ),
            &messages,
            |statement, (key, sum)| {
                statement.list([
                    key.broker,
                    key.hour,
                    key.topic,
                    key.producer,
                    key.state,
                    sum.count,
                    sum.last_at,
                ]);
            },
        )
        .await?;
        let mut deliveries = HashMap::new();
        for (key, sum) in self.deliveries {
            for hour in [key.hour, ALL_HOURS] {
                merge(deliveries.entry(DeliveryKey { hour, ..key }).or_default(), sum);
            }
        }
        let mut deliveries: Vec<_> = deliveries
            .into_iter()
            .filter(|(_, sum)| sum.count != 0 || sum.last_at != 0 || sum.elapsed != 0)
            .collect();
        deliveries.sort_unstable_by_key(|(key, _)| *key);
        bulk(
            dialect,
            connection,
            (
                "INSERT INTO ductape_delivery_hours \
                 (broker, hour, topic, producer, consumer, status, count, elapsed, last_at) VALUES ",
                " ON CONFLICT (broker, hour, topic, producer, consumer, status) DO UPDATE SET \
                 count = ductape_delivery_hours.count + excluded.count, \
                 elapsed = ductape_delivery_hours.elapsed + excluded.elapsed, \
                 last_at = CASE WHEN ductape_delivery_hours.last_at > excluded.last_at \
                 THEN ductape_delivery_hours.last_at ELSE excluded.last_at END",
            ),
            &deliveries,
            |statement, (key, sum)| {
                statement.list([
                    key.broker,
                    key.hour,
                    key.topic,
                    key.producer,
                    key.consumer,
                    key.status,
                    sum.count,
                    sum.elapsed,
                    sum.last_at,
                ]);
            },
        )
        .await
    }

    async fn write_marks(&mut self, dialect: Dialect, connection: &mut AnyConnection) -> Result<()> {
        self.marked.sort_unstable();
        self.unmarked.sort_unstable();
        // What is taken away and put back again stays.
        let stays = |mark: &Mark, other: &[Mark]| other.binary_search(mark).is_ok();
        let unmarked: Vec<_> = self
            .unmarked
            .iter()
            .filter(|mark| !stays(mark, &self.marked))
            .copied()
            .collect();
        let marked: Vec<_> = self
            .marked
            .iter()
            .filter(|mark| !stays(mark, &self.unmarked))
            .copied()
            .collect();
        bulk(
            dialect,
            connection,
            (
                "DELETE FROM ductape_marks WHERE (broker, mark, produced_at, seq) IN (VALUES ",
                ")",
            ),
            &unmarked,
            |statement, mark| {
                statement.list([mark.broker, mark.of, mark.produced_at, mark.seq]);
            },
        )
        .await?;
        bulk(
            dialect,
            connection,
            (
                "INSERT INTO ductape_marks (broker, mark, produced_at, seq, topic, producer) VALUES ",
                " ON CONFLICT (broker, mark, produced_at, seq) DO NOTHING",
            ),
            &marked,
            |statement, mark| {
                statement.list([
                    mark.broker,
                    mark.of,
                    mark.produced_at,
                    mark.seq,
                    mark.topic,
                    mark.producer,
                ]);
            },
        )
        .await
    }
}

fn merge(into: &mut Sum, sum: Sum) {
    into.count += sum.count;
    into.elapsed += sum.elapsed;
    into.last_at = into.last_at.max(sum.last_at);
}

fn marks_of(message: &Tracked) -> impl Iterator<Item = i64> {
    let marks = message.marks;
    mark::ALL
        .into_iter()
        .filter(move |one| marks & mark::bit(*one) != 0)
}

fn marks(ids: TopicIds, seq: i64, message: &Tracked, expected: &[i64], into: &mut Vec<Mark>) {
    let mark = |mark| Mark {
        broker: ids.broker,
        of: mark,
        produced_at: message.produced_at,
        seq,
        topic: ids.topic,
        producer: message.producer,
    };
    let state = message.state(expected);
    into.extend((state != state::SUCCESS).then(|| mark(state)));
    into.extend(marks_of(message).map(mark));
}
