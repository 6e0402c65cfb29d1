//! Dead letters, looked at.

use std::collections::HashSet;
use std::time::SystemTime;

use bytes::Bytes;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::Tracking;
use super::actors::unsigned;
use super::load::object;
use super::page::PageSpec;
use super::scope::{self, invalid, offset, tags};
use super::snapshot::Snapshot;
use crate::dialect::Dialect;
use crate::error::Result;
use crate::open::Store;
use crate::statement::Statement;
use crate::time::{from_micros, micros};
use crate::tracking::answer::{DeadLetter, DeadLetterGroup, DeadLetterPage};
use crate::tracking::code::{dead, dead_letter_code, dead_letter_state};
use crate::tracking::filter::{BrokerFilter, DeadLetterFilter, LIMIT_MAX};
use crate::tracking::names::Kind;
use crate::tracking::text;
use crate::tracking::write::Details;

/// How many groups are answered.
const GROUPS_MAX: i64 = 1_000;

/// A filter, checked, and with numbers for names.
pub(super) struct Checked<'f> {
    broker: i64,
    topic: Option<i64>,
    consumer: Option<i64>,
    from: i64,
    until: i64,
    states: Vec<i64>,
    filter: &'f DeadLetterFilter,
    id_max: Option<i64>,
}

impl<'f> Checked<'f> {
    /// Checks a filter; `None` when nothing was recorded of what it names.
    pub(super) async fn of(
        connection: &mut AnyConnection,
        filter: &'f DeadLetterFilter,
        id_max: Option<i64>,
    ) -> Result<Option<Self>> {
        for (what, ids) in [("message ids", &filter.message_ids), ("ids", &filter.ids)] {
            if ids.len() > LIMIT_MAX as usize {
                let count = ids.len();
                return Err(invalid(format!(
                    "{count} {what} were asked for; at most {LIMIT_MAX} at once"
                )));
            }
        }
        let (from, until) = scope::between(filter.start_date, filter.end_date)?;
        let broker = scope::broker(connection, &filter.product, &filter.env, &filter.broker_tag).await?;
        let Some(broker) = broker else { return Ok(None) };
        let topic = scope::find(connection, broker, Kind::Topic, filter.topic_tag.as_ref()).await?;
        let consumer = scope::find(connection, broker, Kind::Actor, filter.consumer_tag.as_ref()).await?;
        let (Some(topic), Some(consumer)) = (topic, consumer) else {
            return Ok(None);
        };
        Ok(Some(Self {
            broker,
            topic,
            consumer,
            from,
            until,
            states: match filter.states.as_slice() {
                [] => vec![dead::OPEN, dead::REPROCESSING],
                states => states.iter().copied().map(dead_letter_code).collect(),
            },
            filter,
            id_max,
        }))
    }

    pub(super) fn write(&self, dialect: Dialect, statement: &mut Statement) {
        statement
            .text(" FROM ductape_dead_letters WHERE broker = ")
            .bind(self.broker);
        self.write_common(statement);
        if self.from > 0 {
            statement.text(" AND failed_at >= ").bind(self.from);
        }
        if self.until < i64::MAX {
            statement.text(" AND failed_at < ").bind(self.until);
        }
        if let Some(id_max) = self.id_max {
            statement.text(" AND id <= ").bind(id_max);
        }
        if let Some(part) = &self.filter.error_contains {
            statement.text(dialect.pick(" AND instr(error, ", " AND strpos(error, "));
            statement.bind(text::without_nul(part).as_ref()).text(") > 0");
        }
        if !self.filter.message_ids.is_empty() {
            statement.text(" AND message_id IN (");
            for (at, id) in self.filter.message_ids.iter().enumerate() {
                statement.text(if at > 0 { ", " } else { "" });
                statement.bind(text::name(id).as_ref());
            }
            statement.text(")");
        }
        if !self.filter.ids.is_empty() {
            // What is no number is the id of none.
            let ids = self.filter.ids.iter().map(|id| id.parse().unwrap_or(-1_i64));
            statement.text(" AND id IN (").list(ids).text(")");
        }
    }

    fn write_common(&self, statement: &mut Statement) {
        statement
            .text(" AND state IN (")
            .list(self.states.iter().copied())
            .text(")");
        if let Some(topic) = self.topic {
            statement.text(" AND topic = ").bind(topic);
        }
        if let Some(consumer) = self.consumer {
            statement.text(" AND consumer = ").bind(consumer);
        }
        if let Some(fingerprint) = &self.filter.fingerprint {
            statement.text(" AND fingerprint = ");
            statement.bind(text::without_nul(fingerprint).as_ref());
        }
    }

    /// Whether the numbers by failure have it.
    const fn is_counted(&self) -> bool {
        self.from <= 0
            && self.until == i64::MAX
            && self.id_max.is_none()
            && self.filter.error_contains.is_none()
            && self.filter.message_ids.is_empty()
            && self.filter.ids.is_empty()
    }

    async fn total(&self, dialect: Dialect, connection: &mut AnyConnection) -> Result<i64> {
        let mut statement;
        if self.is_counted() {
            statement = Statement::new(
                "SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM ductape_failures WHERE broker = ",
            );
            statement.bind(self.broker);
            self.write_common(&mut statement);
        } else {
            statement = Statement::new("SELECT COUNT(*)");
            self.write(dialect, &mut statement);
        }
        Ok(statement.one(connection).await?.try_get(0)?)
    }
}

pub(super) async fn page(
    tracking: &Tracking,
    filter: &DeadLetterFilter,
    now: SystemTime,
) -> Result<DeadLetterPage> {
    let spec = PageSpec {
        page: filter.page,
        limit: filter.limit,
        snapshot: filter.snapshot.as_ref(),
    };
    let given = spec.check()?;
    let mut reading = tracking.read().await?;
    let connection = &mut *reading;
    let mut answer = DeadLetterPage {
        dead_letters: Vec::new(),
        total: 0,
        page: filter.page,
        limit: filter.limit,
        has_more: false,
        snapshot: Snapshot::default().to_string(),
    };
    if let Some(checked) = Checked::of(connection, filter, given.map(|given| given.seq)).await? {
        let skip = i64::try_from(offset(filter.page, filter.limit)?).unwrap_or(i64::MAX);
        let row = Statement::new("SELECT next - 1 FROM ductape_tracking WHERE id = 1")
            .one(&mut *connection)
            .await?;
        let seq = checked.id_max.unwrap_or(row.try_get(0)?);
        let dialect = tracking.store.dialect();
        let total = checked.total(dialect, connection).await?;
        if skip < total {
            let mut statement = Statement::new("SELECT id");
            checked.write(dialect, &mut statement);
            statement.text(" ORDER BY failed_at DESC, id DESC LIMIT ");
            statement
                .bind(i64::from(filter.limit))
                .text(" OFFSET ")
                .bind(skip);
            let rows = statement.all(&mut *connection).await?;
            let ids: Vec<i64> = rows
                .iter()
                .map(|row| row.try_get(0))
                .collect::<sqlx::Result<_>>()?;
            answer.dead_letters = load(&tracking.store, connection, &ids, now).await?;
        }
        answer.total = unsigned(total);
        answer.has_more = skip.saturating_add(i64::from(filter.limit)) < total;
        answer.snapshot = Snapshot {
            seq,
            total,
            ..Snapshot::default()
        }
        .to_string();
    }
    reading.rollback().await?;
    Ok(answer)
}

/// Loads dead letters, in the order of `ids`.
pub(in crate::tracking) async fn load(
    store: &Store,
    connection: &mut AnyConnection,
    ids: &[i64],
    now: SystemTime,
) -> Result<Vec<DeadLetter>> {
    let rows = crate::tracking::bulk::lists(
        store.dialect(),
        connection,
        (
            "SELECT id, message_id, broker, topic, consumer, redrive, failed_at, retry_count, error, fingerprint, state, \
             lease_until, superseded_by, details, payload FROM ductape_dead_letters WHERE id IN (",
            ")",
        ),
        ids,
        |statement, id| _ = statement.bind(*id),
    )
    .await?;
    let mut names = HashSet::new();
    for row in &rows {
        names.extend([row.try_get::<i64, _>(2)?, row.try_get(3)?, row.try_get(4)?]);
    }
    let tags = tags(connection, names).await?;
    let mut found = std::collections::HashMap::with_capacity(rows.len());
    for row in &rows {
        found.insert(row.try_get::<i64, _>(0)?, show(store, row, &tags, micros(now))?);
    }
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

fn show(
    store: &Store,
    row: &AnyRow,
    tags: &std::collections::HashMap<i64, String>,
    now: i64,
) -> Result<DeadLetter> {
    let tag = |at: usize| -> Result<String> {
        Ok(tags.get(&row.try_get::<i64, _>(at)?).cloned().unwrap_or_default())
    };
    let count =
        |at: usize| -> Result<u32> { Ok(u32::try_from(row.try_get::<i64, _>(at)?).unwrap_or(u32::MAX)) };
    let message_id: String = row.try_get(1)?;
    let payload: Option<&[u8]> = row.try_get(14)?;
    let payload = payload
        .map(|kept| store.keys().open(kept, &message_id))
        .transpose()?;
    let details: Details<'_> = serde_json::from_str(row.try_get(13)?).unwrap_or_default();
    let state: i64 = row.try_get(10)?;
    let lease_until: Option<i64> = row.try_get(11)?;
    Ok(DeadLetter {
        id: row.try_get::<i64, _>(0)?.to_string(),
        message_id,
        event: format!("{}:{}", tag(2)?, tag(3)?),
        original_message: payload.map(Bytes::from),
        key: details.key.map(std::borrow::Cow::into_owned),
        metadata: object(details.metadata.as_deref()),
        error: row.try_get(8)?,
        failed_at: from_micros(row.try_get(6)?),
        retry_count: count(7)?,
        consumer_tag: tag(4)?,
        can_retry: state == dead::OPEN
            || (state == dead::REPROCESSING && lease_until.is_none_or(|until| until <= now)),
        state: dead_letter_state(state),
        fingerprint: row.try_get(9)?,
        redrive_count: count(5)?,
        superseded_by: row.try_get(12)?,
    })
}

pub(super) async fn groups(tracking: &Tracking, filter: &BrokerFilter) -> Result<Vec<DeadLetterGroup>> {
    let mut reading = tracking.read().await?;
    let connection = &mut *reading;
    let broker = scope::broker(connection, &filter.product, &filter.env, &filter.broker_tag).await?;
    let mut statement = Statement::new(
        "SELECT topic, consumer, fingerprint, error, count, first_at, last_at FROM ductape_failures \
         WHERE state = 0 AND count > 0 AND broker = ",
    );
    statement.bind(broker.unwrap_or_default());
    statement
        .text(" ORDER BY count DESC, fingerprint LIMIT ")
        .bind(GROUPS_MAX);
    let rows = statement.all(&mut *connection).await?;
    let mut names = HashSet::new();
    for row in &rows {
        names.extend([row.try_get::<i64, _>(0)?, row.try_get(1)?]);
    }
    let tags = tags(connection, names).await?;
    reading.rollback().await?;
    let tag = |id: i64| tags.get(&id).cloned().unwrap_or_default();
    let group = |row: &AnyRow| {
        Ok(DeadLetterGroup {
            topic_tag: tag(row.try_get(0)?),
            consumer_tag: tag(row.try_get(1)?),
            fingerprint: row.try_get(2)?,
            error: row.try_get(3)?,
            count: unsigned(row.try_get(4)?),
            first_failed_at: from_micros(row.try_get(5)?),
            last_failed_at: from_micros(row.try_get(6)?),
        })
    };
    rows.iter().map(group).collect()
}
