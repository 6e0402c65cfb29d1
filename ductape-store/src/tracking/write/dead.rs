//! Dead letters as rows.

use std::collections::HashMap;

use sqlx::{AnyConnection, Row as _};

use super::entry::{Entry, original_details};
use crate::dialect::Dialect;
use crate::error::Result;
use crate::open::Store;
use crate::statement::Statement;
use crate::time::micros;
use crate::tracking::bulk::lists;
use crate::tracking::code::{dead, delivery};
use crate::tracking::failures::{Failure, Failures};
use crate::tracking::text;

/// Keeps the dead letters of a batch, and notes which earlier ones were given to their group anew.
pub(super) async fn write(
    store: &Store,
    connection: &mut AnyConnection,
    entries: &[Entry<'_>],
) -> Result<()> {
    let mut failures = Failures::default();
    redriven(store.dialect(), connection, entries, &mut failures).await?;
    for entry in entries {
        for attempt in &entry.attempts {
            if attempt.status == delivery::DEAD {
                insert(store, connection, entry, attempt, &mut failures).await?;
            }
        }
    }
    failures.write(connection).await
}

async fn insert(
    store: &Store,
    connection: &mut AnyConnection,
    entry: &Entry<'_>,
    attempt: &super::entry::Attempt<'_>,
    failures: &mut Failures,
) -> Result<()> {
    let (ids, record) = (entry.ids, attempt.record);
    let redrive = i64::from(record.redrive);
    let later =
        |one: &&crate::tracking::fold::Delivery| one.consumer == attempt.consumer && one.redrive > redrive;
    let state = match entry.message.deliveries.iter().find(later) {
        Some(_) => dead::REDRIVEN,
        None => dead::OPEN,
    };
    let error = attempt.error.clone().unwrap_or_default();
    let failure = Failure {
        broker: ids.broker,
        state,
        topic: ids.topic,
        consumer: attempt.consumer,
        fingerprint: text::fingerprint(ids.broker, ids.topic, attempt.consumer, &error),
    };
    let failed_at = micros(record.started_at).saturating_add(attempt.elapsed());
    let original = record.original.as_ref();
    let payload = original
        .map(|original| store.keys().seal(&original.payload, &entry.message_id))
        .transpose()?;
    let details = original.map_or_else(|| "{}".to_owned(), original_details);
    let mut statement = Statement::new(
        "INSERT INTO ductape_dead_letters (id, message, consumer, broker, topic, redrive, failed_at, retry_count, state, \
         message_id, error, fingerprint, details, payload) VALUES ((SELECT next FROM ductape_tracking WHERE id = 1), ",
    );
    statement.list([
        entry.seq,
        attempt.consumer,
        ids.broker,
        ids.topic,
        redrive,
        failed_at,
        i64::from(record.attempt.saturating_sub(1)),
        state,
    ]);
    statement.text(", ").bind(entry.message_id.as_ref());
    statement.text(", ").bind(error.as_str());
    statement.text(", ").bind(failure.fingerprint.as_str());
    statement.text(", ").bind(details).text(", ").bind(payload);
    statement.text(") ON CONFLICT (message, consumer, redrive) DO NOTHING");
    if statement.execute(&mut *connection).await?.rows_affected() > 0 {
        Statement::new("UPDATE ductape_tracking SET next = next + 1 WHERE id = 1")
            .execute(&mut *connection)
            .await?;
        failures.add(failure, 1, &error, failed_at);
    }
    Ok(())
}

/// A message that its group has again was given to it anew, whoever did that.
async fn redriven(
    dialect: Dialect,
    connection: &mut AnyConnection,
    entries: &[Entry<'_>],
    failures: &mut Failures,
) -> Result<()> {
    let mut again = HashMap::new();
    for entry in entries {
        for one in entry.message.deliveries.iter().filter(|one| one.redrive > 0) {
            again.insert((entry.seq, one.consumer), one.redrive);
        }
    }
    let mut seqs: Vec<i64> = again.keys().map(|(seq, _)| *seq).collect();
    seqs.sort_unstable();
    seqs.dedup();
    let rows = lists(
        dialect,
        connection,
        (
            "SELECT id, broker, state, topic, consumer, fingerprint, message, redrive, failed_at, error \
             FROM ductape_dead_letters WHERE state IN (0, 1) AND message IN (",
            ")",
        ),
        &seqs,
        |statement, seq| _ = statement.bind(*seq),
    )
    .await?;
    for row in &rows {
        let failure = Failure {
            broker: row.try_get(1)?,
            state: row.try_get(2)?,
            topic: row.try_get(3)?,
            consumer: row.try_get(4)?,
            fingerprint: row.try_get(5)?,
        };
        let message: i64 = row.try_get(6)?;
        let redrive: i64 = row.try_get(7)?;
        if again
            .get(&(message, failure.consumer))
            .is_none_or(|later| *later <= redrive)
        {
            continue;
        }
        let mut statement = Statement::new("UPDATE ductape_dead_letters SET state = ");
        statement.bind(dead::REDRIVEN);
        statement.text(", token = NULL, lease_until = NULL WHERE id = ");
        statement.bind(row.try_get::<i64, _>(0)?);
        statement.execute(&mut *connection).await?;
        let (failed_at, error): (i64, &str) = (row.try_get(8)?, row.try_get(9)?);
        failures.add(failure.clone(), -1, error, failed_at);
        let redriven = Failure {
            state: dead::REDRIVEN,
            ..failure
        };
        failures.add(redriven, 1, error, failed_at);
    }
    Ok(())
}
