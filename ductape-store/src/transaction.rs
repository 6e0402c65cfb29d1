//! Transactions of the program's own, on the database that the store is in.

use futures_util::future::BoxFuture;
use sqlx::Database;

use crate::error::Result;

/// A transaction, or a connection, of `sqlx` on SQLite or Postgres, which the outbox and the inbox can write in.
pub trait SqlTransaction: sealed::Sealed + Send {
    /// Runs one statement, and says how many rows it changed.
    #[doc(hidden)]
    fn execute<'a>(&'a mut self, sql: &'static str, values: Vec<SqlValue>) -> BoxFuture<'a, Result<u64>>;
}

/// A value of a statement.
#[doc(hidden)]
#[derive(Debug)]
pub enum SqlValue {
    /// Text.
    Text(String),
    /// Bytes, or none.
    Bytes(Option<Vec<u8>>),
    /// A number.
    Integer(i64),
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! transactions {
    ($($feature:literal $database:ty, $connection:ty);*) => {$(
        #[cfg(feature = $feature)]
        impl sealed::Sealed for $connection {}
        #[cfg(feature = $feature)]
        impl SqlTransaction for $connection {
            fn execute<'a>(&'a mut self, sql: &'static str, values: Vec<SqlValue>) -> BoxFuture<'a, Result<u64>> {
                Box::pin(async move {
                    let mut query = sqlx::query::<$database>(sql);
                    for value in values {
                        query = match value {
                            SqlValue::Text(text) => query.bind(text),
                            SqlValue::Bytes(bytes) => query.bind(bytes),
                            SqlValue::Integer(integer) => query.bind(integer),
                        };
                    }
                    Ok(query.execute(self).await?.rows_affected())
                })
            }
        }
    )*};
}

transactions! {
    "sqlite" sqlx::Sqlite, sqlx::SqliteConnection;
    "postgres" sqlx::Postgres, sqlx::PgConnection
}

impl<D: Database> sealed::Sealed for sqlx::Transaction<'_, D> {}

impl<D> SqlTransaction for sqlx::Transaction<'_, D>
where
    D: Database,
    D::Connection: SqlTransaction,
{
    fn execute<'a>(&'a mut self, sql: &'static str, values: Vec<SqlValue>) -> BoxFuture<'a, Result<u64>> {
        SqlTransaction::execute(&mut **self, sql, values)
    }
}
