//! Topics, one by one.

use std::time::SystemTime;

use super::entry::{Source, Topic, TopicChange, TopicEntry};
use super::kept::{self, TopicRow};
use super::{Registry, clean, clean_option};
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::time::micros;

/// Stands for what was said of a topic whose schema is a program's, and of which a call changed something else.
const SAID_SCHEMA: &str = "schema";

impl Registry<'_> {
    /// The topics of a product, or of one of its brokers, in the order of their names and versions.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn topics(&self, product: &str, broker: Option<&str>) -> Result<Vec<Topic>> {
        let (product, broker) = (clean(product), broker.map(clean));
        let rows = kept::topics(self.store.reader(), &product, broker.as_deref(), None).await?;
        rows.into_iter().map(|row| row.into_topic(&product)).collect()
    }

    /// A topic in a version, or in its newest.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn topic(
        &self,
        product: &str,
        broker: &str,
        topic: &str,
        version: Option<u32>,
    ) -> Result<Option<Topic>> {
        let (product, broker, topic) = (clean(product), clean(broker), clean(topic));
        let rows = kept::topics(self.store.reader(), &product, Some(&broker), Some(&topic)).await?;
        let found = choose(rows, version);
        found.map(|row| row.into_topic(&product)).transpose()
    }

    /// Puts a topic in.
    ///
    /// # Errors
    ///
    /// [`Exists`](StoreErrorKind::Exists) when there is one of this name and version, [`Missing`](StoreErrorKind::Missing) when its
    /// broker is not there, and those of the database.
    pub async fn create_topic(&self, product: &str, entry: &TopicEntry, now: SystemTime) -> Result<Topic> {
        let (product, broker, topic) = (clean(product), clean(&entry.broker), clean(&entry.topic));
        let mut transaction = self.begin().await?;
        if kept::brokers(&mut *transaction, &product, Some(&broker))
            .await?
            .is_empty()
        {
            let text = format!("there is no broker `{broker}`; create it first");
            return Err(StoreError::new(StoreErrorKind::Missing, text));
        }
        let there = kept::topics(&mut *transaction, &product, Some(&broker), Some(&topic)).await?;
        if let Some(row) = there.iter().find(|row| row.version == i64::from(entry.version)) {
            let by = match row.source {
                Source::Call => "it was created",
                _ => "a program has it",
            };
            return Err(StoreError::new(
                StoreErrorKind::Exists,
                format!(
                    "there is a topic `{broker}:{topic}` in version {} already: {by}; update it, or choose another name or version",
                    entry.version
                ),
            ));
        }
        let row = new(entry, micros(now));
        kept::write_topics(&mut transaction, &product, std::slice::from_ref(&row)).await?;
        transaction.commit().await?;
        row.into_topic(&product)
    }

    /// Changes a topic in a version, or in its newest; `None` when it is not there.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn update_topic(
        &self,
        product: &str,
        (broker, topic, version): (&str, &str, Option<u32>),
        change: &TopicChange,
        now: SystemTime,
    ) -> Result<Option<Topic>> {
        let (product, broker, topic) = (clean(product), clean(broker), clean(topic));
        let mut transaction = self.begin().await?;
        let there = kept::topics(&mut *transaction, &product, Some(&broker), Some(&topic)).await?;
        let Some(mut row) = choose(there, version) else {
            return Ok(None);
        };
        let _ = apply(&mut row, change);
        // What a program says of it next is looked at again; a schema of its own is still what the next is held to.
        row.said = match (&change.schema, row.said.as_str()) {
            (Some(_), _) | (_, "") => String::new(),
            _ => SAID_SCHEMA.to_owned(),
        };
        row.updated_at = micros(now);
        kept::write_topics(&mut transaction, &product, std::slice::from_ref(&row)).await?;
        transaction.commit().await?;
        row.into_topic(&product).map(Some)
    }
}

/// The row of a version, or the newest.
fn choose(rows: Vec<TopicRow>, version: Option<u32>) -> Option<TopicRow> {
    let fits = |row: &TopicRow| version.is_none_or(|version| row.version == i64::from(version));
    rows.into_iter().rfind(fits)
}

/// The row of a topic that was not there.
pub(super) fn new(entry: &TopicEntry, now: i64) -> TopicRow {
    let topic = clean(&entry.topic).into_owned();
    let mut row = TopicRow {
        broker: clean(&entry.broker).into_owned(),
        name: topic.clone(),
        topic,
        version: i64::from(entry.version),
        description: None,
        sample: None,
        schema: None,
        queue_urls: "[]".to_owned(),
        source: entry.source,
        said: String::new(),
        created_at: now,
        updated_at: now,
    };
    let _ = apply(&mut row, &entry.says);
    row
}

/// Puts what is said into the row, and names what is different then.
pub(super) fn apply(row: &mut TopicRow, says: &TopicChange) -> Vec<&'static str> {
    let mut changed = Vec::new();
    if let Some(name) = clean_option(says.name.as_ref())
        && row.name != name
    {
        row.name = name;
        changed.push("name");
    }
    let urls = says
        .queue_urls
        .as_ref()
        .map(|urls| serde_json::json!(urls).to_string());
    if let Some(urls) = urls
        && row.queue_urls != urls
    {
        row.queue_urls = urls;
        changed.push("queue URLs");
    }
    let text = serde_json::Value::to_string;
    for (field, said, name) in [
        (
            &mut row.description,
            clean_option(says.description.as_ref()),
            "description",
        ),
        (&mut row.sample, says.sample.as_ref().map(text), "sample"),
        (&mut row.schema, says.schema.as_ref().map(text), "schema"),
    ] {
        if said.is_some() && *field != said {
            *field = said;
            changed.push(name);
        }
    }
    changed
}
