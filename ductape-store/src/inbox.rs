//! The inbox: what a group has handled is not handled again, also when it comes twice at once, across processes.

use std::time::{Duration, SystemTime};

use sqlx::Row as _;

use crate::error::Result;
use crate::open::Store;
use crate::statement::Statement;
use crate::time::{from_micros, micros};
use crate::transaction::{SqlTransaction, SqlValue};

/// How many messages are forgotten in one step.
const PRUNE_STEP: i64 = 1_000;

/// A message of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The product.
    pub product: &'a str,
    /// The environment.
    pub env: &'a str,
    /// The event, `broker:topic`.
    pub event: &'a str,
    /// The consumer group.
    pub consumer: &'a str,
    /// The message's id; of one that was sent back on purpose another, or it would be taken for handled.
    pub message_id: &'a str,
}

/// Whether a message is to be handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// It is, by the caller, who says which `epoch` has finished.
    Handle {
        /// Counts who was given it.
        epoch: i64,
    },
    /// It was handled.
    Done,
    /// Another is handling it.
    Busy {
        /// When that one is taken for dead.
        until: SystemTime,
    },
}

/// The inbox of a store.
#[derive(Clone, Copy, Debug)]
pub struct Inbox<'a> {
    store: &'a Store,
}

impl Store {
    /// Its inbox.
    pub const fn inbox(&self) -> Inbox<'_> {
        Inbox { store: self }
    }
}

impl Inbox<'_> {
    /// Asks whether a message is to be handled, and keeps others from it for `lease` if so.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn begin(&self, entry: Entry<'_>, lease: Duration, now: SystemTime) -> Result<Begin> {
        let mut insert = Statement::new(
            "INSERT INTO ductape_inbox (product, env, event, consumer, message_id, done, epoch, lease_until, expires_at) VALUES (",
        );
        insert.list([
            entry.product,
            entry.env,
            entry.event,
            entry.consumer,
            entry.message_id,
        ]);
        insert.text(", 0, 1, ").bind(micros(now + lease));
        insert.text(
            ", 0) ON CONFLICT (product, env, event, consumer, message_id) DO UPDATE SET epoch = ductape_inbox.epoch + 1, done = 0, \
             lease_until = excluded.lease_until WHERE (ductape_inbox.done = 0 AND ductape_inbox.lease_until <= ",
        );
        insert
            .bind(micros(now))
            .text(") OR (ductape_inbox.done = 1 AND ductape_inbox.expires_at <= ");
        insert.bind(micros(now)).text(") RETURNING epoch");
        if let Some(row) = insert.optional(self.store.writer()).await? {
            return Ok(Begin::Handle {
                epoch: row.try_get(0)?,
            });
        }
        let mut select = Statement::new("SELECT done, lease_until FROM ductape_inbox WHERE ");
        of_entry(&mut select, entry);
        Ok(match select.optional(self.store.writer()).await? {
            Some(row) if row.try_get::<i64, _>(0)? == 1 => Begin::Done,
            Some(row) => Begin::Busy {
                until: from_micros(row.try_get(1)?),
            },
            // Let go in between.
            None => Begin::Busy { until: now },
        })
    }

    /// Notes that a message was handled; it is known until `expires_at`. `false` when another was given it meanwhile.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn finish(&self, entry: Entry<'_>, epoch: i64, expires_at: SystemTime) -> Result<bool> {
        let mut update = Statement::new("UPDATE ductape_inbox SET done = 1, expires_at = ");
        update.bind(micros(expires_at)).text(" WHERE ");
        of_entry(&mut update, entry);
        update.text(" AND done = 0 AND epoch = ").bind(epoch);
        Ok(update.execute(self.store.writer()).await?.rows_affected() == 1)
    }

    /// Keeps a message for longer, while it is handled. `false` when another was given it meanwhile.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn extend(&self, entry: Entry<'_>, epoch: i64, until: SystemTime) -> Result<bool> {
        let mut update = Statement::new("UPDATE ductape_inbox SET lease_until = ");
        update.bind(micros(until)).text(" WHERE ");
        of_entry(&mut update, entry);
        update.text(" AND done = 0 AND epoch = ").bind(epoch);
        Ok(update.execute(self.store.writer()).await?.rows_affected() == 1)
    }

    /// Lets a message go that was not handled.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn release(&self, entry: Entry<'_>, epoch: i64) -> Result<()> {
        let mut delete = Statement::new("DELETE FROM ductape_inbox WHERE ");
        of_entry(&mut delete, entry);
        delete.text(" AND done = 0 AND epoch = ").bind(epoch);
        delete.execute(self.store.writer()).await?;
        Ok(())
    }

    /// Forgets messages that have expired, at most 1,000, and says how many.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn prune(&self, now: SystemTime) -> Result<u64> {
        let row = self.store.dialect().pick("rowid", "ctid");
        let mut delete = Statement::new("DELETE FROM ductape_inbox WHERE ");
        delete.text(row).text(" IN (SELECT ").text(row);
        delete
            .text(" FROM ductape_inbox WHERE done = 1 AND expires_at <= ")
            .bind(micros(now));
        delete.text(" LIMIT ").bind(PRUNE_STEP).text(")");
        Ok(delete.execute(self.store.writer()).await?.rows_affected())
    }

    /// Notes in a transaction of the program's own, on the same database, that a message was handled: `false` when it was before.
    /// Written with the message's effects, it makes them happen exactly once. A second transaction with the same message waits
    /// until the first has ended.
    ///
    /// # Errors
    ///
    /// Those of the database: [`Failed`](crate::StoreErrorKind::Failed) when it has no tables of a store.
    pub async fn first<T: SqlTransaction + ?Sized>(
        transaction: &mut T,
        entry: Entry<'_>,
        expires_at: SystemTime,
    ) -> Result<bool> {
        let text = |text: &str| SqlValue::Text(text.to_owned());
        let values = vec![
            text(entry.product),
            text(entry.env),
            text(entry.event),
            text(entry.consumer),
            text(entry.message_id),
            SqlValue::Integer(micros(expires_at)),
        ];
        let insert = "INSERT INTO ductape_inbox (product, env, event, consumer, message_id, done, epoch, lease_until, expires_at) \
                      VALUES ($1, $2, $3, $4, $5, 1, 0, 0, $6) ON CONFLICT (product, env, event, consumer, message_id) \
                      DO UPDATE SET done = 1, expires_at = excluded.expires_at WHERE ductape_inbox.done = 0";
        Ok(transaction.execute(insert, values).await? == 1)
    }
}

fn of_entry(statement: &mut Statement, entry: Entry<'_>) {
    statement
        .text("product = ")
        .bind(entry.product)
        .text(" AND env = ")
        .bind(entry.env);
    statement
        .text(" AND event = ")
        .bind(entry.event)
        .text(" AND consumer = ")
        .bind(entry.consumer);
    statement.text(" AND message_id = ").bind(entry.message_id);
}
