//! Old messages removed, a few at a time.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use sqlx::{AnyConnection, Row as _};

use crate::error::Result;
use crate::statement::Statement;
use crate::time::micros;
use crate::tracking::Tracking;
use crate::tracking::code::hour;
use crate::tracking::deltas::Deltas;
use crate::tracking::operate;
use crate::tracking::query::{Loaded, load};
use crate::tracking::write::{claim, plan_once};

/// How many rows one step removes.
const ROWS_MAX: usize = 1_000;
/// How many messages one step looks at: each has at least two rows.
const MESSAGES_MAX: i64 = 400;

/// How long, and how much of it, is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Messages that were produced longer ago are removed, and so are dead letters that failed longer ago and that no operator has to
    /// look at. For ever when `None`.
    pub age_max: Option<Duration>,
    /// The first recorded messages are removed while all take more than this, in bytes, by a rough count of what they hold. Without a
    /// bound when `None`.
    pub bytes_max: Option<u64>,
}

/// What a step removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// How many messages.
    pub messages: u64,
    /// How many dead letters that no operator has to look at.
    pub dead_letters: u64,
    /// Whether nothing is left to be removed now.
    pub is_done: bool,
}

impl Tracking {
    /// Removes what is older or more than `retention` allows: one step of at most 1,000 rows, so that writers wait for it shortly. To be
    /// called again until it is done. The numbers shrink with the messages. Dead letters that wait for an operator are never removed.
    pub async fn prune(&self, retention: Retention, now: SystemTime) -> Result<Pruned> {
        let mut transaction = self.store.begin().await?;
        let connection = &mut *transaction;
        plan_once(self.store.dialect(), connection).await?;
        claim(connection, 0).await?;
        let before = retention
            .age_max
            .map(|age| micros(now).saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX)));
        let mut pruned = Pruned::default();
        let mut seqs = Vec::new();
        if let Some(before) = before {
            seqs = old(connection, before).await?;
        }
        if seqs.is_empty()
            && let Some(bytes_max) = retention.bytes_max
        {
            seqs = too_many(connection, i64::try_from(bytes_max).unwrap_or(i64::MAX)).await?;
        }
        if seqs.is_empty() {
            pruned.is_done = true;
            if let Some(before) = before {
                pruned.dead_letters = dead_letters(connection, before).await?;
                pruned.is_done = pruned.dead_letters == 0;
                if pruned.is_done {
                    empty_hours(connection, before).await?;
                }
            }
        } else {
            pruned.messages = self.remove(connection, &seqs).await?;
        }
        transaction.commit().await?;
        Ok(pruned)
    }

    async fn remove(&self, connection: &mut AnyConnection, seqs: &[i64]) -> Result<u64> {
        let dialect = self.store.dialect();
        let messages = load(&self.store, connection, seqs).await?;
        let mut rows = 0;
        let fits = |one: &&Loaded| {
            // The message, what is shown of it, its marks, and its deliveries with about one attempt each that failed.
            rows += 3 + 2 * one.message.deliveries.len();
            rows <= ROWS_MAX
        };
        let mut some: Vec<&Loaded> = messages.iter().take_while(fits).collect();
        if some.is_empty() {
            some.extend(messages.first());
        }
        let mut deltas = Deltas::default();
        let mut removed = HashSet::new();
        for one in some {
            deltas.remove(one.ids, one.seq, &one.message, &one.expected.1);
            deltas.bytes -= one.bytes;
            removed.insert(one.seq);
        }
        let bytes = deltas.bytes;
        deltas.write(dialect, connection).await?;
        for text in [
            "DELETE FROM ductape_attempts WHERE message IN (VALUES ",
            "DELETE FROM ductape_deliveries WHERE message IN (VALUES ",
            "DELETE FROM ductape_details WHERE message IN (VALUES ",
            "DELETE FROM ductape_messages WHERE seq IN (VALUES ",
        ] {
            operate::delete(dialect, connection, text, &removed).await?;
        }
        let mut statement = Statement::new("UPDATE ductape_tracking SET bytes = bytes + ");
        statement.bind(bytes).text(" WHERE id = 1");
        statement.execute(connection).await?;
        Ok(removed.len() as u64)
    }
}

/// Messages that were produced before a time.
async fn old(connection: &mut AnyConnection, before: i64) -> Result<Vec<i64>> {
    let brokers = Statement::new("SELECT id FROM ductape_names WHERE kind = 3")
        .all(&mut *connection)
        .await?;
    let mut seqs: Vec<i64> = Vec::new();
    for broker in &brokers {
        let room = MESSAGES_MAX - i64::try_from(seqs.len()).unwrap_or(MESSAGES_MAX);
        if room <= 0 {
            break;
        }
        let mut statement = Statement::new("SELECT seq FROM ductape_messages WHERE broker = ");
        statement.bind(broker.try_get::<i64, _>(0)?);
        statement.text(" AND produced_at < ").bind(before);
        statement.text(" ORDER BY produced_at, seq LIMIT ").bind(room);
        for row in &statement.all(&mut *connection).await? {
            seqs.push(row.try_get(0)?);
        }
    }
    Ok(seqs)
}

/// The first recorded messages, when there is more than this.
async fn too_many(connection: &mut AnyConnection, bytes_max: i64) -> Result<Vec<i64>> {
    let row = Statement::new("SELECT bytes FROM ductape_tracking WHERE id = 1")
        .one(&mut *connection)
        .await?;
    let mut over = row.try_get::<i64, _>(0)?.saturating_sub(bytes_max);
    let mut seqs = Vec::new();
    if over > 0 {
        let mut statement = Statement::new("SELECT seq, bytes FROM ductape_messages ORDER BY seq LIMIT ");
        statement.bind(MESSAGES_MAX);
        for row in &statement.all(&mut *connection).await? {
            if over <= 0 {
                break;
            }
            seqs.push(row.try_get(0)?);
            over -= row.try_get::<i64, _>(1)?;
        }
    }
    Ok(seqs)
}

/// Removes dead letters that failed before a time and that no operator has to look at.
async fn dead_letters(connection: &mut AnyConnection, before: i64) -> Result<u64> {
    use crate::tracking::failures::{Failure, Failures};
    let mut statement = Statement::new(
        "DELETE FROM ductape_dead_letters WHERE id IN \
         (SELECT id FROM ductape_dead_letters WHERE state IN (2, 3, 4) AND failed_at < ",
    );
    statement
        .bind(before)
        .text(" ORDER BY id LIMIT ")
        .bind(MESSAGES_MAX);
    statement.text(") RETURNING broker, state, topic, consumer, fingerprint, failed_at, error");
    let rows = statement.all(&mut *connection).await?;
    let mut failures = Failures::default();
    for row in &rows {
        let failure = Failure {
            broker: row.try_get(0)?,
            state: row.try_get(1)?,
            topic: row.try_get(2)?,
            consumer: row.try_get(3)?,
            fingerprint: row.try_get(4)?,
        };
        failures.add(failure, -1, row.try_get(6)?, row.try_get(5)?);
    }
    failures.write(connection).await?;
    Ok(rows.len() as u64)
}

/// Removes the numbers of hours that have nothing left.
async fn empty_hours(connection: &mut AnyConnection, before: i64) -> Result<()> {
    for text in [
        "DELETE FROM ductape_message_hours WHERE count = 0 AND hour < ",
        "DELETE FROM ductape_delivery_hours WHERE count = 0 AND hour < ",
    ] {
        let mut statement = Statement::new(text);
        statement.bind(hour(before));
        statement.execute(&mut *connection).await?;
    }
    Statement::new("DELETE FROM ductape_failures WHERE count = 0")
        .execute(&mut *connection)
        .await?;
    let mut statement = Statement::new("DELETE FROM ductape_left_out WHERE at < ");
    statement.bind(before);
    statement.execute(connection).await?;
    Ok(())
}
