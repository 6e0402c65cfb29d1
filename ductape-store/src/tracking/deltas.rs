//! How the numbers change with what is written, gathered over a batch.

use std::collections::HashMap;

use sqlx::AnyConnection;

use super::bulk::bulk;
use super::code::{ANY, delivery, hour, mark, state};
use super::fold::Tracked;
use super::names::TopicIds;
use crate::dialect::Dialect;
use crate::error::Result;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct MessageKey {
    broker: i64,
    topic: i64,
    producer: i64,
    hour: i64,
    state: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct DeliveryKey {
    broker: i64,
    consumer: i64,
    topic: i64,
    producer: i64,
    hour: i64,
    status: i64,
    state: i64,
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
            topic: ids.topic,
            producer: message.producer,
            hour: hour(message.produced_at),
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
            consumer: 0,
            topic: ids.topic,
            producer: message.producer,
            hour: hour(message.produced_at),
            status: delivery::PENDING,
            state: key.state,
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
        self.write_messages(dialect, connection).await?;
        self.write_deliveries(dialect, connection).await
    }

    async fn write_messages(&self, dialect: Dialect, connection: &mut AnyConnection) -> Result<()> {
        let (mut totals, mut hours) = (HashMap::new(), HashMap::new());
        for (key, sum) in &self.messages {
            merge(totals.entry(MessageKey { hour: 0, ..*key }).or_default(), *sum);
            for topic in [key.topic, ANY] {
                for producer in [key.producer, ANY] {
                    let key = MessageKey {
                        topic,
                        producer,
                        ..*key
                    };
                    merge(hours.entry(key).or_default(), *sum);
                }
            }
        }
        bulk(
            dialect,
            connection,
            (
                "INSERT INTO ductape_message_totals (broker, topic, producer, state, count, last_at) VALUES ",
                " ON CONFLICT (broker, topic, producer, state) DO UPDATE SET \
                 count = ductape_message_totals.count + excluded.count, \
                 last_at = CASE WHEN ductape_message_totals.last_at > excluded.last_at \
                 THEN ductape_message_totals.last_at ELSE excluded.last_at END",
            ),
            &changed(totals),
            |statement, (key, sum)| {
                statement.list([
                    key.broker,
                    key.topic,
                    key.producer,
                    key.state,
                    sum.count,
                    sum.last_at,
                ]);
            },
        )
        .await?;
        bulk(
            dialect,
            connection,
            (
                "INSERT INTO ductape_message_hours (broker, topic, producer, hour, state, count) VALUES ",
                " ON CONFLICT (broker, topic, producer, hour, state) DO UPDATE SET \
                 count = ductape_message_hours.count + excluded.count",
            ),
            &counted(hours),
            |statement, (key, sum)| {
                statement.list([
                    key.broker,
                    key.topic,
                    key.producer,
                    key.hour,
                    key.state,
                    sum.count,
                ]);
            },
        )
        .await
    }

    async fn write_deliveries(&self, dialect: Dialect, connection: &mut AnyConnection) -> Result<()> {
        let (mut totals, mut hours) = (HashMap::new(), HashMap::new());
        for (key, sum) in &self.deliveries {
            let total = DeliveryKey {
                producer: 0,
                hour: 0,
                state: 0,
                ..*key
            };
            merge(totals.entry(total).or_default(), *sum);
            for topic in [key.topic, ANY] {
                for producer in [key.producer, ANY] {
                    let key = DeliveryKey {
                        topic,
                        producer,
                        ..*key
                    };
                    merge(hours.entry(key).or_default(), *sum);
                }
            }
            let all = DeliveryKey {
                consumer: ANY,
                topic: ANY,
                producer: ANY,
                ..*key
            };
            merge(hours.entry(all).or_default(), *sum);
        }
        bulk(
            dialect,
            connection,
            (
                "INSERT INTO ductape_delivery_totals (broker, topic, consumer, status, count, elapsed, last_at) VALUES ",
                " ON CONFLICT (broker, topic, consumer, status) DO UPDATE SET \
                 count = ductape_delivery_totals.count + excluded.count, \
                 elapsed = ductape_delivery_totals.elapsed + excluded.elapsed, \
                 last_at = CASE WHEN ductape_delivery_totals.last_at > excluded.last_at \
                 THEN ductape_delivery_totals.last_at ELSE excluded.last_at END",
            ),
            &changed(totals),
            |statement, (key, sum)| {
                statement.list([
                    key.broker,
                    key.topic,
                    key.consumer,
                    key.status,
                    sum.count,
                    sum.elapsed,
                    sum.last_at,
                ]);
            },
        )
        .await?;
        bulk(
            dialect,
            connection,
            (
                "INSERT INTO ductape_delivery_hours (broker, consumer, topic, producer, hour, status, state, count) VALUES ",
                " ON CONFLICT (broker, consumer, topic, producer, hour, status, state) DO UPDATE SET \
                 count = ductape_delivery_hours.count + excluded.count",
            ),
            &counted(hours),
            |statement, (key, sum)| {
                statement.list([
                    key.broker,
                    key.consumer,
                    key.topic,
                    key.producer,
                    key.hour,
                    key.status,
                    key.state,
                    sum.count,
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

/// In the order in which all writers write them.
fn changed<K: Ord + Copy>(sums: HashMap<K, Sum>) -> Vec<(K, Sum)> {
    let mut sums: Vec<_> = sums
        .into_iter()
        .filter(|(_, sum)| sum.count != 0 || sum.elapsed != 0 || sum.last_at != 0)
        .collect();
    sums.sort_unstable_by_key(|(key, _)| *key);
    sums
}

/// As [`changed`], where only the count is kept.
fn counted<K: Ord + Copy>(mut sums: HashMap<K, Sum>) -> Vec<(K, Sum)> {
    sums.retain(|_, sum| sum.count != 0);
    changed(sums)
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
