use std::time::SystemTime;

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
    /// How long a token can be used, in units of `period`.
    pub expiry: u32,
    /// The unit of `expiry`.
    pub period: String,
    /// How long a refresh token can be used, in units of `refresh_period`.
    pub refresh_expiry: u32,
    /// The unit of `refresh_expiry`.
    pub refresh_period: String,
    /// A sample of the data, as JSON.
    pub sample: String,
    /// When it was created.
    pub created_at: SystemTime,
    /// When it was last changed.
    pub updated_at: SystemTime,
}

const COLUMNS: &str = "product, tag, name, description, selector, expiry, period, refresh_expiry, refresh_period, sample, created_at, updated_at";

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
        for (expiry, period) in [
            (config.expiry, &config.period),
            (config.refresh_expiry, &config.refresh_period),
        ] {
            insert.text(", ").bind(i64::from(expiry));
            insert.text(", ").bind(clean(period).into_owned());
        }
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
        update.text(", expiry = ").bind(i64::from(config.expiry));
        update
            .text(", period = ")
            .bind(clean(&config.period).into_owned());
        update
            .text(", refresh_expiry = ")
            .bind(i64::from(config.refresh_expiry));
        update
            .text(", refresh_period = ")
            .bind(clean(&config.refresh_period).into_owned());
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
        expiry: count(row.try_get(5)?),
        period: row.try_get(6)?,
        refresh_expiry: count(row.try_get(7)?),
        refresh_period: row.try_get(8)?,
        sample: row.try_get(9)?,
        created_at: from_micros(row.try_get(10)?),
        updated_at: from_micros(row.try_get(11)?),
    })
}

fn count(kept: i64) -> u32 {
    u32::try_from(kept).unwrap_or_default()
}
