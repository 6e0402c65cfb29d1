//! Idempotency keys: a publish with a key that was used is not done again, across processes.

use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use sqlx::Row as _;

use crate::error::{Result, StoreError, StoreErrorKind};
use crate::open::Store;
use crate::statement::Statement;
use crate::time::{from_micros, micros};

/// How many keys are forgotten in one step.
const PRUNE_STEP: i64 = 1_000;

/// What an idempotency key belongs to: one product's event in one environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    /// The product.
    pub product: &'a str,
    /// The environment.
    pub env: &'a str,
    /// The event, `broker:topic`.
    pub event: &'a str,
    /// The key: 1 to 255 printable ASCII characters.
    pub key: &'a str,
}

/// A publish that asks whether it may go ahead.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The key, and what it belongs to.
    pub scope: Scope<'a>,
    /// SHA-256 of what is published: the same key with another is a conflict.
    pub fingerprint: [u8; 32],
    /// The message's id, if this is the first.
    pub message_id: &'a str,
    /// Who asks: another for each call.
    pub owner: &'a str,
    /// How long the key is this caller's to publish; after that another may take it over.
    pub lease: Duration,
    /// When this is.
    pub now: SystemTime,
}

/// Whether a publish may go ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It may, with this id: that of the first call where one was cut off.
    Mine {
        /// The id to publish with.
        message_id: String,
    },
    /// It was done.
    Done {
        /// The id of what was published.
        message_id: String,
        /// How safe it was then, as [`complete`](Idempotency::complete) was told.
        durability: String,
    },
    /// Another call is under way.
    UnderWay {
        /// When it is taken for cut off.
        until: SystemTime,
    },
    /// The key was used with other content.
    Conflict {
        /// The id of what was published, or is.
        message_id: String,
    },
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The event, `broker:topic`.
    pub event: String,
    /// The id of what was published.
    pub message_id: String,
    /// Whether the publish is done; else it is under way.
    pub done: bool,
}

/// The idempotency keys of a store.
#[derive(Clone, Copy, Debug)]
pub struct Idempotency<'a> {
    store: &'a Store,
}

impl Store {
    /// Its idempotency keys.
    pub const fn idempotency(&self) -> Idempotency<'_> {
        Idempotency { store: self }
    }
}

/// The fingerprint of a publish: SHA-256 of its parts, each with its length, so that none can run into the next.
pub fn fingerprint(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Whether `key` can be an idempotency key.
///
/// # Errors
///
/// [`Invalid`](StoreErrorKind::Invalid) when it has not 1 to 255 printable ASCII characters.
pub fn check_key(key: &str) -> Result<()> {
    if (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Ok(());
    }
    let text = format!(
        "an idempotency key has 1 to 255 printable ASCII characters; this one has {} bytes",
        key.len()
    );
    Err(StoreError::new(StoreErrorKind::Invalid, text))
}

impl Idempotency<'_> {
    /// Asks whether a publish may go ahead, and keeps the key for it if so.
    ///
    /// # Errors
    ///
    /// [`Invalid`](StoreErrorKind::Invalid) for what can't be a key, and those of the database.
    pub async fn claim(&self, request: &Request<'_>) -> Result<Claim> {
        check_key(request.scope.key)?;
        let (now, lease_until) = (micros(request.now), micros(request.now + request.lease));
        // A key that has expired, and one whose publish was cut off, is as good as new; but the second keeps its id.
        let mut insert = Statement::new(
            "INSERT INTO ductape_idempotency (product, env, event, idempotency_key, fingerprint, message_id, done, owner, \
             lease_until, created_at, expires_at) VALUES (",
        );
        let scope = request.scope;
        insert
            .list([scope.product, scope.env, scope.event, scope.key])
            .text(", ");
        insert
            .bind(request.fingerprint.as_slice())
            .text(", ")
            .bind(request.message_id);
        insert
            .text(", 0, ")
            .bind(request.owner)
            .text(", ")
            .bind(lease_until);
        insert.text(", ").bind(now).text(", 0) ON CONFLICT (product, env, event, idempotency_key) DO UPDATE SET \
             message_id = CASE WHEN ductape_idempotency.done = 1 THEN excluded.message_id ELSE ductape_idempotency.message_id END, \
             fingerprint = excluded.fingerprint, done = 0, owner = excluded.owner, lease_until = excluded.lease_until, \
             created_at = excluded.created_at WHERE (ductape_idempotency.done = 1 AND ductape_idempotency.expires_at <= ");
        insert
            .bind(now)
            .text(") OR (ductape_idempotency.done = 0 AND ductape_idempotency.lease_until <= ");
        insert
            .bind(now)
            .text(" AND ductape_idempotency.fingerprint = excluded.fingerprint) RETURNING message_id");
        if let Some(row) = insert.optional(self.store.writer()).await? {
            return Ok(Claim::Mine {
                message_id: row.try_get(0)?,
            });
        }
        let mut select = Statement::new(
            "SELECT message_id, done, lease_until, fingerprint, durability FROM ductape_idempotency WHERE ",
        );
        of_scope(&mut select, scope);
        let Some(row) = select.optional(self.store.writer()).await? else {
            // Let go in between: the caller asks again.
            return Ok(Claim::UnderWay { until: request.now });
        };
        let message_id: String = row.try_get(0)?;
        let fingerprint: Vec<u8> = row.try_get(3)?;
        Ok(if fingerprint != request.fingerprint {
            Claim::Conflict { message_id }
        } else if row.try_get::<i64, _>(1)? == 1 {
            Claim::Done {
                message_id,
                durability: row.try_get::<Option<String>, _>(4)?.unwrap_or_default(),
            }
        } else {
            Claim::UnderWay {
                until: from_micros(row.try_get(2)?),
            }
        })
    }

    /// Notes that a publish is done: until `expires_at` the key answers with it. `false` when another has taken the key over.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn complete(
        &self,
        scope: Scope<'_>,
        owner: &str,
        durability: &str,
        expires_at: SystemTime,
    ) -> Result<bool> {
        let mut update = Statement::new("UPDATE ductape_idempotency SET done = 1, durability = ");
        update.bind(durability).text(", expires_at = ");
        update.bind(micros(expires_at)).text(" WHERE ");
        of_scope(&mut update, scope);
        update.text(" AND done = 0 AND owner = ").bind(owner);
        Ok(update.execute(self.store.writer()).await?.rows_affected() == 1)
    }

    /// Notes that nobody knows what became of a publish: the next caller with the same content goes on at once, with its id.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn cut_off(&self, scope: Scope<'_>, owner: &str) -> Result<()> {
        let mut update = Statement::new("UPDATE ductape_idempotency SET lease_until = 0 WHERE ");
        of_scope(&mut update, scope);
        update.text(" AND done = 0 AND owner = ").bind(owner);
        update.execute(self.store.writer()).await?;
        Ok(())
    }

    /// Lets a key go whose publish was refused, so that a corrected one may use it.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn release(&self, scope: Scope<'_>, owner: &str) -> Result<()> {
        let mut delete = Statement::new("DELETE FROM ductape_idempotency WHERE ");
        of_scope(&mut delete, scope);
        delete.text(" AND done = 0 AND owner = ").bind(owner);
        delete.execute(self.store.writer()).await?;
        Ok(())
    }

    /// What is known of a key, of whatever event: the newest where several have used it. Nothing for what can't be a key.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn check(&self, product: &str, env: &str, key: &str, now: SystemTime) -> Result<Option<Known>> {
        if check_key(key).is_err() {
            return Ok(None);
        }
        let mut select =
            Statement::new("SELECT event, message_id, done FROM ductape_idempotency WHERE product = ");
        select
            .bind(product)
            .text(" AND env = ")
            .bind(env)
            .text(" AND idempotency_key = ")
            .bind(key);
        select.text(" AND (done = 0 OR expires_at > ").bind(micros(now));
        select.text(") ORDER BY created_at DESC LIMIT 1");
        let Some(row) = select.optional(self.store.reader()).await? else {
            return Ok(None);
        };
        Ok(Some(Known {
            event: row.try_get(0)?,
            message_id: row.try_get(1)?,
            done: row.try_get::<i64, _>(2)? == 1,
        }))
    }

    /// Forgets keys that have expired, at most 1,000, and says how many. A publish under way does not expire.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn prune(&self, now: SystemTime) -> Result<u64> {
        let row = self.store.dialect().pick("rowid", "ctid");
        let mut delete = Statement::new("DELETE FROM ductape_idempotency WHERE ");
        delete.text(row).text(" IN (SELECT ").text(row);
        delete
            .text(" FROM ductape_idempotency WHERE done = 1 AND expires_at <= ")
            .bind(micros(now));
        delete.text(" LIMIT ").bind(PRUNE_STEP).text(")");
        Ok(delete.execute(self.store.writer()).await?.rows_affected())
    }
}

fn of_scope(statement: &mut Statement, scope: Scope<'_>) {
    statement
        .text("product = ")
        .bind(scope.product)
        .text(" AND env = ")
        .bind(scope.env);
    statement
        .text(" AND event = ")
        .bind(scope.event)
        .text(" AND idempotency_key = ")
        .bind(scope.key);
}
