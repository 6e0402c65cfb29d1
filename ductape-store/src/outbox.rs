//! The outbox: messages that are written in a transaction of the program's own, and leave after it.

use std::time::{Duration, SystemTime};

use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::error::Result;
use crate::open::Store;
use crate::statement::Statement;
use crate::time::{from_micros, micros};
use crate::transaction::{SqlTransaction, SqlValue};
use crate::{StoreError, StoreErrorKind};

/// How many messages are forgotten in one step.
const PRUNE_STEP: i64 = 1_000;

/// A message on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxMessage {
    /// The event, `broker:topic`.
    pub event: String,
    /// The topic's version, from 1.
    pub version: u32,
    /// The message's id: the same however often it is published.
    pub message_id: String,
    /// The key, if it has one: messages of one key leave in order.
    pub key: Option<Vec<u8>>,
    /// The headers, as a JSON object.
    pub headers: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// Not to be published before, where it is to wait.
    pub not_before: Option<SystemTime>,
}

/// A message that a relay has taken to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its place in the outbox.
    pub seq: i64,
    /// The message.
    pub message: OutboxMessage,
    /// How often it was refused.
    pub attempts: u32,
    /// When it was written.
    pub created_at: SystemTime,
}

/// What waits in an outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many messages are to be published.
    pub depth: u64,
    /// When the oldest of them was written.
    pub oldest: Option<SystemTime>,
    /// How many were refused too often, and stay until a person has looked.
    pub parked: u64,
}

/// The outbox of a store.
#[derive(Clone, Copy, Debug)]
pub struct Outbox<'a> {
    store: &'a Store,
    product: &'a str,
    env: &'a str,
}

impl Store {
    /// The outbox of one product in one environment.
    pub const fn outbox<'a>(&'a self, product: &'a str, env: &'a str) -> Outbox<'a> {
        Outbox {
            store: self,
            product,
            env,
        }
    }
}

impl Outbox<'_> {
    /// Writes a message in a transaction on the store's database; it leaves when that is committed, and only then.
    ///
    /// # Errors
    ///
    /// Those of the database: [`Failed`](StoreErrorKind::Failed) when it has no tables of a store.
    pub async fn write<T: SqlTransaction + ?Sized>(
        &self,
        transaction: &mut T,
        message: OutboxMessage,
        now: SystemTime,
    ) -> Result<()> {
        let payload = self.store.keys().seal(&message.payload, &message.message_id)?;
        let values = vec![
            SqlValue::Text(self.product.to_owned()),
            SqlValue::Text(self.env.to_owned()),
            SqlValue::Text(message.event),
            SqlValue::Integer(message.version.into()),
            SqlValue::Text(message.message_id),
            SqlValue::Bytes(message.key),
            SqlValue::Text(message.headers),
            SqlValue::Bytes(Some(payload)),
            SqlValue::Integer(message.not_before.map_or(0, micros)),
            SqlValue::Integer(micros(now)),
        ];
        let insert = "INSERT INTO ductape_outbox (product, env, event, version, message_id, message_key, headers, payload, \
                      not_before, attempts, claimed_until, parked, created_at) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, 0, $10)";
        transaction.execute(insert, values).await?;
        Ok(())
    }

    /// Takes up to `limit` messages that are due, in order, for `owner` to publish until the lease ends. A key that another relay
    /// has messages of is left to it, so that the key's messages leave in order.
    ///
    /// # Errors
    ///
    /// Those of the database, and [`Damaged`](StoreErrorKind::Damaged) for a payload that can't be opened.
    pub async fn take(
        &self,
        owner: &str,
        limit: u32,
        lease: Duration,
        now: SystemTime,
    ) -> Result<Vec<Taken>> {
        let (until, now) = (micros(now + lease), micros(now));
        let mut transaction = self.store.begin().await?;
        // One relay chooses at a time; what they do with it they do side by side.
        if let Some(lock) = self.store.dialect().lock_outbox() {
            Statement::new(lock).execute(&mut *transaction).await?;
        }
        let mut update = Statement::new("UPDATE ductape_outbox SET claimed_by = ");
        update.bind(owner).text(", claimed_until = ").bind(until);
        update
            .text(" WHERE seq IN (SELECT seq FROM ductape_outbox AS due WHERE due.product = ")
            .bind(self.product);
        update.text(" AND due.env = ").bind(self.env);
        update
            .text(" AND due.sent_at IS NULL AND due.parked = 0 AND due.not_before <= ")
            .bind(now);
        update.text(" AND due.claimed_until <= ").bind(now);
        update.text(
            " AND (due.message_key IS NULL OR NOT EXISTS (SELECT 1 FROM ductape_outbox AS held WHERE held.product = due.product \
             AND held.env = due.env AND held.event = due.event AND held.message_key = due.message_key \
             AND held.claimed_by IS NOT NULL AND held.sent_at IS NULL AND held.parked = 0 AND held.claimed_until > ",
        );
        update
            .bind(now)
            .text(")) ORDER BY due.seq LIMIT ")
            .bind(i64::from(limit));
        update.text(
            ") RETURNING seq, event, version, message_id, message_key, headers, payload, not_before, attempts, created_at",
        );
        let rows = update.all(&mut *transaction).await?;
        transaction.commit().await?;
        let mut taken = rows
            .iter()
            .map(|row| self.taken(row))
            .collect::<Result<Vec<_>>>()?;
        taken.sort_unstable_by_key(|one| one.seq);
        Ok(taken)
    }

    fn taken(&self, row: &AnyRow) -> Result<Taken> {
        let message_id: String = row.try_get(3)?;
        let not_before: i64 = row.try_get(7)?;
        let number = |n: i64| {
            u32::try_from(n).map_err(|_| {
                StoreError::new(StoreErrorKind::Damaged, "a number of the outbox is out of range")
            })
        };
        Ok(Taken {
            seq: row.try_get(0)?,
            attempts: number(row.try_get(8)?)?,
            created_at: from_micros(row.try_get(9)?),
            message: OutboxMessage {
                event: row.try_get(1)?,
                version: number(row.try_get(2)?)?,
                key: row.try_get(4)?,
                headers: row.try_get(5)?,
                payload: self
                    .store
                    .keys()
                    .open(&row.try_get::<Vec<u8>, _>(6)?, &message_id)?,
                not_before: (not_before > 0).then(|| from_micros(not_before)),
                message_id,
            },
        })
    }

    /// Notes that messages were published.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn sent(&self, owner: &str, seqs: &[i64], now: SystemTime) -> Result<()> {
        if seqs.is_empty() {
            return Ok(());
        }
        let mut update = Statement::new("UPDATE ductape_outbox SET sent_at = ");
        update
            .bind(micros(now))
            .text(", claimed_by = NULL, claimed_until = 0 WHERE claimed_by = ")
            .bind(owner);
        update.text(" AND seq IN (").list(seqs.iter().copied()).text(")");
        update.execute(self.store.writer()).await?;
        Ok(())
    }

    /// Gives messages back that were not published, to be taken again.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn give_back(&self, owner: &str, seqs: &[i64]) -> Result<()> {
        if seqs.is_empty() {
            return Ok(());
        }
        let mut update = Statement::new(
            "UPDATE ductape_outbox SET claimed_by = NULL, claimed_until = 0 WHERE claimed_by = ",
        );
        update
            .bind(owner)
            .text(" AND seq IN (")
            .list(seqs.iter().copied())
            .text(")");
        update.execute(self.store.writer()).await?;
        Ok(())
    }

    /// Notes that a message was refused, and why: it is tried again at `again`, or stays for a person to look at where there is none.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn refused(&self, owner: &str, seq: i64, why: &str, again: Option<SystemTime>) -> Result<()> {
        let mut update = Statement::new("UPDATE ductape_outbox SET attempts = attempts + 1, last_error = ");
        update
            .bind(why.replace('\0', ""))
            .text(", claimed_by = NULL, claimed_until = ");
        update
            .bind(again.map_or(0, micros))
            .text(", parked = ")
            .bind(i64::from(again.is_none()));
        update
            .text(" WHERE seq = ")
            .bind(seq)
            .text(" AND claimed_by = ")
            .bind(owner);
        update.execute(self.store.writer()).await?;
        Ok(())
    }

    /// Whether anything waits that is due; cheaper than to take it.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn is_due(&self, now: SystemTime) -> Result<bool> {
        let mut select = Statement::new("SELECT seq FROM ductape_outbox WHERE product = ");
        select.bind(self.product).text(" AND env = ").bind(self.env);
        select
            .text(" AND sent_at IS NULL AND parked = 0 AND not_before <= ")
            .bind(micros(now));
        select
            .text(" AND claimed_until <= ")
            .bind(micros(now))
            .text(" LIMIT 1");
        Ok(select.optional(self.store.reader()).await?.is_some())
    }

    /// What waits.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn waiting(&self) -> Result<Waiting> {
        let mut select = Statement::new(
            "SELECT CAST(COALESCE(SUM(1 - parked), 0) AS BIGINT), MIN(CASE WHEN parked = 0 THEN created_at END), \
             CAST(COALESCE(SUM(parked), 0) AS BIGINT) FROM ductape_outbox WHERE sent_at IS NULL AND product = ",
        );
        select.bind(self.product).text(" AND env = ").bind(self.env);
        let row = select.one(self.store.reader()).await?;
        let count = |n: i64| u64::try_from(n).unwrap_or_default();
        Ok(Waiting {
            depth: count(row.try_get(0)?),
            oldest: row.try_get::<Option<i64>, _>(1)?.map(from_micros),
            parked: count(row.try_get(2)?),
        })
    }

    /// Forgets messages that were published before `before`, at most 1,000, and says how many.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn prune(&self, before: SystemTime) -> Result<u64> {
        let mut delete = Statement::new(
            "DELETE FROM ductape_outbox WHERE seq IN (SELECT seq FROM ductape_outbox WHERE sent_at <= ",
        );
        delete
            .bind(micros(before))
            .text(" LIMIT ")
            .bind(PRUNE_STEP)
            .text(")");
        Ok(delete.execute(self.store.writer()).await?.rows_affected())
    }
}
