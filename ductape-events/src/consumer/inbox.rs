//! Effects that happen once: in a transaction of the program's own.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ductape_providers::Incoming;
use ductape_store::SqlTransaction;
use ductape_store::inbox::{Entry, Inbox as Table};

use super::delivery::Scope;
use super::{Delivery, FromDelivery, HandlerError, Requirements};
use crate::clock;
use crate::envelope::header;
use crate::error::{BrokerError, ErrorCode};

/// How long it is known that a message was handled: longer than it can reasonably come again.
pub(crate) const INBOX_WINDOW: Duration = Duration::from_hours(7 * 24);

/// By what a message is known to the inbox. One that was sent back on purpose is another, or it would be taken for handled.
pub(crate) fn inbox_id(message: &Incoming) -> Cow<'_, str> {
    let id = message.id.to_string();
    match message.headers.get(header::REDRIVE) {
        Some(redrive) => format!("{id}~{redrive}").into(),
        None => id.into(),
    }
}

/// The inbox of the store. An extractor: a handler asks it within a transaction of its own whether it is the first to handle the
/// message. What it writes in that transaction, in the store's database, then happens exactly once, however often the message comes.
///
/// It works without `once` on the consumer, and with it; the ids of handled messages are known for 7 days. A consumer that takes an
/// `Inbox` is refused at start-up where the program has no store.
///
/// ```no_run
/// use ductape_events::prelude::*;
/// use ductape_events::consumer::Inbox;
///
/// #[topic("shop:paid", key = order)]
/// struct Paid { order: i64, cents: i64 }
///
/// #[consumer(group = "ledger")]
/// async fn book(paid: Paid, inbox: Inbox, db: State<sqlx::SqlitePool>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
///     let mut transaction = db.begin().await?;
///     if inbox.first(&mut transaction).await? {
///         let add = "UPDATE ledger SET cents = cents + ?";
///         sqlx::query(add).bind(paid.cents).execute(&mut *transaction).await?;
///         transaction.commit().await?; // the sum and that it was added, or neither
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Inbox {
    scope: Arc<Scope>,
    event: String,
    id: String,
}

impl Inbox {
    /// Notes in the transaction that the message is handled: `true` if it was not before. Another transaction with the same message
    /// waits until this one has ended.
    ///
    /// # Errors
    ///
    /// `STORE_FAILED` when the database does not answer, or is not the store's; the transaction is to be rolled back then.
    pub async fn first<T: SqlTransaction + ?Sized>(&self, transaction: &mut T) -> Result<bool, BrokerError> {
        let wiring = self.scope.context.wiring();
        let entry = Entry {
            product: &wiring.product,
            env: &wiring.environment,
            event: &self.event,
            consumer: self.scope.group.as_str(),
            message_id: &self.id,
        };
        let first = Table::first(transaction, entry, clock::wall() + INBOX_WINDOW).await;
        first.map_err(|error| {
            let text = format!(
                "the inbox can't be written in this transaction; it must be on the store's database: {error}"
            );
            BrokerError::new(ErrorCode::StoreFailed, text).with_source(error)
        })
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("event", &self.event)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl FromDelivery for Inbox {
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
        Ok(Self {
            scope: Arc::clone(&delivery.scope),
            event: delivery.message.topic.event().as_str().to_owned(),
            id: inbox_id(&delivery.message).into_owned(),
        })
    }

    fn require(requirements: &mut Requirements) {
        requirements.store = true;
    }
}
