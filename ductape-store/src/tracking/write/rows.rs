//! Messages and deliveries as rows.

use std::time::SystemTime;

use sqlx::AnyConnection;

use super::entry::{Entry, Presence};
use crate::dialect::Dialect;
use crate::error::Result;
use crate::statement::Statement;
use crate::time::micros;
use crate::tracking::bulk::{bulk, bulk_counted, chunks};
use crate::tracking::code::delivery;
use crate::tracking::fold::Delivery;

const INSERT: (&str, &str) = (
    "INSERT INTO ductape_messages (seq, message_id, broker, topic, producer, expected, produced_at, state, marks, bytes, \
     created_at, updated_at) VALUES ",
    " ON CONFLICT (message_id, topic) DO NOTHING",
);

fn message(statement: &mut Statement, entry: &Entry<'_>, now: i64) {
    statement
        .bind(entry.seq)
        .text(", ")
        .bind(entry.message_id.as_ref())
        .text(", ");
    statement.list([
        entry.ids.broker,
        entry.ids.topic,
        entry.message.producer,
        entry.expected.0,
        entry.message.produced_at,
        entry.state(),
        entry.message.marks,
        entry.bytes,
        now,
        now,
    ]);
}

/// Inserts the messages that the batch tells the produce of, as if the store had none of them; those that it may have are to be
/// asked for.
pub(super) async fn insert_produced(
    dialect: Dialect,
    connection: &mut AnyConnection,
    entries: &mut [Entry<'_>],
    now: SystemTime,
) -> Result<()> {
    let now = micros(now);
    let mut new: Vec<&mut Entry<'_>> = entries
        .iter_mut()
        .filter(|entry| matches!(entry.presence, Presence::New))
        .collect();
    let mut doubtful = Vec::new();
    let mut at = 0;
    let inserted = bulk_counted(dialect, connection, INSERT, &new, |statement, entry| {
        message(statement, entry, now);
    })
    .await?;
    for (chunk, inserted) in chunks(&new).zip(inserted) {
        if inserted < chunk.len() as u64 {
            doubtful.extend(at..at + chunk.len());
        }
        at += chunk.len();
    }
    for at in doubtful {
        new[at].presence = Presence::Ask;
    }
    Ok(())
}

/// Inserts the messages that only deliveries are known of.
pub(super) async fn insert_unproduced(
    dialect: Dialect,
    connection: &mut AnyConnection,
    entries: &[Entry<'_>],
    now: SystemTime,
) -> Result<()> {
    let now = micros(now);
    let new: Vec<&Entry<'_>> = entries
        .iter()
        .filter(|entry| matches!(entry.presence, Presence::New) && entry.told.is_none())
        .collect();
    bulk(dialect, connection, INSERT, &new, |statement, entry| {
        message(statement, entry, now);
    })
    .await
}

/// Writes what changed, but for the messages that were inserted.
pub(super) async fn write(
    dialect: Dialect,
    connection: &mut AnyConnection,
    entries: &[Entry<'_>],
    now: SystemTime,
) -> Result<()> {
    update_messages(dialect, connection, entries, micros(now)).await?;
    let told: Vec<_> = entries
        .iter()
        .filter_map(|entry| Some((entry, entry.told.as_ref()?)))
        .collect();
    bulk(
        dialect,
        connection,
        (
            "INSERT INTO ductape_details (message, details, payload) VALUES ",
            " ON CONFLICT (message) DO NOTHING",
        ),
        &told,
        |statement, (entry, told)| {
            statement.bind(entry.seq).text(", ").bind(told.details.as_str());
            statement.text(", ").bind(told.payload.as_deref());
        },
    )
    .await?;
    let deliveries: Vec<_> = entries
        .iter()
        .flat_map(|entry| {
            // A produce that comes late moves all of them.
            let all = matches!(entry.presence, Presence::Known { .. }) && entry.told.is_some();
            let changed = move |one: &&Delivery| all || entry.changed.contains(&one.consumer);
            let row = |delivery| DeliveryRow {
                seq: entry.seq,
                topic: entry.ids.topic,
                produced_at: entry.message.produced_at,
                delivery,
            };
            entry.message.deliveries.iter().filter(changed).map(row)
        })
        .collect();
    write_deliveries(dialect, connection, &deliveries).await?;
    let attempts: Vec<_> = entries
        .iter()
        .flat_map(|entry| entry.attempts.iter().map(move |attempt| (entry, attempt)))
        .filter(|(_, attempt)| attempt.status != delivery::SUCCESS)
        .collect();
    bulk(
        dialect,
        connection,
        (
            "INSERT INTO ductape_attempts (message, consumer, redrive, attempt, outcome, started_at, elapsed, error) VALUES ",
            " ON CONFLICT (message, consumer, redrive, attempt, outcome) DO NOTHING",
        ),
        &attempts,
        |statement, (entry, attempt)| {
            statement.list([
                entry.seq,
                attempt.consumer,
                attempt.record.redrive.into(),
                attempt.record.attempt.into(),
                attempt.status,
                micros(attempt.record.started_at),
                attempt.elapsed(),
            ]);
            statement.text(", ").bind(attempt.error.as_deref());
        },
    )
    .await
}

async fn update_messages(
    dialect: Dialect,
    connection: &mut AnyConnection,
    entries: &[Entry<'_>],
    now: i64,
) -> Result<()> {
    let known: Vec<_> = entries
        .iter()
        .filter(|entry| matches!(entry.presence, Presence::Known { .. }))
        .collect();
    bulk(
        dialect,
        connection,
        (
            "UPDATE ductape_messages SET producer = new.column2, expected = new.column3, produced_at = new.column4, \
             state = new.column5, marks = new.column6, bytes = new.column7, updated_at = new.column8 FROM (VALUES ",
            ") AS new WHERE seq = new.column1",
        ),
        &known,
        |statement, entry| {
            statement.list([
                entry.seq,
                entry.message.producer,
                entry.expected.0,
                entry.message.produced_at,
                entry.state(),
                entry.message.marks,
                entry.bytes,
                now,
            ]);
        },
    )
    .await
}

/// A delivery as a row.
pub(in crate::tracking) struct DeliveryRow<'d> {
    pub(in crate::tracking) seq: i64,
    pub(in crate::tracking) topic: i64,
    pub(in crate::tracking) produced_at: i64,
    pub(in crate::tracking) delivery: &'d Delivery,
}

/// Writes deliveries, in the place of what was known of them.
pub(in crate::tracking) async fn write_deliveries(
    dialect: Dialect,
    connection: &mut AnyConnection,
    deliveries: &[DeliveryRow<'_>],
) -> Result<()> {
    bulk(
        dialect,
        connection,
        (
            "INSERT INTO ductape_deliveries (message, consumer, topic, produced_at, status, redrive, attempt, started_at, \
             elapsed, next_at, duplicates, error, response) VALUES ",
            " ON CONFLICT (message, consumer) DO UPDATE SET produced_at = excluded.produced_at, status = excluded.status, \
             redrive = excluded.redrive, attempt = excluded.attempt, started_at = excluded.started_at, \
             elapsed = excluded.elapsed, next_at = excluded.next_at, duplicates = excluded.duplicates, \
             error = excluded.error, response = excluded.response",
        ),
        deliveries,
        |statement, row| {
            let one = row.delivery;
            statement.list([
                row.seq,
                one.consumer,
                row.topic,
                row.produced_at,
                one.status,
                one.redrive,
                one.attempt,
                one.started_at,
                one.elapsed,
            ]);
            statement.text(", ").bind(one.next_at).text(", ").bind(one.duplicates);
            statement.text(", ").bind(one.error.as_deref());
            statement.text(", ").bind(one.response.as_deref());
        },
    )
    .await
}
