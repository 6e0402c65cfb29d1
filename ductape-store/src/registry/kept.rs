//! Rows of the registry as they are kept.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Executor, Row as _};

use super::entry::{Broker, Environment, QueueUrl, Source, Topic};
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::statement::Statement;
use crate::time::from_micros;

/// A row of a broker.
#[derive(Clone, Debug)]
pub(super) struct BrokerRow {
    pub(super) tag: String,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) source: Source,
    pub(super) said: String,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
}

/// A row of an environment.
#[derive(Clone, Debug)]
pub(super) struct EnvironmentRow {
    pub(super) broker: String,
    pub(super) slug: String,
    pub(super) kind: String,
    pub(super) config: String,
    pub(super) sealed: String,
    pub(super) said: String,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
}

/// A row of a topic.
#[derive(Clone, Debug)]
pub(super) struct TopicRow {
    pub(super) broker: String,
    pub(super) topic: String,
    pub(super) version: i64,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) sample: Option<String>,
    pub(super) schema: Option<String>,
    pub(super) queue_urls: String,
    pub(super) source: Source,
    pub(super) said: String,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
}

/// The rows of a product's brokers; of one when `tag` names it.
pub(super) async fn brokers<'c>(
    on: impl Executor<'c, Database = sqlx::Any>,
    product: &str,
    tag: Option<&str>,
) -> Result<Vec<BrokerRow>> {
    let mut select = Statement::new(
        "SELECT tag, name, description, source, said, created_at, updated_at FROM ductape_brokers WHERE product = ",
    );
    select.bind(product);
    if let Some(tag) = tag {
        select.text(" AND tag = ").bind(tag);
    }
    let row = |row: &AnyRow| {
        Ok(BrokerRow {
            tag: row.try_get(0)?,
            name: row.try_get(1)?,
            description: row.try_get(2)?,
            source: Source::read(row.try_get(3)?),
            said: row.try_get(4)?,
            created_at: row.try_get(5)?,
            updated_at: row.try_get(6)?,
        })
    };
    let mut rows: Vec<BrokerRow> = select.all(on).await?.iter().map(row).collect::<Result<_>>()?;
    // Not by the database, which may sort as its language does.
    rows.sort_by(|a, b| a.tag.cmp(&b.tag));
    Ok(rows)
}

/// The rows of a product's environments; of one broker's when it is named.
pub(super) async fn environments<'c>(
    on: impl Executor<'c, Database = sqlx::Any>,
    product: &str,
    broker: Option<&str>,
) -> Result<Vec<EnvironmentRow>> {
    let mut select = Statement::new(
        "SELECT broker, slug, kind, config, sealed, said, created_at, updated_at FROM ductape_environments WHERE product = ",
    );
    select.bind(product);
    if let Some(broker) = broker {
        select.text(" AND broker = ").bind(broker);
    }
    let row = |row: &AnyRow| {
        Ok(EnvironmentRow {
            broker: row.try_get(0)?,
            slug: row.try_get(1)?,
            kind: row.try_get(2)?,
            config: row.try_get(3)?,
            sealed: row.try_get(4)?,
            said: row.try_get(5)?,
            created_at: row.try_get(6)?,
            updated_at: row.try_get(7)?,
        })
    };
    let mut rows: Vec<EnvironmentRow> = select.all(on).await?.iter().map(row).collect::<Result<_>>()?;
    rows.sort_by(|a, b| (&a.broker, &a.slug).cmp(&(&b.broker, &b.slug)));
    Ok(rows)
}

/// The rows of a product's topics; of one broker's, or of one topic's versions, when they are named.
pub(super) async fn topics<'c>(
    on: impl Executor<'c, Database = sqlx::Any>,
    product: &str,
    broker: Option<&str>,
    topic: Option<&str>,
) -> Result<Vec<TopicRow>> {
    let mut select = Statement::new(
        "SELECT broker, topic, version, name, description, sample, schema, queue_urls, source, said, created_at, updated_at \
         FROM ductape_topics WHERE product = ",
    );
    select.bind(product);
    if let Some(broker) = broker {
        select.text(" AND broker = ").bind(broker);
    }
    if let Some(topic) = topic {
        select.text(" AND topic = ").bind(topic);
    }
    let row = |row: &AnyRow| {
        Ok(TopicRow {
            broker: row.try_get(0)?,
            topic: row.try_get(1)?,
            version: row.try_get(2)?,
            name: row.try_get(3)?,
            description: row.try_get(4)?,
            sample: row.try_get(5)?,
            schema: row.try_get(6)?,
            queue_urls: row.try_get(7)?,
            source: Source::read(row.try_get(8)?),
            said: row.try_get(9)?,
            created_at: row.try_get(10)?,
            updated_at: row.try_get(11)?,
        })
    };
    let mut rows: Vec<TopicRow> = select.all(on).await?.iter().map(row).collect::<Result<_>>()?;
    rows.sort_by(|a, b| (&a.broker, &a.topic, a.version).cmp(&(&b.broker, &b.topic, b.version)));
    Ok(rows)
}

/// A statement for each so many rows: the texts are few, so that the database can keep them prepared.
const ROWS_MAX: usize = 200;

/// Writes rows of brokers: new ones, and in place of old ones.
pub(super) async fn write_brokers(on: &mut AnyConnection, product: &str, rows: &[BrokerRow]) -> Result<()> {
    for rows in rows.chunks(ROWS_MAX) {
        let mut insert = Statement::new(
            "INSERT INTO ductape_brokers (product, tag, name, description, source, said, created_at, updated_at) VALUES ",
        );
        insert.rows(rows, |insert, row| {
            insert
                .list([product, row.tag.as_str(), row.name.as_str()])
                .text(", ");
            insert.bind(row.description.clone()).text(", ");
            insert.list([row.source.as_str(), row.said.as_str()]).text(", ");
            insert.list([row.created_at, row.updated_at]);
        });
        insert.text(
            " ON CONFLICT (product, tag) DO UPDATE SET name = excluded.name, description = excluded.description, \
             source = excluded.source, said = excluded.said, updated_at = excluded.updated_at",
        );
        insert.execute(&mut *on).await?;
    }
    Ok(())
}

/// Writes rows of environments: new ones, and in place of old ones.
pub(super) async fn write_environments(
    on: &mut AnyConnection,
    product: &str,
    rows: &[EnvironmentRow],
) -> Result<()> {
    for rows in rows.chunks(ROWS_MAX) {
        let mut insert = Statement::new(
            "INSERT INTO ductape_environments (product, broker, slug, kind, config, sealed, said, created_at, updated_at) VALUES ",
        );
        insert.rows(rows, |insert, row| {
            let texts = [
                &row.broker,
                &row.slug,
                &row.kind,
                &row.config,
                &row.sealed,
                &row.said,
            ];
            insert.bind(product).text(", ");
            insert.list(texts.map(String::as_str)).text(", ");
            insert.list([row.created_at, row.updated_at]);
        });
        insert.text(
            " ON CONFLICT (product, broker, slug) DO UPDATE SET kind = excluded.kind, config = excluded.config, \
             sealed = excluded.sealed, said = excluded.said, updated_at = excluded.updated_at",
        );
        insert.execute(&mut *on).await?;
    }
    Ok(())
}

/// Writes rows of topics: new ones, and in place of old ones.
pub(super) async fn write_topics(on: &mut AnyConnection, product: &str, rows: &[TopicRow]) -> Result<()> {
    for rows in rows.chunks(ROWS_MAX) {
        let mut insert = Statement::new(
            "INSERT INTO ductape_topics (product, broker, topic, version, name, description, sample, schema, queue_urls, source, \
             said, created_at, updated_at) VALUES ",
        );
        insert.rows(rows, |insert, row| {
            insert.list([product, &row.broker, &row.topic]).text(", ");
            insert
                .bind(row.version)
                .text(", ")
                .bind(row.name.as_str())
                .text(", ");
            insert.list([row.description.clone(), row.sample.clone(), row.schema.clone()]);
            let texts = [row.queue_urls.as_str(), row.source.as_str(), row.said.as_str()];
            insert.text(", ").list(texts).text(", ");
            insert.list([row.created_at, row.updated_at]);
        });
        insert.text(
            " ON CONFLICT (product, broker, topic, version) DO UPDATE SET name = excluded.name, \
             description = excluded.description, sample = excluded.sample, schema = excluded.schema, \
             queue_urls = excluded.queue_urls, source = excluded.source, said = excluded.said, updated_at = excluded.updated_at",
        );
        insert.execute(&mut *on).await?;
    }
    Ok(())
}

impl BrokerRow {
    /// The broker, with those of the environments that are its own.
    pub(super) fn into_broker(self, product: &str, environments: &[EnvironmentRow]) -> Result<Broker> {
        let own = environments.iter().filter(|row| row.broker == self.tag);
        let envs: Vec<Environment> = own
            .clone()
            .map(|row| {
                Ok(Environment {
                    slug: row.slug.clone(),
                    kind: row.kind.clone(),
                    config: json(&row.config)?,
                })
            })
            .collect::<Result<_>>()?;
        let changed = own.map(|row| row.updated_at).max().unwrap_or_default();
        Ok(Broker {
            product: product.to_owned(),
            tag: self.tag,
            name: self.name,
            description: self.description,
            source: self.source,
            envs,
            created_at: from_micros(self.created_at),
            updated_at: from_micros(self.updated_at.max(changed)),
        })
    }
}

impl TopicRow {
    pub(super) fn into_topic(self, product: &str) -> Result<Topic> {
        let urls: Vec<QueueUrl> = serde_json::from_str(&self.queue_urls).map_err(|_| damaged())?;
        Ok(Topic {
            product: product.to_owned(),
            tag: format!("{}:{}", self.broker, self.topic),
            broker_tag: self.broker,
            topic_tag: self.topic,
            version: u32::try_from(self.version).map_err(|_| damaged())?,
            name: self.name,
            description: self.description,
            sample: self.sample.as_deref().map(json).transpose()?,
            schema: self.schema.as_deref().map(json).transpose()?,
            queue_urls: urls,
            source: self.source,
            created_at: from_micros(self.created_at),
            updated_at: from_micros(self.updated_at),
        })
    }
}

pub(super) fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|_| damaged())
}

fn damaged() -> StoreError {
    StoreError::new(
        StoreErrorKind::Damaged,
        "the registry holds what this version does not write",
    )
}

/// A hash of what was said.
pub(super) fn said(what: &impl Serialize) -> String {
    let text = serde_json::to_vec(what).unwrap_or_default();
    crate::tracking::text::hex(&Sha256::digest(&text)[..16])
}
