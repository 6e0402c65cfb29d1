//! Writing records.

mod dead;
mod entry;
mod load;
mod name;
mod rows;

use std::fmt;
use std::time::SystemTime;

use sqlx::{AnyConnection, Row as _};

use self::entry::entries;
pub(super) use self::entry::{Details, response_row};
pub(super) use self::load::{DELIVERIES, read_delivery};
pub(super) use self::rows::{DeliveryRow, write_deliveries};
use super::deltas::Deltas;
use super::names::Names;
use super::record::{LeftOut, Record};
use super::text;
use crate::dialect::Dialect;
use crate::error::Result;
use crate::open::Store;
use crate::statement::Statement;
use crate::time::micros;

/// How many records one transaction writes.
const RECORDS_MAX: usize = 8_192;

/// Writes records, many at once. A process has one of them.
pub struct TrackingWriter {
    store: Store,
    names: Names,
}

impl TrackingWriter {
    /// Writes to `store`.
    pub fn new(store: &Store) -> Self {
        Self {
            store: store.clone(),
            names: Names::default(),
        }
    }

    /// Writes `records` and the numbers that follow from them, in transactions of up to 8,192 records each; best called with
    /// 1,000 or more. `now` is when they are written.
    ///
    /// Written twice, as after an answer that was lost, they count once. When it fails, or is dropped, some of them may be
    /// written: write all of them again. One writer is at work in a store at a time; others wait for it.
    ///
    /// # Errors
    ///
    /// Those of the store: [`is_temporary`](crate::StoreError::is_temporary) tells whether writing again can help. Nothing in a
    /// record makes it fail: NUL becomes U+FFFD, ids and tags over 512 bytes are kept by their beginning and their hash, errors
    /// are cut at 8 KiB.
    pub async fn write(&self, records: &[Record], now: SystemTime) -> Result<()> {
        for some in records.chunks(RECORDS_MAX) {
            self.write_some(some, now).await?;
        }
        Ok(())
    }

    async fn write_some(&self, records: &[Record], now: SystemTime) -> Result<()> {
        let (store, dialect) = (&self.store, self.store.dialect());
        let named = self
            .names
            .find(store, now, |known, missing| name::name(known, missing, records))
            .await?;
        let mut entries = entries(store.keys(), records, &named)?;
        let mut transaction = store.begin().await?;
        let connection = &mut *transaction;
        plan_once(dialect, connection).await?;
        let mut seq = claim(connection, entries.len()).await?;
        for entry in &mut entries {
            entry.seq = seq;
            seq += 1;
        }
        rows::insert_produced(dialect, connection, &mut entries, now).await?;
        load::existing(dialect, connection, &self.names, &mut entries).await?;
        rows::insert_unproduced(dialect, connection, &entries, now).await?;
        load::deliveries(dialect, connection, &mut entries).await?;
        let mut deltas = Deltas::default();
        for entry in &entries {
            entry.count(&mut deltas);
        }
        rows::write(dialect, connection, &entries, now).await?;
        dead::write(store, connection, &entries).await?;
        let bytes = deltas.bytes;
        deltas.write(dialect, connection).await?;
        write_left_out(connection, records, &named).await?;
        let mut statement = Statement::new("UPDATE ductape_tracking SET bytes = bytes + ");
        statement.bind(bytes).text(" WHERE id = 1");
        statement.execute(&mut *connection).await?;
        transaction.commit().await?;
        Ok(())
    }
}

impl fmt::Debug for TrackingWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TrackingWriter").field(&self.store).finish()
    }
}

/// Keeps Postgres from planning each of many statements with hundreds of values anew, which takes longer than they do, and from plans
/// made while the tables were small.
pub(super) async fn plan_once(dialect: Dialect, connection: &mut AnyConnection) -> Result<()> {
    if dialect == Dialect::Postgres {
        Statement::new(
            "SELECT set_config('plan_cache_mode', 'force_generic_plan', true), \
             set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), \
             set_config('enable_mergejoin', 'off', true)",
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// Claims the next `count` numbers of messages, and lets no other writer in before the transaction ends: so the numbers are in the
/// order in which messages can be seen, and a page's snapshot stays whole.
pub(super) async fn claim(connection: &mut AnyConnection, count: usize) -> Result<i64> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let mut statement = Statement::new("UPDATE ductape_tracking SET next = next + ");
    statement.bind(count).text(" WHERE id = 1 RETURNING next");
    let next: i64 = statement.one(connection).await?.try_get(0)?;
    Ok(next - count)
}

async fn write_left_out(
    connection: &mut AnyConnection,
    records: &[Record],
    named: &name::Named,
) -> Result<()> {
    for record in records {
        let Record::LeftOut(LeftOut { topic, id, at, count }) = record else {
            continue;
        };
        let Some(ids) = named.topic(topic) else {
            continue;
        };
        let mut statement =
            Statement::new("INSERT INTO ductape_left_out (id, broker, topic, at, count) VALUES (");
        statement.bind(text::name(id).as_ref()).text(", ");
        statement.list([
            ids.broker,
            ids.topic,
            micros(*at),
            i64::try_from(*count).unwrap_or(i64::MAX),
        ]);
        statement.text(") ON CONFLICT (id) DO NOTHING");
        statement.execute(&mut *connection).await?;
    }
    Ok(())
}
