//! Dead letters given to their group anew, put aside, and replaced.

use std::time::SystemTime;

use sqlx::{AnyConnection, Row as _};

use crate::error::Result;
use crate::statement::Statement;
use crate::time::micros;
use crate::tracking::answer::DeadLetter;
use crate::tracking::code::dead;
use crate::tracking::failures::{Failure, Failures};
use crate::tracking::filter::LIMIT_MAX;
use crate::tracking::query::{invalid, load_dead_letters};
use crate::tracking::write::claim;
use crate::tracking::{Tracking, text};

/// What happens to a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeadLetterChange {
    /// Its copy was confirmed: it is given to its group anew. Of those that `token` has claimed.
    Redriven {
        /// The token that it was claimed with.
        token: String,
    },
    /// Its copy was not confirmed: it waits for an operator again. Of those that `token` has claimed.
    Released {
        /// The token that it was claimed with.
        token: String,
    },
    /// A changed copy, which was confirmed, took its place. Of those that `token` has claimed.
    Superseded {
        /// The token that it was claimed with.
        token: String,
        /// The copy's message id.
        by: String,
    },
    /// It is put aside. Of those that wait for an operator.
    Archived,
    /// It waits for an operator again. Of those that were put aside.
    Restored,
}

impl Tracking {
    /// Claims dead letters for whoever has `token`, until `until`: of two that ask at once, one gets each. Those that are open, those
    /// whose claim ended before `now`, and those that `token` has claimed already are claimed and answered, in the order of `ids`;
    /// others are left out.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::StoreErrorKind::Invalid) for more than 1,000 ids, or an empty token.
    pub async fn claim_dead_letters(
        &self,
        ids: &[String],
        token: &str,
        until: SystemTime,
        now: SystemTime,
    ) -> Result<Vec<DeadLetter>> {
        if token.is_empty() {
            return Err(invalid("an empty token can't claim dead letters"));
        }
        let token = text::name(token);
        let mut transaction = self.store.begin().await?;
        claim(&mut transaction, 0).await?;
        let mut claimed = Vec::new();
        let mut failures = Failures::default();
        for row in rows(&mut transaction, ids).await? {
            let is_free = match row.failure.state {
                dead::OPEN => true,
                dead::REPROCESSING => {
                    row.token.as_deref() == Some(&*token)
                        || row.lease_until.is_none_or(|until| until <= micros(now))
                }
                _ => false,
            };
            if is_free {
                let lease = Some((&*token, micros(until)));
                move_to(
                    &mut transaction,
                    &row,
                    dead::REPROCESSING,
                    lease,
                    None,
                    &mut failures,
                )
                .await?;
                claimed.push(row.id);
            }
        }
        failures.write(&mut transaction).await?;
        let letters = load_dead_letters(&self.store, &mut transaction, &claimed, now).await?;
        transaction.commit().await?;
        Ok(letters)
    }

    /// Changes the state of dead letters. Answers the ids of those that it changed; others are not in a state that allows it.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::StoreErrorKind::Invalid) for more than 1,000 ids.
    pub async fn change_dead_letters(
        &self,
        ids: &[String],
        change: &DeadLetterChange,
    ) -> Result<Vec<String>> {
        let mut transaction = self.store.begin().await?;
        claim(&mut transaction, 0).await?;
        let mut changed = Vec::new();
        let mut failures = Failures::default();
        for row in rows(&mut transaction, ids).await? {
            let state = row.failure.state;
            let is_claimed = |token: &str| {
                state == dead::REPROCESSING && row.token.as_deref() == Some(&*text::name(token))
            };
            let (is_allowed, to, by) = match change {
                DeadLetterChange::Redriven { token } => (is_claimed(token), dead::REDRIVEN, None),
                DeadLetterChange::Released { token } => (is_claimed(token), dead::OPEN, None),
                DeadLetterChange::Superseded { token, by } => {
                    (is_claimed(token), dead::SUPERSEDED, Some(by.as_str()))
                }
                DeadLetterChange::Archived => (state == dead::OPEN, dead::ARCHIVED, None),
                DeadLetterChange::Restored => (state == dead::ARCHIVED, dead::OPEN, None),
            };
            if is_allowed {
                move_to(&mut transaction, &row, to, None, by, &mut failures).await?;
                changed.push(row.id.to_string());
            }
        }
        failures.write(&mut transaction).await?;
        transaction.commit().await?;
        Ok(changed)
    }
}

/// The dead letters of a message for a consumer that wait for an operator count as given anew.
pub(super) async fn given_anew(connection: &mut AnyConnection, message: i64, consumer: i64) -> Result<()> {
    let mut statement = Statement::new(SELECT);
    statement.text("state IN (0, 1) AND message = ").bind(message);
    statement.text(" AND consumer = ").bind(consumer);
    let mut failures = Failures::default();
    for row in &statement.all(&mut *connection).await? {
        move_to(connection, &read(row)?, dead::REDRIVEN, None, None, &mut failures).await?;
    }
    failures.write(connection).await
}

struct DeadRow {
    id: i64,
    failure: Failure,
    failed_at: i64,
    error: String,
    token: Option<String>,
    lease_until: Option<i64>,
}

const SELECT: &str = "SELECT id, broker, state, topic, consumer, fingerprint, failed_at, error, token, lease_until \
     FROM ductape_dead_letters WHERE ";

/// The dead letters of these ids, in their order; what is no id is of no dead letter.
async fn rows(connection: &mut AnyConnection, ids: &[String]) -> Result<Vec<DeadRow>> {
    if ids.len() > LIMIT_MAX as usize {
        return Err(invalid(format!(
            "{} dead letters were named; at most {LIMIT_MAX} at once",
            ids.len()
        )));
    }
    let ids: Vec<i64> = ids.iter().filter_map(|id| id.parse().ok()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut statement = Statement::new(SELECT);
    statement.text("id IN (").list(ids.iter().copied()).text(")");
    let mut found = std::collections::HashMap::new();
    for row in &statement.all(connection).await? {
        let row = read(row)?;
        found.insert(row.id, row);
    }
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

fn read(row: &sqlx::any::AnyRow) -> Result<DeadRow> {
    Ok(DeadRow {
        id: row.try_get(0)?,
        failure: Failure {
            broker: row.try_get(1)?,
            state: row.try_get(2)?,
            topic: row.try_get(3)?,
            consumer: row.try_get(4)?,
            fingerprint: row.try_get(5)?,
        },
        failed_at: row.try_get(6)?,
        error: row.try_get(7)?,
        token: row.try_get(8)?,
        lease_until: row.try_get(9)?,
    })
}

async fn move_to(
    connection: &mut AnyConnection,
    row: &DeadRow,
    state: i64,
    lease: Option<(&str, i64)>,
    superseded_by: Option<&str>,
    failures: &mut Failures,
) -> Result<()> {
    let mut statement = Statement::new("UPDATE ductape_dead_letters SET state = ");
    statement
        .bind(state)
        .text(", token = ")
        .bind(lease.map(|lease| lease.0));
    statement
        .text(", lease_until = ")
        .bind(lease.map(|lease| lease.1));
    let by = superseded_by.map(|id| text::name(id).into_owned());
    statement.text(", superseded_by = ").bind(by);
    statement.text(" WHERE id = ").bind(row.id);
    statement.execute(connection).await?;
    failures.add(row.failure.clone(), -1, &row.error, row.failed_at);
    let moved = Failure {
        state,
        ..row.failure.clone()
    };
    failures.add(moved, 1, &row.error, row.failed_at);
    Ok(())
}
