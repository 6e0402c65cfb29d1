//! Brokers, one by one.

use std::borrow::Cow;
use std::time::SystemTime;

use sqlx::AnyConnection;

use super::entry::{Broker, BrokerChange, BrokerEntry, EnvironmentEntry, Source};
use super::kept::{self, BrokerRow, EnvironmentRow};
use super::secrets::{Resolved, Secrets, row};
use super::{Registry, clean, clean_option};
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::seal::StoreKeys;
use crate::statement::Statement;
use crate::time::micros;

impl Registry<'_> {
    /// The brokers of a product, in the order of their tags.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn brokers(&self, product: &str) -> Result<Vec<Broker>> {
        let product = clean(product);
        let brokers = kept::brokers(self.store.reader(), &product, None).await?;
        let environments = kept::environments(self.store.reader(), &product, None).await?;
        let broker = |row: BrokerRow| row.into_broker(&product, &environments);
        brokers.into_iter().map(broker).collect()
    }

    /// A broker.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn broker(&self, product: &str, tag: &str) -> Result<Option<Broker>> {
        let mut connection = self.store.reader().acquire().await?;
        read(&mut connection, &clean(product), &clean(tag)).await
    }

    /// What a broker is in an environment, secrets included.
    ///
    /// # Errors
    ///
    /// [`Damaged`](StoreErrorKind::Damaged) when its secrets are sealed with a key that is not given, and those of the database.
    pub async fn resolve(&self, product: &str, tag: &str, slug: &str) -> Result<Option<Resolved>> {
        let (product, tag, slug) = (clean(product), clean(tag), clean(slug));
        let rows = kept::environments(self.store.reader(), &product, Some(&tag)).await?;
        let Some(found) = rows.into_iter().find(|row| row.slug == slug) else {
            return Ok(None);
        };
        let secrets = Secrets::open(&found.sealed, self.store.keys(), &row(&product, &tag, &slug))?;
        Ok(Some(Resolved::new(
            found.kind,
            kept::json(&found.config)?,
            secrets,
        )))
    }

    /// Puts a broker in. One that is there only because a program has topics of it is taken over.
    ///
    /// # Errors
    ///
    /// [`Exists`](StoreErrorKind::Exists) when there is one of this tag, [`Invalid`](StoreErrorKind::Invalid) when it has secrets
    /// and the store has no key, and those of the database.
    pub async fn create_broker(&self, product: &str, entry: &BrokerEntry, now: SystemTime) -> Result<Broker> {
        let (product, tag) = (clean(product), clean(&entry.tag));
        check_secrets(self.store.keys(), &entry.envs)?;
        let mut transaction = self.begin().await?;
        let there = kept::brokers(&mut *transaction, &product, Some(&tag))
            .await?
            .pop();
        match &there {
            Some(row) if row.source == Source::Program => {
                let mut delete = Statement::new("DELETE FROM ductape_environments WHERE product = ");
                delete.bind(&*product).text(" AND broker = ").bind(&*tag);
                delete.execute(&mut *transaction).await?;
            }
            Some(row) => {
                let by = match row.source {
                    Source::File => "a program's configuration file names it",
                    _ => "it was created",
                };
                return Err(StoreError::new(
                    StoreErrorKind::Exists,
                    format!("there is a broker `{tag}` already: {by}; update it, or choose another tag"),
                ));
            }
            None => {}
        }
        let now = micros(now);
        let broker = BrokerRow {
            tag: tag.clone().into_owned(),
            name: clean_option(entry.name.as_ref()).unwrap_or_else(|| tag.clone().into_owned()),
            description: clean_option(entry.description.as_ref()),
            source: entry.source,
            said: String::new(),
            created_at: there.map_or(now, |row| row.created_at),
            updated_at: now,
        };
        kept::write_brokers(&mut transaction, &product, &[broker]).await?;
        let environments = rows(&product, &tag, &entry.envs, self.store.keys(), now)?;
        kept::write_environments(&mut transaction, &product, &environments).await?;
        let broker = read(&mut transaction, &product, &tag).await?;
        transaction.commit().await?;
        broker.ok_or_else(not_written)
    }

    /// Changes a broker; `None` when there is none of this tag.
    ///
    /// # Errors
    ///
    /// [`Invalid`](StoreErrorKind::Invalid) when there are secrets and the store has no key, or when no environment would be left,
    /// and those of the database.
    pub async fn update_broker(
        &self,
        product: &str,
        tag: &str,
        change: &BrokerChange,
        now: SystemTime,
    ) -> Result<Option<Broker>> {
        let (product, tag) = (clean(product), clean(tag));
        check_secrets(self.store.keys(), &change.envs)?;
        let mut transaction = self.begin().await?;
        let Some(mut broker) = kept::brokers(&mut *transaction, &product, Some(&tag))
            .await?
            .pop()
        else {
            return Ok(None);
        };
        let now = micros(now);
        broker.name = clean_option(change.name.as_ref()).unwrap_or(broker.name);
        broker.description = clean_option(change.description.as_ref()).or(broker.description);
        // What a program says of it next is looked at again.
        broker.said.clear();
        broker.updated_at = now;
        if broker.source == Source::Program && !change.envs.is_empty() {
            broker.source = Source::Call;
        }
        kept::write_brokers(&mut transaction, &product, &[broker]).await?;
        let mut environments = rows(&product, &tag, &change.envs, self.store.keys(), now)?;
        let there = kept::environments(&mut *transaction, &product, Some(&tag)).await?;
        for row in &mut environments {
            let before = there.iter().find(|before| before.slug == row.slug);
            row.created_at = before.map_or(now, |before| before.created_at);
        }
        kept::write_environments(&mut transaction, &product, &environments).await?;
        for slug in &change.without_envs {
            let mut delete = Statement::new("DELETE FROM ductape_environments WHERE product = ");
            delete.bind(&*product).text(" AND broker = ").bind(&*tag);
            delete.text(" AND slug = ").bind(&*clean(slug));
            delete.execute(&mut *transaction).await?;
        }
        let broker = read(&mut transaction, &product, &tag)
            .await?
            .ok_or_else(not_written)?;
        if broker.envs.is_empty() && !change.without_envs.is_empty() {
            let text =
                format!("broker `{tag}` would have no environment left; delete the broker, or leave it one");
            return Err(StoreError::new(StoreErrorKind::Invalid, text));
        }
        transaction.commit().await?;
        Ok(Some(broker))
    }
}

async fn read(on: &mut AnyConnection, product: &str, tag: &str) -> Result<Option<Broker>> {
    let Some(broker) = kept::brokers(&mut *on, product, Some(tag)).await?.pop() else {
        return Ok(None);
    };
    let environments = kept::environments(&mut *on, product, Some(tag)).await?;
    broker.into_broker(product, &environments).map(Some)
}

/// Refuses secrets that could only be kept as they are.
fn check_secrets(keys: &StoreKeys, environments: &[EnvironmentEntry]) -> Result<()> {
    if keys.is_sealing() {
        return Ok(());
    }
    let named = |environment: &EnvironmentEntry| {
        let of = |pointer: &str| format!("`{}` of environment `{}`", key(pointer), environment.slug);
        environment.secrets.pointers().map(of).collect::<Vec<_>>()
    };
    let found: Vec<String> = environments.iter().flat_map(named).collect();
    if found.is_empty() {
        return Ok(());
    }
    let (is, it) = if found.len() == 1 {
        ("is a secret", "it")
    } else {
        ("are secrets", "them")
    };
    Err(StoreError::new(
        StoreErrorKind::Invalid,
        format!(
            "{} {is}, and the store has no key to seal {it} with: write `${{VARIABLE}}` in place of {it}, or set the variable \
             `DUCTAPE_STORE_KEY` (`openssl rand -base64 32`)",
            found.join(", ")
        ),
    ))
}

/// A JSON pointer as people write it: `sasl.password`.
fn key(pointer: &str) -> Cow<'_, str> {
    let pointer = pointer.trim_start_matches('/');
    if pointer.contains(['/', '~']) {
        return Cow::Owned(pointer.replace('/', ".").replace("~1", "/").replace("~0", "~"));
    }
    Cow::Borrowed(pointer)
}

/// Environments as they are kept.
pub(super) fn rows(
    product: &str,
    broker: &str,
    environments: &[EnvironmentEntry],
    keys: &StoreKeys,
    now: i64,
) -> Result<Vec<EnvironmentRow>> {
    let kept = |environment: &EnvironmentEntry| {
        let slug = clean(&environment.slug).into_owned();
        let sealed = environment.secrets.seal(keys, &row(product, broker, &slug))?;
        Ok(EnvironmentRow {
            broker: broker.to_owned(),
            slug,
            kind: clean(&environment.kind).into_owned(),
            config: environment.config.to_string(),
            sealed,
            said: String::new(),
            created_at: now,
            updated_at: now,
        })
    };
    environments.iter().map(kept).collect()
}

pub(super) fn not_written() -> StoreError {
    StoreError::new(StoreErrorKind::Failed, "what was written is not there")
}
