//! The tables that messages are found in, newest first, and how many there are.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::scope::Scope;
use crate::error::Result;
use crate::statement::Statement;
use crate::tracking::code::{ANY, mark, state};

/// A message's place among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) produced_at: i64,
    pub(super) seq: i64,
}

/// A part of a scope.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) from: i64,
    pub(super) until: i64,
    /// Only those older than this one.
    pub(super) after: Option<Key>,
    /// Only those recorded up to this number.
    pub(super) seq_max: Option<i64>,
}

impl Scope {
    /// Whether an index has the messages of this scope, and no others between them.
    pub(super) const fn is_precise(&self) -> bool {
        self.states.is_none()
            && self.other_mark.is_none()
            && !self.is_produced
            && match (self.consumer, self.mark) {
                (Some(_), Some(_)) => false,
                (Some(_), None) | (None, Some(_)) => self.topic.is_none() && self.producer.is_none(),
                (None, None) => self.producer.is_none(),
            }
    }

    /// Whether it is of successes alone.
    pub(super) fn is_success(&self) -> bool {
        self.mark.is_none() && self.states.as_deref() == Some(&[state::SUCCESS])
    }

    /// Whether the numbers by hour have this scope; else its messages are few, and counted.
    pub(super) const fn is_counted(&self) -> bool {
        match (self.consumer, self.mark, self.other_mark) {
            (_, None, None) => true,
            (None, Some(_), None) => self.states.is_none(),
            _ => false,
        }
    }

    /// Adds `FROM … WHERE …`, where `x` has the messages and `m` is the message itself where it is needed.
    fn write_from(&self, statement: &mut Statement, part: Part) {
        let in_marks = self.mark.is_some() || (self.states.is_some() && !self.has_success());
        if let Some(consumer) = self.consumer.filter(|_| !in_marks) {
            statement.text(
                " FROM (SELECT message AS seq, consumer, topic, produced_at FROM ductape_deliveries) x",
            );
            if self.states.is_some() || self.producer.is_some() || self.is_produced {
                statement.text(" JOIN ductape_messages m ON m.seq = x.seq");
            }
            statement.text(" WHERE x.consumer = ").bind(consumer);
            self.write_states(statement, "m.state");
            if let Some(producer) = self.producer {
                statement.text(" AND m.producer = ").bind(producer);
            }
            if self.is_produced {
                statement.text(" AND m.producer <> 0");
            }
        } else if in_marks {
            statement.text(" FROM ductape_marks x");
            if self.mark.is_some() && (self.states.is_some() || self.other_mark.is_some()) {
                statement.text(" JOIN ductape_messages m ON m.seq = x.seq");
            }
            statement.text(" WHERE x.broker = ").bind(self.broker);
            match (self.mark, &self.states) {
                (Some(one), _) => {
                    statement.text(" AND x.mark = ").bind(one);
                    self.write_states(statement, "m.state");
                    if let Some(other) = self.other_mark {
                        statement
                            .text(" AND (m.marks & ")
                            .bind(mark::bit(other))
                            .text(") <> 0");
                    }
                }
                (None, Some(states)) => {
                    statement.text(" AND x.mark IN (");
                    statement.list(states.iter().copied()).text(")");
                }
                (None, None) => {}
            }
            if let Some(consumer) = self.consumer {
                statement.text(
                    " AND EXISTS (SELECT 1 FROM ductape_deliveries d WHERE d.message = x.seq AND d.consumer = ",
                );
                statement.bind(consumer).text(")");
            }
            self.write_producer(statement);
        } else {
            statement.text(" FROM ductape_messages x WHERE ");
            if self.topic.is_none() {
                statement.text("x.broker = ").bind(self.broker);
            } else {
                statement.text("x.topic > 0");
            }
            self.write_states(statement, "x.state");
            self.write_producer(statement);
        }
        if let Some(topic) = self.topic {
            statement.text(" AND x.topic = ").bind(topic);
        }
        statement.text(" AND x.produced_at >= ").bind(part.from);
        statement.text(" AND x.produced_at < ").bind(part.until);
        if let Some(after) = part.after {
            statement.text(" AND (x.produced_at < ").bind(after.produced_at);
            statement.text(" OR x.seq < ").bind(after.seq).text(")");
            statement.text(" AND x.produced_at <= ").bind(after.produced_at);
        }
        if let Some(seq_max) = part.seq_max {
            statement.text(" AND x.seq <= ").bind(seq_max);
        }
    }

    fn write_producer(&self, statement: &mut Statement) {
        if let Some(producer) = self.producer {
            statement.text(" AND x.producer = ").bind(producer);
        }
        if self.is_produced {
            statement.text(" AND x.producer <> 0");
        }
    }

    fn write_states(&self, statement: &mut Statement, column: &'static str) {
        if let Some(states) = &self.states {
            statement.text(" AND ").text(column).text(" IN (");
            statement.list(states.iter().copied()).text(")");
        }
    }

    /// How many there are in a part.
    pub(super) async fn count(&self, connection: &mut AnyConnection, part: Part) -> Result<i64> {
        if part.from >= part.until {
            return Ok(0);
        }
        let mut statement = Statement::new("SELECT COUNT(*)");
        self.write_from(&mut statement, part);
        Ok(statement.one(connection).await?.try_get(0)?)
    }

    /// How many there are in each hour of a part, newest first.
    pub(super) async fn count_hours(
        &self,
        connection: &mut AnyConnection,
        part: Part,
    ) -> Result<Vec<(i64, i64)>> {
        let mut statement = Statement::new("SELECT x.produced_at / 3600000000, COUNT(*)");
        self.write_from(&mut statement, part);
        statement.text(" GROUP BY 1 ORDER BY 1 DESC");
        let rows = statement.all(connection).await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }

    /// The newest of a part behind the first `skip`.
    pub(super) async fn keys(
        &self,
        connection: &mut AnyConnection,
        part: Part,
        limit: i64,
        skip: i64,
    ) -> Result<Vec<Key>> {
        let mut statement = Statement::new("SELECT x.produced_at, x.seq");
        self.write_from(&mut statement, part);
        statement
            .text(" ORDER BY x.produced_at DESC, x.seq DESC LIMIT ")
            .bind(limit);
        statement.text(" OFFSET ").bind(skip);
        keys(&statement.all(connection).await?)
    }

    /// The oldest of a part behind one of them.
    pub(super) async fn keys_in_order(
        &self,
        connection: &mut AnyConnection,
        part: Part,
        behind: Option<Key>,
        limit: i64,
    ) -> Result<Vec<Key>> {
        let mut statement = Statement::new("SELECT x.produced_at, x.seq");
        self.write_from(&mut statement, part);
        if let Some(behind) = behind {
            statement.text(" AND x.produced_at >= ").bind(behind.produced_at);
            statement.text(" AND (x.produced_at > ").bind(behind.produced_at);
            statement.text(" OR x.seq > ").bind(behind.seq).text(")");
        }
        statement
            .text(" ORDER BY x.produced_at, x.seq LIMIT ")
            .bind(limit);
        keys(&statement.all(connection).await?)
    }

    /// How many were recorded after `seq`, of those produced before `until`, by hour.
    pub(super) async fn recorded_since(
        &self,
        connection: &mut AnyConnection,
        seq: i64,
        until: i64,
    ) -> Result<Vec<(i64, i64)>> {
        let mut statement = Statement::new(
            "SELECT x.produced_at / 3600000000, COUNT(*) FROM ductape_messages x WHERE x.seq > ",
        );
        statement.bind(seq).text(" AND x.broker = ").bind(self.broker);
        statement.text(" AND x.produced_at >= ").bind(self.from);
        statement.text(" AND x.produced_at < ").bind(until);
        if let Some(topic) = self.topic {
            statement.text(" AND x.topic = ").bind(topic);
        }
        self.write_states(&mut statement, "x.state");
        self.write_producer(&mut statement);
        for one in self.mark.into_iter().chain(self.other_mark) {
            statement
                .text(" AND (x.marks & ")
                .bind(mark::bit(one))
                .text(") <> 0");
        }
        if let Some(consumer) = self.consumer {
            statement.text(
                " AND EXISTS (SELECT 1 FROM ductape_deliveries d WHERE d.message = x.seq AND d.consumer = ",
            );
            statement.bind(consumer).text(")");
        }
        statement.text(" GROUP BY 1");
        let rows = statement.all(connection).await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }

    /// Adds the conditions on the numbers by hour.
    fn write_hours(&self, statement: &mut Statement) {
        if let Some(consumer) = self.consumer {
            // Those that are only expected have nothing recorded.
            statement.text(" FROM ductape_delivery_hours WHERE status <> 0 AND consumer = ");
            statement.bind(consumer);
            self.write_states(statement, "state");
        } else {
            statement.text(" FROM ductape_message_hours WHERE ");
            self.write_counted_states(statement);
        }
        statement.text(" AND broker = ").bind(self.broker);
        statement.text(" AND topic = ").bind(self.topic.unwrap_or(ANY));
        if self.is_produced {
            statement.text(" AND producer > 0");
        } else {
            statement
                .text(" AND producer = ")
                .bind(self.producer.unwrap_or(ANY));
        }
    }

    fn write_counted_states(&self, statement: &mut Statement) {
        match (self.mark, &self.states) {
            (Some(mark), _) => statement.text("state = ").bind(mark),
            (None, Some(states)) => statement
                .text("state IN (")
                .list(states.iter().copied())
                .text(")"),
            (None, None) => statement.text("state < 7"),
        };
    }

    /// How many there are, by the numbers of whole hours: from the first to before the last, or all of them.
    pub(super) async fn sum(&self, connection: &mut AnyConnection, hours: Option<(i64, i64)>) -> Result<i64> {
        let mut statement = Statement::new("SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT)");
        match hours {
            None if self.consumer.is_none() => {
                statement.text(" FROM ductape_message_totals WHERE ");
                self.write_counted_states(&mut statement);
                statement.text(" AND broker = ").bind(self.broker);
                if let Some(topic) = self.topic {
                    statement.text(" AND topic = ").bind(topic);
                }
                if let Some(producer) = self.producer {
                    statement.text(" AND producer = ").bind(producer);
                }
                if self.is_produced {
                    statement.text(" AND producer > 0");
                }
            }
            None => self.write_hours(&mut statement),
            Some((first, end)) => {
                self.write_hours(&mut statement);
                statement.text(" AND hour >= ").bind(first);
                statement.text(" AND hour < ").bind(end);
            }
        }
        Ok(statement.one(connection).await?.try_get(0)?)
    }

    /// The hours that have any, newest first, by their numbers.
    pub(super) async fn hours(
        &self,
        connection: &mut AnyConnection,
        hours: (i64, i64),
        limit: i64,
    ) -> Result<Vec<(i64, i64)>> {
        let mut statement = Statement::new("SELECT hour, CAST(SUM(count) AS BIGINT)");
        self.write_hours(&mut statement);
        statement.text(" AND hour >= ").bind(hours.0);
        statement.text(" AND hour < ").bind(hours.1);
        statement.text(" GROUP BY hour HAVING SUM(count) > 0 ORDER BY hour DESC LIMIT ");
        statement.bind(limit);
        let rows = statement.all(connection).await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }
}

fn keys(rows: &[AnyRow]) -> Result<Vec<Key>> {
    let key = |row: &AnyRow| {
        Ok(Key {
            produced_at: row.try_get(0)?,
            seq: row.try_get(1)?,
        })
    };
    rows.iter().map(key).collect()
}
