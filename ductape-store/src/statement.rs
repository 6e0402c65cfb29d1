//! A statement in the making: static texts and bound values, so that no value can become SQL.

use sqlx::any::{Any, AnyArguments, AnyQueryResult, AnyRow};
use sqlx::{Arguments as _, AssertSqlSafe, Encode, Executor, Type};

use crate::dialect::Dialect;
use crate::error::{Result, StoreError, StoreErrorKind};

/// A statement in the making.
#[derive(Default)]
pub(crate) struct Statement {
    sql: String,
    arguments: AnyArguments,
    /// Placeholders are `?`. SQLite looks through all names of placeholders for each, which takes long when there are thousands.
    nameless: bool,
    /// The first value that did not encode.
    failed: Option<String>,
}

impl Statement {
    pub(crate) fn new(text: &'static str) -> Self {
        let mut statement = Self::default();
        statement.text(text);
        statement
    }

    /// For thousands of values.
    pub(crate) fn bulk(dialect: Dialect, text: &'static str) -> Self {
        let mut statement = Self {
            nameless: dialect == Dialect::Sqlite,
            ..Self::default()
        };
        statement.text(text);
        statement
    }

    /// Adds SQL.
    pub(crate) fn text(&mut self, text: &'static str) -> &mut Self {
        self.sql.push_str(text);
        self
    }

    /// Adds a placeholder with its value.
    pub(crate) fn bind<'t, T>(&mut self, value: T) -> &mut Self
    where
        T: Encode<'t, Any> + Type<Any>,
    {
        if let Err(error) = self.arguments.add(value) {
            self.failed.get_or_insert(error.to_string());
        }
        if self.nameless {
            self.sql.push('?');
        } else {
            self.sql.push('$');
            self.sql.push_str(&self.arguments.len().to_string());
        }
        self
    }

    /// Adds `(…), (…)`: what `row` writes for each of `rows`, between its parentheses.
    pub(crate) fn rows<R>(
        &mut self,
        rows: impl IntoIterator<Item = R>,
        mut row: impl FnMut(&mut Self, R),
    ) -> &mut Self {
        let mut first = true;
        for one in rows {
            self.text(if first { "(" } else { ", (" });
            first = false;
            row(self, one);
            self.text(")");
        }
        self
    }

    /// Adds `$1, $2, …`.
    pub(crate) fn list<'t, T>(&mut self, values: impl IntoIterator<Item = T>) -> &mut Self
    where
        T: Encode<'t, Any> + Type<Any>,
    {
        for (at, value) in values.into_iter().enumerate() {
            if at > 0 {
                self.text(", ");
            }
            self.bind(value);
        }
        self
    }

    fn check(&self) -> Result<()> {
        match &self.failed {
            None => Ok(()),
            Some(why) => Err(StoreError::new(
                StoreErrorKind::Invalid,
                format!("a value can't be stored: {why}"),
            )),
        }
    }

    /// Runs it.
    pub(crate) async fn execute<'c, E>(self, on: E) -> Result<AnyQueryResult>
    where
        E: Executor<'c, Database = Any>,
    {
        self.check()?;
        Ok(sqlx::query_with(AssertSqlSafe(self.sql), self.arguments)
            .execute(on)
            .await?)
    }

    /// All rows.
    pub(crate) async fn all<'c, E>(self, on: E) -> Result<Vec<AnyRow>>
    where
        E: Executor<'c, Database = Any>,
    {
        self.check()?;
        Ok(sqlx::query_with(AssertSqlSafe(self.sql), self.arguments)
            .fetch_all(on)
            .await?)
    }

    /// The first row.
    pub(crate) async fn optional<'c, E>(self, on: E) -> Result<Option<AnyRow>>
    where
        E: Executor<'c, Database = Any>,
    {
        self.check()?;
        Ok(sqlx::query_with(AssertSqlSafe(self.sql), self.arguments)
            .fetch_optional(on)
            .await?)
    }

    /// The first row of a statement that always has one.
    pub(crate) async fn one<'c, E>(self, on: E) -> Result<AnyRow>
    where
        E: Executor<'c, Database = Any>,
    {
        self.check()?;
        Ok(sqlx::query_with(AssertSqlSafe(self.sql), self.arguments)
            .fetch_one(on)
            .await?)
    }
}
