//! Everything about a product's brokers in one place: what [`Ductape::brokers`] answers.

use ductape_providers::connection::ConnectionReport;
use ductape_store::tracking::{BrokerFilter, Event, EventFilter, EventPage, EventStats};
use serde_json::Value;

use super::messages::{Messages, own, refused};
use crate::consumer::HandlerError;
use crate::error::{BrokerError, ErrorCode};
use crate::produce::{self, IdempotencyKey, KnownKey, ProduceReceipt};
use crate::registry::{Broker, Messaging, RegisteredTopic};
use crate::runtime::Ductape;

/// A product's brokers: what is published and consumed by name, and the history of it.
///
/// ```standalone_crate
/// use ductape_events::prelude::*;
/// use ductape_events::store::StoreUrl;
/// use ductape_events::store::tracking::EventFilter;
///
/// #[topic("order-events:order-created", key = order_id)]
/// struct OrderCreated { order_id: String }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), BrokerError> {
/// let builder = Ductape::builder().in_process().environment("prd").store(StoreUrl::memory());
/// let ductape = builder.build().await?;
/// let receipt = OrderCreated { order_id: "A-1".into() }.produce(ductape.context()).await?;
///
/// let event = ductape.brokers().get_event(&receipt.process_id.to_string()).await?;
/// assert_eq!(event.event, "order-events:order-created");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Brokers<'a> {
    pub(super) messaging: Messaging<'a>,
}

impl Ductape {
    /// The product's brokers, and the history of their messages.
    pub fn brokers(&self) -> Brokers<'_> {
        Brokers {
            messaging: self.messaging(),
        }
    }
}

impl Brokers<'_> {
    pub(super) fn ductape(&self) -> &Ductape {
        self.messaging.ductape
    }

    pub(super) fn messages(&self) -> Messages<'_> {
        self.messaging.messages()
    }

    /// Publishes an event by its name, as [`Messaging::produce`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Messaging::produce`].
    pub async fn publish(&self, event: &str, message: &Value) -> Result<ProduceReceipt, BrokerError> {
        self.messaging.produce(event, message).await
    }

    /// Publishes an event by its name, unless `key` was used for it.
    ///
    /// # Errors
    ///
    /// Those of [`publish`](Self::publish), `IDEMPOTENCY_CONFLICT` when the key was used for another payload, and
    /// `PUBLISH_IDEMPOTENT_FAILED`.
    pub async fn publish_idempotent(
        &self,
        event: &str,
        message: &Value,
        key: impl Into<IdempotencyKey>,
    ) -> Result<ProduceReceipt, BrokerError> {
        produce::idempotent_json(event, message, key.into(), self.ductape().context()).await
    }

    /// What is known of an idempotency key; `None` for one that was never used, or whose time is over.
    ///
    /// # Errors
    ///
    /// `CHECK_IDEMPOTENCY_FAILED`, `STORE_FAILED`.
    pub async fn check_idempotency(&self, key: &str) -> Result<Option<KnownKey>, BrokerError> {
        produce::check(key, self.ductape().context()).await
    }

    /// Consumes a topic by its name, as [`Messaging::consume`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Messaging::consume`].
    pub async fn subscribe<F, Fut>(&self, event: &str, callback: F) -> Result<(), BrokerError>
    where
        F: Fn(Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        self.messaging.consume(event, callback).await
    }

    /// The brokers of the registry.
    ///
    /// # Errors
    ///
    /// `STORE_FAILED`.
    pub async fn get_brokers(&self) -> Result<Vec<Broker>, BrokerError> {
        self.messaging.list().await
    }

    /// A broker of the registry.
    ///
    /// # Errors
    ///
    /// `BROKER_NOT_FOUND`, `STORE_FAILED`.
    pub async fn get_broker(&self, tag: &str) -> Result<Broker, BrokerError> {
        let found = self.messaging.fetch(tag).await?;
        found.ok_or_else(|| {
            let text = format!("no broker `{}` is registered", tag.escape_debug());
            BrokerError::new(ErrorCode::BrokerNotFound, text)
        })
    }

    /// The topics of a broker.
    ///
    /// # Errors
    ///
    /// Those of [`Topics::list`](crate::registry::Topics::list).
    pub async fn get_topics(&self, broker_tag: &str) -> Result<Vec<RegisteredTopic>, BrokerError> {
        self.messaging.topics().list(broker_tag).await
    }

    /// A topic of the registry.
    ///
    /// # Errors
    ///
    /// `TOPIC_NOT_FOUND`, and those of [`Topics::fetch`](crate::registry::Topics::fetch).
    pub async fn get_topic(&self, event: &str) -> Result<RegisteredTopic, BrokerError> {
        let found = self.messaging.topics().fetch(event).await?;
        found.ok_or_else(|| {
            let text = format!("no topic `{}` is registered", event.escape_debug());
            BrokerError::new(ErrorCode::TopicNotFound, text)
        })
    }

    /// Tries to connect to a broker of this environment, step by step.
    ///
    /// # Errors
    ///
    /// `BROKER_NOT_FOUND`, `CONFIG_INVALID`; what is wrong with the connection is in the report.
    pub async fn test_connection(&self, broker_tag: &str) -> Result<ConnectionReport, BrokerError> {
        let reports = self.ductape().test_connections().await?;
        let found = reports.into_iter().find(|(tag, _)| tag == broker_tag);
        found.map(|(_, report)| report).ok_or_else(|| {
            let text = format!("this program has no broker `{}`", broker_tag.escape_debug());
            BrokerError::new(ErrorCode::BrokerNotFound, text)
        })
    }

    /// A page of events, newest first. Where the filter names no product and no environment, the program's own are meant.
    ///
    /// # Errors
    ///
    /// `CONFIG_INVALID` for a page, a limit or dates that can't be, `GET_EVENTS_FAILED`, `STORE_FAILED` without a store.
    pub async fn get_events(&self, filter: &EventFilter) -> Result<EventPage, BrokerError> {
        let messages = self.messages();
        let tracking = messages.tracking().await?;
        let answer = tracking.events(&own!(messages, filter)).await;
        answer.map_err(|error| refused("the events can't be listed", error).coded(ErrorCode::GetEventsFailed))
    }

    /// One event of the product: the newest of this id.
    ///
    /// # Errors
    ///
    /// `EVENT_NOT_FOUND`, `GET_EVENT_FAILED`, `STORE_FAILED` without a store.
    pub async fn get_event(&self, event_id: &str) -> Result<Event, BrokerError> {
        let tracking = self.messages().tracking().await?;
        let answer = tracking.event(&self.messaging.product, event_id).await;
        let found = answer
            .map_err(|error| refused("the event can't be read", error).coded(ErrorCode::GetEventFailed))?;
        found.ok_or_else(|| not_found(event_id))
    }

    /// The numbers of a broker's events.
    ///
    /// # Errors
    ///
    /// `GET_EVENTS_FAILED`, `STORE_FAILED` without a store.
    pub async fn get_event_stats(&self, filter: &BrokerFilter) -> Result<EventStats, BrokerError> {
        let messages = self.messages();
        let tracking = messages.tracking().await?;
        let answer = tracking.event_stats(&own!(messages, filter)).await;
        answer
            .map_err(|error| refused("the events can't be counted", error).coded(ErrorCode::GetEventsFailed))
    }
}

pub(super) fn not_found(event_id: &str) -> BrokerError {
    let text = format!("no event {event_id:?} is known in this environment");
    BrokerError::new(ErrorCode::EventNotFound, text)
}
