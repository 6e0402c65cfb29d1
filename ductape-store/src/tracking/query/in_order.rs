//! Lists walked from their beginning: each step asks for what comes behind the one before, whatever changes meanwhile.

use std::time::SystemTime;

use sqlx::{AnyConnection, Row as _};

use super::dead_letters::{self, Checked};
use super::scope::{invalid, offset};
use super::source::{Key, Part};
use super::{Tracking, events, load};
use crate::error::Result;
use crate::statement::Statement;
use crate::tracking::answer::{DeadLetter, Event};
use crate::tracking::filter::{DeadLetterFilter, EventFilter};
use crate::tracking::text;

/// How far a walk has come. What is recorded after it began is not on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walked {
    newest: i64,
    /// Where the last one is in the order, and its number.
    last: Option<(i64, i64)>,
}

/// A step of a walk.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step<T> {
    /// What comes next, in order; nothing at the end.
    pub found: Vec<T>,
    /// To be handed in for the next step.
    pub walked: Walked,
}

impl Tracking {
    /// The next events behind `after`, the first produced first: as many as the filter's limit says. Its page is to be 1.
    pub async fn events_in_order(&self, filter: &EventFilter, after: Option<Walked>) -> Result<Step<Event>> {
        check(filter.page, filter.limit, filter.snapshot.as_ref())?;
        let mut reading = self.read().await?;
        let connection = &mut *reading;
        let mut walked = begin(connection, after).await?;
        let mut found = Vec::new();
        if let Some(scope) = events::scope_of(connection, filter).await? {
            let part = Part {
                from: scope.from,
                until: scope.until,
                after: None,
                seq_max: Some(walked.newest),
            };
            let behind = walked.last.map(|(produced_at, seq)| Key { produced_at, seq });
            let keys = scope
                .keys_in_order(connection, part, behind, i64::from(filter.limit))
                .await?;
            if let Some(last) = keys.last() {
                walked.last = Some((last.produced_at, last.seq));
            }
            let seqs: Vec<i64> = keys.iter().map(|key| key.seq).collect();
            found = load::messages(&self.store, connection, &seqs).await?;
        }
        reading.rollback().await?;
        let found = found.into_iter();
        let found = found
            .map(|message| events::of(message, filter.category))
            .collect();
        Ok(Step { found, walked })
    }

    /// The next dead letters behind `after`, the first recorded message first: as many as the filter's limit says. Its page is to be 1.
    /// `now` tells which ones can be given to their group anew.
    pub async fn dead_letters_in_order(
        &self,
        filter: &DeadLetterFilter,
        after: Option<Walked>,
        now: SystemTime,
    ) -> Result<Step<DeadLetter>> {
        check(filter.page, filter.limit, filter.snapshot.as_ref())?;
        let mut reading = self.read().await?;
        let connection = &mut *reading;
        let mut walked = begin(connection, after).await?;
        let mut found = Vec::new();
        if let Some(checked) = Checked::of(connection, filter, Some(walked.newest)).await? {
            let mut statement = Statement::new("SELECT message, id");
            checked.write(self.store.dialect(), &mut statement);
            if let Some((message, id)) = walked.last {
                statement.text(" AND message >= ").bind(message);
                statement.text(" AND (message > ").bind(message);
                statement.text(" OR id > ").bind(id).text(")");
            }
            statement.text(" ORDER BY message, id LIMIT ");
            statement.bind(i64::from(filter.limit));
            let mut ids: Vec<i64> = Vec::new();
            for row in &statement.all(&mut *connection).await? {
                walked.last = Some((row.try_get(0)?, row.try_get(1)?));
                ids.push(row.try_get(1)?);
            }
            found = dead_letters::load(&self.store, connection, &ids, now).await?;
        }
        reading.rollback().await?;
        Ok(Step { found, walked })
    }

    /// One dead letter of a product in an environment, by its id, in whichever state it is. `now` tells whether it can be given to its
    /// group anew.
    pub async fn dead_letter(
        &self,
        product: &str,
        env: &str,
        id: &str,
        now: SystemTime,
    ) -> Result<Option<DeadLetter>> {
        let Ok(id) = id.parse::<i64>() else {
            return Ok(None);
        };
        let mut reading = self.read().await?;
        let mut statement = Statement::new(
            "SELECT d.id FROM ductape_dead_letters d JOIN ductape_names broker ON broker.id = d.broker \
             JOIN ductape_names env ON env.id = broker.parent JOIN ductape_names product ON product.id = env.parent \
             WHERE d.id = ",
        );
        statement.bind(id).text(" AND product.tag = ");
        statement
            .bind(text::name(product).as_ref())
            .text(" AND env.tag = ");
        statement.bind(text::name(env).as_ref());
        let row = statement.optional(&mut *reading).await?;
        let ids: Vec<i64> = row.map(|row| row.try_get(0)).transpose()?.into_iter().collect();
        let found = dead_letters::load(&self.store, &mut reading, &ids, now).await?;
        reading.rollback().await?;
        Ok(found.into_iter().next())
    }
}

fn check(page: u32, limit: u32, snapshot: Option<&String>) -> Result<()> {
    offset(page, limit)?;
    if page != 1 || snapshot.is_some() {
        return Err(invalid(
            "a page was asked for where all are gone through; leave out `page` and `snapshot`",
        ));
    }
    Ok(())
}

async fn begin(connection: &mut AnyConnection, after: Option<Walked>) -> Result<Walked> {
    if let Some(after) = after {
        return Ok(after);
    }
    let row = Statement::new("SELECT next - 1 FROM ductape_tracking WHERE id = 1")
        .one(connection)
        .await?;
    Ok(Walked {
        newest: row.try_get(0)?,
        last: None,
    })
}
