//! What the store has of the messages in a batch.

use std::collections::{HashMap, HashSet};

use sqlx::{AnyConnection, Row as _};

use super::entry::{Entry, Presence};
use crate::dialect::Dialect;
use crate::error::Result;
use crate::tracking::bulk::lists;
use crate::tracking::fold::{Delivery, Tracked};
use crate::tracking::names::Names;

/// The columns of deliveries that [`read_delivery`] reads, behind the message's number.
pub(in crate::tracking) const DELIVERIES: &str = "SELECT message, consumer, status, redrive, attempt, started_at, elapsed, \
     next_at, duplicates, error, response FROM ductape_deliveries WHERE message IN (";

/// Finds the messages that are to be asked for.
pub(super) async fn existing(
    dialect: Dialect,
    connection: &mut AnyConnection,
    names: &Names,
    entries: &mut [Entry<'_>],
) -> Result<()> {
    let asked: Vec<usize> = (0..entries.len())
        .filter(|at| matches!(entries[*at].presence, Presence::Ask))
        .collect();
    if asked.is_empty() {
        return Ok(());
    }
    let mut ids: Vec<&str> = asked.iter().map(|at| entries[*at].message_id.as_ref()).collect();
    ids.sort_unstable();
    ids.dedup();
    let rows = lists(
        dialect,
        connection,
        (
            "SELECT seq, message_id, topic, producer, expected, produced_at, marks, bytes, created_at \
             FROM ductape_messages WHERE message_id IN (",
            ")",
        ),
        &ids,
        |statement, id| _ = statement.bind(*id),
    )
    .await?;
    let mut found = HashMap::with_capacity(rows.len());
    let mut sets = HashSet::new();
    for row in &rows {
        let (message_id, topic): (&str, i64) = (row.try_get(1)?, row.try_get(2)?);
        sets.insert(row.try_get::<i64, _>(4)?);
        found.insert((topic, message_id), row);
    }
    let sets: Vec<i64> = sets.into_iter().collect();
    let sets = names.sets(connection, &sets).await?;
    for at in asked {
        let entry = &mut entries[at];
        let Some(row) = found.get(&(entry.ids.topic, entry.message_id.as_ref())) else {
            entry.presence = Presence::New;
            continue;
        };
        let seq: i64 = row.try_get(0)?;
        if seq == entry.seq {
            // It was inserted just now, beside others that were there.
            entry.presence = Presence::New;
            continue;
        }
        let expected: i64 = row.try_get(4)?;
        let set = sets.get(&expected).cloned();
        entry.seq = seq;
        entry.created_at = row.try_get(8)?;
        entry.presence = Presence::Known {
            message: Tracked {
                producer: row.try_get(3)?,
                produced_at: row.try_get(5)?,
                marks: row.try_get(6)?,
                deliveries: Vec::new(),
            },
            expected: (expected, set.unwrap_or_default()),
            bytes: row.try_get(7)?,
            duplicates: HashSet::new(),
        };
    }
    Ok(())
}

/// Finds the deliveries of the messages that the store has, and puts what the batch tells on top.
pub(super) async fn deliveries(
    dialect: Dialect,
    connection: &mut AnyConnection,
    entries: &mut Vec<Entry<'_>>,
) -> Result<()> {
    // A produce that is told again tells nothing.
    entries.retain(|entry| match &entry.presence {
        Presence::Known { message, .. } => !entry.attempts.is_empty() || message.producer == 0,
        _ => true,
    });
    let mut known = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        if matches!(entry.presence, Presence::Known { .. }) {
            known.insert(entry.seq, at);
        }
    }
    if known.is_empty() {
        return Ok(());
    }
    let mut seqs: Vec<i64> = known.keys().copied().collect();
    seqs.sort_unstable();
    let rows = lists(dialect, connection, (DELIVERIES, ")"), &seqs, |statement, seq| {
        statement.bind(*seq);
    })
    .await?;
    for row in &rows {
        let seq: i64 = row.try_get(0)?;
        if let Some(at) = known.get(&seq)
            && let Presence::Known { message, .. } = &mut entries[*at].presence
        {
            message.deliveries.push(read_delivery(row)?);
        }
    }
    let rows = lists(
        dialect,
        connection,
        (
            "SELECT message, consumer, redrive, attempt FROM ductape_attempts WHERE outcome = 6 AND message IN (",
            ")",
        ),
        &duplicated(entries),
        |statement, seq| _ = statement.bind(*seq),
    )
    .await?;
    for row in &rows {
        let seq: i64 = row.try_get(0)?;
        if let Some(at) = known.get(&seq)
            && let Presence::Known { duplicates, .. } = &mut entries[*at].presence
        {
            duplicates.insert((row.try_get(1)?, row.try_get(2)?, row.try_get(3)?));
        }
    }
    entries.retain_mut(Entry::join);
    Ok(())
}

/// The messages that the store has and that the batch tells duplicates of.
fn duplicated(entries: &[Entry<'_>]) -> Vec<i64> {
    use crate::tracking::code::outcome::DUPLICATE;
    let is_known = |entry: &&Entry<'_>| matches!(entry.presence, Presence::Known { .. });
    let tells = |entry: &&Entry<'_>| entry.attempts.iter().any(|attempt| attempt.status == DUPLICATE);
    let duplicated = entries.iter().filter(is_known).filter(tells);
    duplicated.map(|entry| entry.seq).collect()
}

pub(in crate::tracking) fn read_delivery(row: &sqlx::any::AnyRow) -> Result<Delivery> {
    Ok(Delivery {
        consumer: row.try_get(1)?,
        status: row.try_get(2)?,
        redrive: row.try_get(3)?,
        attempt: row.try_get(4)?,
        started_at: row.try_get(5)?,
        elapsed: row.try_get(6)?,
        next_at: row.try_get(7)?,
        duplicates: row.try_get(8)?,
        error: row.try_get(9)?,
        response: row.try_get(10)?,
    })
}
