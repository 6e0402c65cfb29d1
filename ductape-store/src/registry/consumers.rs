//! The groups that consume topics.

use std::time::SystemTime;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::entry::{Consumer, ConsumerEntry};
use super::{Registry, clean, clean_option};
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::statement::Statement;
use crate::time::{from_micros, micros};

impl Registry<'_> {
    /// The groups that programs consumed a topic of `env` in since `since`, in the order of their tags and versions. `event` is
    /// the topic's `(broker, topic)`; `None` asks for all topics.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn consumers(
        &self,
        product: &str,
        env: &str,
        event: Option<(&str, &str)>,
        since: SystemTime,
    ) -> Result<Vec<Consumer>> {
        let product = clean(product);
        let mut select = Statement::new(
            "SELECT env, broker, topic, version, consumer_tag, name, description, created_at, last_seen FROM ductape_consumers \
             WHERE product = ",
        );
        select.bind(&*product).text(" AND env = ").bind(&*clean(env));
        select.text(" AND last_seen >= ").bind(micros(since));
        if let Some((broker, topic)) = event {
            select.text(" AND broker = ").bind(&*clean(broker));
            select.text(" AND topic = ").bind(&*clean(topic));
        }
        let rows = select.all(self.store.reader()).await?;
        let mut consumers: Vec<Consumer> = rows
            .iter()
            .map(|row| consumer(row, &product))
            .collect::<Result<_>>()?;
        consumers.sort_by(|a, b| (&a.event, a.version, &a.tag).cmp(&(&b.event, b.version, &b.tag)));
        Ok(consumers)
    }
}

fn consumer(row: &AnyRow, product: &str) -> Result<Consumer> {
    let (broker, topic): (String, String) = (row.try_get(1)?, row.try_get(2)?);
    let version = u32::try_from(row.try_get::<i64, _>(3)?).map_err(|_| {
        StoreError::new(
            StoreErrorKind::Damaged,
            "a consumer's version is not one that this library keeps",
        )
    })?;
    Ok(Consumer {
        product: product.to_owned(),
        env: row.try_get(0)?,
        event: format!("{broker}:{topic}"),
        version,
        tag: row.try_get(4)?,
        name: row.try_get(5)?,
        description: row.try_get(6)?,
        created_at: from_micros(row.try_get(7)?),
        last_seen: from_micros(row.try_get(8)?),
    })
}

/// A statement for each so many rows.
const ROWS_MAX: usize = 200;

/// Writes consumers: new ones, and in place of old ones.
pub(super) async fn write(
    on: &mut AnyConnection,
    product: &str,
    consumers: &[(&ConsumerEntry, String)],
    now: i64,
) -> Result<()> {
    for consumers in consumers.chunks(ROWS_MAX) {
        let mut insert = Statement::new(
            "INSERT INTO ductape_consumers (product, env, broker, topic, version, consumer_tag, name, description, said, \
             created_at, updated_at, last_seen) VALUES ",
        );
        insert.rows(consumers, |insert, (entry, said)| {
            let place = [&entry.env, &entry.broker, &entry.topic].map(|text| clean(text));
            insert.bind(product).text(", ");
            insert.list(place.iter().map(|text| &**text)).text(", ");
            insert.bind(i64::from(entry.version)).text(", ");
            insert
                .list([&*clean(&entry.tag), &*clean(&entry.name)])
                .text(", ");
            insert.bind(clean_option(entry.description.as_ref())).text(", ");
            insert.bind(said.as_str()).text(", ").list([now, now, now]);
        });
        insert.text(
            " ON CONFLICT (product, env, broker, topic, version, consumer_tag) DO UPDATE SET name = excluded.name, \
             description = excluded.description, said = excluded.said, last_seen = excluded.last_seen, \
             updated_at = CASE WHEN ductape_consumers.said = excluded.said THEN ductape_consumers.updated_at \
             ELSE excluded.updated_at END",
        );
        insert.execute(&mut *on).await?;
    }
    Ok(())
}
