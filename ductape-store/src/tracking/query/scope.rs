//! What is asked about, checked, and with numbers for names.

use std::collections::HashMap;
use std::time::SystemTime;

use sqlx::{AnyConnection, Row as _};

use crate::error::{Result, StoreError, StoreErrorKind};
use crate::statement::Statement;
use crate::time::micros;
use crate::tracking::code::state;
use crate::tracking::filter::LIMIT_MAX;
use crate::tracking::names::Kind;
use crate::tracking::text;

/// Which messages.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub(super) broker: i64,
    pub(super) topic: Option<i64>,
    pub(super) producer: Option<i64>,
    pub(super) consumer: Option<i64>,
    /// Only those whose produce is recorded.
    pub(super) is_produced: bool,
    /// In one of these states.
    pub(super) states: Option<Vec<i64>>,
    /// With this mark.
    pub(super) mark: Option<i64>,
    /// With this other mark.
    pub(super) other_mark: Option<i64>,
    /// Produced at this time or later, and before that.
    pub(super) from: i64,
    pub(super) until: i64,
}

impl Scope {
    pub(super) const fn broker(broker: i64) -> Self {
        Self {
            broker,
            topic: None,
            producer: None,
            consumer: None,
            is_produced: false,
            states: None,
            mark: None,
            other_mark: None,
            from: 0,
            until: i64::MAX,
        }
    }

    /// Whether success is among the states, so that they are too many for the marks.
    pub(super) fn has_success(&self) -> bool {
        self.states
            .as_ref()
            .is_some_and(|states| states.contains(&state::SUCCESS))
    }
}

pub(in crate::tracking) fn invalid(why: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, why)
}

/// Which page, as how many there are before it.
pub(super) fn offset(page: u32, limit: u32) -> Result<u64> {
    if page == 0 {
        return Err(invalid("page 0 was asked for; pages are counted from 1"));
    }
    if limit == 0 || limit > LIMIT_MAX {
        return Err(invalid(format!(
            "a page of {limit} was asked for; a page has 1 to {LIMIT_MAX}"
        )));
    }
    Ok(u64::from(page - 1) * u64::from(limit))
}

/// The times between two dates.
pub(super) fn between(start: Option<SystemTime>, end: Option<SystemTime>) -> Result<(i64, i64)> {
    if let (Some(start), Some(end)) = (start, end)
        && start > end
    {
        return Err(invalid("the start date is after the end date"));
    }
    Ok((start.map_or(0, micros), end.map_or(i64::MAX, micros)))
}

/// The number of a broker, if anything was recorded of it.
pub(super) async fn broker(
    connection: &mut AnyConnection,
    product: &str,
    env: &str,
    broker_tag: &str,
) -> Result<Option<i64>> {
    for (what, tag) in [("product", product), ("env", env), ("broker_tag", broker_tag)] {
        if tag.is_empty() {
            return Err(invalid(format!("`{what}` is empty; say which is asked about")));
        }
    }
    let mut statement = Statement::new(
        "SELECT broker.id FROM ductape_names product \
         JOIN ductape_names env ON env.parent = product.id AND env.kind = 2 \
         JOIN ductape_names broker ON broker.parent = env.id AND broker.kind = 3 \
         WHERE product.parent = 0 AND product.kind = 1 AND product.tag = ",
    );
    statement
        .bind(text::name(product).as_ref())
        .text(" AND env.tag = ");
    statement
        .bind(text::name(env).as_ref())
        .text(" AND broker.tag = ");
    statement.bind(text::name(broker_tag).as_ref());
    let row = statement.optional(connection).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// The number of a topic or an actor of a broker; `None` within when none was asked for, `None` when there is none of this name.
pub(super) async fn find(
    connection: &mut AnyConnection,
    broker: i64,
    kind: Kind,
    tag: Option<&String>,
) -> Result<Option<Option<i64>>> {
    let Some(tag) = tag else {
        return Ok(Some(None));
    };
    let mut statement = Statement::new("SELECT id FROM ductape_names WHERE parent = ");
    statement.bind(broker).text(" AND kind = ").bind(kind.code());
    statement.text(" AND tag = ").bind(text::name(tag).as_ref());
    let row = statement.optional(connection).await?;
    Ok(match row {
        Some(row) => Some(Some(row.try_get(0)?)),
        None => None,
    })
}

/// The tags of these numbers.
pub(in crate::tracking) async fn tags(
    connection: &mut AnyConnection,
    ids: impl IntoIterator<Item = i64>,
) -> Result<HashMap<i64, String>> {
    let mut ids: Vec<i64> = ids.into_iter().filter(|id| *id != 0).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut tags = HashMap::with_capacity(ids.len());
    for some in ids.chunks(500) {
        let mut statement = Statement::new("SELECT id, tag FROM ductape_names WHERE id IN (");
        statement.list(some.iter().copied()).text(")");
        for row in statement.all(&mut *connection).await? {
            tags.insert(row.try_get(0)?, row.try_get(1)?);
        }
    }
    Ok(tags)
}
