use std::time::{Duration, SystemTime};

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{Sessions, clean};
use crate::error::Result;
use crate::statement::Statement;
use crate::time::{from_micros, micros};

/// A kind of session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The product.
    pub product: String,
    /// What it is called by.
    pub tag: String,
    /// Its name, for people.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The field of the data that names the user.
    pub selector: String,
    /// How long a token can be used, to the microsecond.
    pub token_life: Duration,
    /// How long a refresh token can be used, to the microsecond.
    pub refresh_life: Duration,
    /// A sample of the data, as JSON.
    pub sample: String,
    /// When it was created.
    pub created_at: SystemTime,
    /// When it was last changed.
    pub updated_at: SystemTime,
}

const COLUMNS: &str =
    "product, tag, name, description, selector, token_micros, refresh_micros, sample, created_at, updated_at";

impl Sessions<'_> {
    /// Keeps a new configuration.
    ///
    /// # Errors
    ///
    /// [`Exists`](crate::StoreErrorKind::Exists) when the product has one of this tag, and those of the database.
    pub async fn create(&self, config: &Config) -> Result<()> {
        let mut insert = Statement::new("INSERT INTO ductape_session_configs (");
        insert.text(COLUMNS).text(") VALUES (");
        insert.list(
            [clean(&config.product), clean(&config.tag), clean(&config.name)]
                .map(std::borrow::Cow::into_owned),
        );
        insert
            .text(", ")
            .bind(config.description.as_deref().map(|text| clean(text).into_owned()));
        insert.text(", ").bind(clean(&config.selector).into_owned());
        insert
            .text(", ")
            .list([to_micros(config.token_life), to_micros(config.refresh_life)]);
        insert.text(", ").bind(clean(&config.sample).into_owned());
        insert
            .text(", ")
            .list([micros(config.created_at), micros(config.updated_at)])
            .text(")");
        insert.execute(self.store.writer()).await?;
        Ok(())
    }

    /// Puts `config` in place of the one that was last changed at `seen`; `false` when it was changed since, or is not there.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn replace(&self, config: &Config, seen: SystemTime) -> Result<bool> {
        let mut update = Statement::new("UPDATE ductape_session_configs SET name = ");
        update.bind(clean(&config.name).into_owned());
        update
            .text(", description = ")
            .bind(config.description.as_deref().map(|text| clean(text).into_owned()));
        update
            .text(", selector = ")
            .bind(clean(&config.selector).into_owned());
        update
            .text(", token_micros = ")
            .bind(to_micros(config.token_life));
        update
            .text(", refresh_micros = ")
            .bind(to_micros(config.refresh_life));
        update
            .text(", sample = ")
            .bind(clean(&config.sample).into_owned());
        update.text(", updated_at = ").bind(micros(config.updated_at));
        of_tag(update.text(" WHERE "), &config.product, &config.tag);
        update.text(" AND updated_at = ").bind(micros(seen));
        Ok(update.execute(self.store.writer()).await?.rows_affected() == 1)
    }

    /// The configuration of this tag.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn config(&self, product: &str, tag: &str) -> Result<Option<Config>> {
        let mut select = Statement::new("SELECT ");
        select.text(COLUMNS).text(" FROM ductape_session_configs WHERE ");
        of_tag(&mut select, product, tag);
        let row = select.optional(self.store.reader()).await?;
        row.as_ref().map(read).transpose()
    }

    /// All configurations of a product, by tag.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn configs(&self, product: &str) -> Result<Vec<Config>> {
        let mut select = Statement::new("SELECT ");
        select
            .text(COLUMNS)
            .text(" FROM ductape_session_configs WHERE product = ")
            .bind(clean(product).into_owned())
            .text(" ORDER BY tag");
        let rows = select.all(self.store.reader()).await?;
        rows.iter().map(read).collect()
    }
}

fn of_tag(statement: &mut Statement, product: &str, tag: &str) {
    statement.text("product = ").bind(clean(product).into_owned());
    statement.text(" AND tag = ").bind(clean(tag).into_owned());
}

fn read(row: &AnyRow) -> Result<Config> {
    Ok(Config {
        product: row.try_get(0)?,
        tag: row.try_get(1)?,
        name: row.try_get(2)?,
        description: row.try_get(3)?,
        selector: row.try_get(4)?,
        token_life: from_kept(row.try_get(5)?),
        refresh_life: from_kept(row.try_get(6)?),
        sample: row.try_get(7)?,
        created_at: from_micros(row.try_get(8)?),
        updated_at: from_micros(row.try_get(9)?),
    })
}

fn to_micros(life: Duration) -> i64 {
    i64::try_from(life.as_micros()).unwrap_or(i64::MAX)
}

fn from_kept(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}
