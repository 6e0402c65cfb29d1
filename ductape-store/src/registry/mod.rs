//! The registry: a product's brokers in their environments, its topics, and the groups that consume them.
//!
//! [`Registry`] answers and changes. At start-up a program [syncs](Registry::sync) what it consists of itself.

mod brokers;
mod consumers;
mod delete;
mod entry;
mod kept;
mod plan;
mod secrets;
mod sync;
mod topics;

pub use entry::{
    Broker, BrokerChange, BrokerEntry, Consumer, ConsumerEntry, Environment, EnvironmentEntry, QueueUrl,
    Source, Topic, TopicChange, TopicEntry,
};
pub use secrets::{HIDDEN, Resolved, Secrets};
pub use sync::{Changed, Own, Planned, Refused, SEEN_STEP};

use std::borrow::Cow;

use sqlx::Transaction;
use sqlx::any::Any;

use crate::dialect::Dialect;
use crate::error::Result;
use crate::open::Store;
use crate::statement::Statement;
use crate::tracking::text::without_nul;

/// The registry of a store.
#[derive(Clone, Copy, Debug)]
pub struct Registry<'a> {
    store: &'a Store,
}

impl Store {
    /// Its registry.
    pub const fn registry(&self) -> Registry<'_> {
        Registry { store: self }
    }
}

impl Registry<'_> {
    /// Begins a transaction that changes the registry, one at a time: two that each look before they write would otherwise both
    /// find nothing. Readers don't wait for it.
    async fn begin(&self) -> Result<Transaction<'static, Any>> {
        let mut transaction = self.store.begin().await?;
        if self.store.dialect() == Dialect::Postgres {
            let lock = Statement::new("LOCK TABLE ductape_brokers IN SHARE ROW EXCLUSIVE MODE");
            lock.execute(&mut *transaction).await?;
        }
        Ok(transaction)
    }
}

/// A text as it is kept, and looked for: Postgres's TEXT takes no NUL.
fn clean(text: &str) -> Cow<'_, str> {
    without_nul(text)
}

fn clean_option(text: Option<&String>) -> Option<String> {
    text.map(|text| clean(text).into_owned())
}
