//! What `ductape-events` keeps in SQL, on SQLite and on Postgres with one behaviour: the registry of brokers and topics,
//! tracked messages and deliveries, idempotency keys, outbox and inbox, sessions.
//!
//! [`Store`] is a connected database; each room has its own handle to it. Users reach all of it through `ductape-events`.
//!
//! ```no_run
//! # async fn open() -> Result<(), ductape_store::StoreError> {
//! use ductape_store::{Store, StoreKeys, StoreUrl};
//!
//! let store = Store::open(&StoreUrl::parse("sqlite:.ductape/store.db")?, StoreKeys::none()).await?;
//! println!("keeping events in {store}");
//! # Ok(())
//! # }
//! ```
//!
//! # One code for two databases
//!
//! SQL is written once, with `$1` placeholders, in what SQLite and Postgres have in common; where they differ, the
//! dialect chooses between two texts. A statement is built of static texts and bound values only, so that
//! no value can become SQL. Times are microseconds since 1970, flags are 0 or 1.

mod dialect;
mod error;
pub mod idempotency;
pub mod inbox;
mod migrate;
mod open;
pub mod outbox;
pub mod registry;
mod seal;
pub mod sessions;
mod statement;
mod time;
pub mod tracking;
mod transaction;
mod url;

pub use error::{Result, StoreError, StoreErrorKind};
pub use open::Store;
pub use seal::StoreKeys;
pub use transaction::SqlTransaction;
pub use url::StoreUrl;
