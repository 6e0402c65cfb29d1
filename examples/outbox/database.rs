//! The program's own tables, in the database that the store is in.

use ductape_events::consumer::Inbox;
use ductape_events::prelude::*;
use sqlx::{PgPool, Row as _, SqlitePool};

use crate::{OrderPlaced, Outcome, reached};

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS example_orders (id TEXT NOT NULL PRIMARY KEY)",
    // Nothing here keeps an order from being shipped twice.
    "CREATE TABLE IF NOT EXISTS example_shipments (order_id TEXT NOT NULL)",
];
const PLACE: &str = "INSERT INTO example_orders (id) VALUES ($1)";
const SHIP: &str = "INSERT INTO example_shipments (order_id) VALUES ($1)";
const COUNT: &str = "SELECT (SELECT COUNT(*) FROM example_orders WHERE id = $1), \
                     (SELECT COUNT(*) FROM example_shipments WHERE order_id = $1)";

/// The database, of either kind.
#[derive(Clone)]
pub(crate) enum Database {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// The same for both kinds: their transactions have different types.
macro_rules! in_pool {
    ($database:expr, $pool:ident => $body:expr) => {
        match $database {
            Database::Sqlite($pool) => $body,
            Database::Postgres($pool) => $body,
        }
    };
}

impl Database {
    pub(crate) async fn open(url: &str) -> Outcome<Self> {
        let database = match url.strip_prefix("sqlite:") {
            Some(path) => Self::Sqlite(SqlitePool::connect(&format!("sqlite://{path}")).await?),
            None => Self::Postgres(PgPool::connect(url).await?),
        };
        for table in TABLES {
            in_pool!(&database, pool => { sqlx::query(table).execute(pool).await?; });
        }
        Ok(database)
    }

    /// Places an order: its row and its event, or neither.
    pub(crate) async fn place(&self, placed: &OrderPlaced, ctx: &Ductape) -> Outcome<()> {
        in_pool!(self, pool => {
            let mut transaction = pool.begin().await?;
            reached(0).await;
            sqlx::query(PLACE).bind(&placed.order).execute(&mut *transaction).await?;
            reached(1).await;
            placed.produce_in(&mut transaction, ctx).await?;
            reached(2).await;
            transaction.commit().await?;
        });
        reached(3).await;
        Ok(())
    }

    /// Ships an order, unless that was done.
    pub(crate) async fn ship(&self, placed: &OrderPlaced, inbox: &Inbox) -> Outcome<()> {
        in_pool!(self, pool => {
            let mut transaction = pool.begin().await?;
            if inbox.first(&mut transaction).await? {
                sqlx::query(SHIP).bind(&placed.order).execute(&mut *transaction).await?;
                reached(5).await;
                transaction.commit().await?;
            }
        });
        reached(6).await;
        Ok(())
    }

    /// How many rows and how many shipments an order has.
    pub(crate) async fn count(&self, order: &str) -> Outcome<(i64, i64)> {
        in_pool!(self, pool => {
            let row = sqlx::query(COUNT).bind(order).fetch_one(pool).await?;
            Ok((row.try_get(0)?, row.try_get(1)?))
        })
    }
}
