//! Asking for the history.

use std::time::Duration;

use ductape_store::tracking::{
    BrokerFilter, ConsumerFilter, ConsumerPage, Dashboard, DeadLetterFilter, DeadLetterGroup, DeadLetterPage,
    Message, MessageFilter, MessagePage, ProducerFilter, ProducerPage, Stats, Tracking,
};
use ductape_store::{StoreError, StoreErrorKind};

use crate::clock;
use crate::delivery::pace::Pace;
use crate::error::{BrokerError, ErrorCode};
use crate::registry::Messaging;
use crate::tracking::redeliver::{Kept, redeliver};

/// How long a question waits for what was told before it to be written.
const FLUSH: Duration = Duration::from_secs(2);

/// The messages of a product: what [`Messaging::messages`] answers.
///
/// Where a filter names no product and no environment, the program's own are meant. Pages are counted from 1, and have 1 to 1,000
/// entries, 20 by default. A question sees all that this program told before it, as long as the store takes it within 2 s; what other
/// programs tell is there a moment later.
///
/// ```standalone_crate
/// use ductape_events::prelude::*;
/// use ductape_events::store::StoreUrl;
/// use ductape_events::store::tracking::MessageFilter;
///
/// #[topic("order-events:order-created", key = order_id)]
/// struct OrderCreated { order_id: String }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), BrokerError> {
/// let builder = Ductape::builder().in_process().environment("prd").store(StoreUrl::memory());
/// let ductape = builder.build().await?;
/// OrderCreated { order_id: "A-1".into() }.produce(ductape.context()).await?;
///
/// let filter = MessageFilter { broker_tag: "order-events".into(), ..MessageFilter::default() };
/// let page = ductape.messaging().messages().query(&filter).await?;
/// assert_eq!(page.messages.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    pub(super) messaging: Messaging<'a>,
}

/// Puts the program's own product and environment where a filter names none.
macro_rules! own {
    ($self:ident, $filter:ident) => {{
        let mut filter = $filter.clone();
        if filter.product.is_empty() {
            filter.product.clone_from(&$self.messaging.product);
        }
        if filter.env.is_empty() {
            filter.env = $self.messaging.ductape.context().environment().to_owned();
        }
        filter
    }};
}

pub(super) use own;

impl<'a> Messages<'a> {
    pub(crate) fn new(messaging: Messaging<'a>) -> Self {
        Self { messaging }
    }

    pub(super) async fn tracking(&self) -> Result<Tracking, BrokerError> {
        let wiring = self.messaging.ductape.context().wiring();
        let store = wiring.store("the history of messages")?;
        if let Some(recorder) = wiring.recorder() {
            recorder.flushed(clock::after(FLUSH)).await;
        }
        Ok(store.tracking())
    }

    /// A page of messages with what each consumer did, newest first.
    ///
    /// # Errors
    ///
    /// `CONFIG_INVALID` for a page, a limit or dates that can't be; `STORE_FAILED`, also when the program has no store.
    pub async fn query(&self, filter: &MessageFilter) -> Result<MessagePage, BrokerError> {
        let answer = self.tracking().await?.messages(&own!(self, filter)).await;
        answer.map_err(|error| refused("the messages can't be listed", error))
    }

    /// One message of the program's environment, by its id; `None` when there is none.
    ///
    /// # Errors
    ///
    /// `STORE_FAILED`.
    pub async fn get(&self, message_id: &str) -> Result<Option<Message>, BrokerError> {
        let env = self.messaging.ductape.context().environment();
        let tracking = self.tracking().await?;
        let answer = tracking
            .message(&self.messaging.product, Some(env), message_id)
            .await;
        answer.map_err(|error| refused("the message can't be read", error))
    }

    /// Gives a message to a consumer group anew that has failed at it for good, and to no other: as the dead letter that its broker
    /// has, or as a copy of what the store keeps. Of two that ask at once, one does.
    ///
    /// # Errors
    ///
    /// `EVENT_NOT_FOUND` when there is no such message, or the group never had it; `CONFIG_INVALID` when the group has not failed at it
    /// for good; `REPLAY_EVENT_FAILED` when it could not be sent, after which it counts as failed again; `STORE_FAILED`.
    pub async fn retry(&self, message_id: &str, consumer_tag: &str) -> Result<Message, BrokerError> {
        let ductape = self.messaging.ductape;
        let env = ductape.context().environment();
        let tracking = self.tracking().await?;
        let marked = tracking
            .retry(
                &self.messaging.product,
                env,
                message_id,
                consumer_tag,
                clock::wall(),
            )
            .await
            .map_err(|error| refused("the message can't be retried", error))?;
        let delivery = marked
            .consumer_deliveries
            .iter()
            .find(|delivery| delivery.consumer_tag == consumer_tag);
        let kept = Kept {
            message_id: message_id.to_owned(),
            payload: marked.payload.clone(),
            key: marked.key.clone(),
            metadata: marked.metadata.clone(),
            redrive: delivery.map_or(1, |delivery| delivery.redrive_count),
        };
        let redrive = kept.redrive;
        let (messaging, pace) = (&self.messaging, &mut Pace::unlimited());
        let why = match redeliver(messaging, &marked.event, consumer_tag, vec![kept], pace).await {
            Ok(done) if done.errors.is_empty() => return Ok(marked),
            Ok(done) => done.errors.join("; "),
            Err(error) => error.to_string(),
        };
        if let Some(recorder) = ductape.context().wiring().recorder() {
            recorder.not_given(&marked, consumer_tag, redrive, &why);
        }
        let text = format!("message {message_id:?} was not given to `{consumer_tag}`: {why}");
        Err(BrokerError::new(ErrorCode::ReplayEventFailed, text))
    }

    /// Marks all deliveries of a message that have not finished as failed, with `error`. What is recorded of later attempts holds again.
    ///
    /// # Errors
    ///
    /// `EVENT_NOT_FOUND` when there is no such message, `CONFIG_INVALID` when nothing of it is pending, `STORE_FAILED`.
    pub async fn fail(&self, message_id: &str, error: &str) -> Result<Message, BrokerError> {
        let env = self.messaging.ductape.context().environment();
        let tracking = self.tracking().await?;
        let answer = tracking
            .fail(&self.messaging.product, env, message_id, error, clock::wall())
            .await;
        answer.map_err(|error| refused("the message can't be failed", error))
    }

    /// A page of producers, most recently active first.
    ///
    /// # Errors
    ///
    /// Those of [`query`](Self::query).
    pub async fn producers(&self, filter: &ProducerFilter) -> Result<ProducerPage, BrokerError> {
        let tracking = self.tracking().await?;
        let answer = tracking.producers(&own!(self, filter), clock::wall()).await;
        answer.map_err(|error| refused("the producers can't be listed", error))
    }

    /// A page of consumers, most recently active first.
    ///
    /// # Errors
    ///
    /// Those of [`query`](Self::query).
    pub async fn consumers(&self, filter: &ConsumerFilter) -> Result<ConsumerPage, BrokerError> {
        let tracking = self.tracking().await?;
        let answer = tracking.consumers(&own!(self, filter), clock::wall()).await;
        answer.map_err(|error| refused("the consumers can't be listed", error))
    }

    /// A page of dead letters, newest first.
    ///
    /// # Errors
    ///
    /// Those of [`query`](Self::query).
    pub async fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<DeadLetterPage, BrokerError> {
        let tracking = self.tracking().await?;
        let answer = tracking.dead_letters(&own!(self, filter), clock::wall()).await;
        answer.map_err(|error| refused("the dead letters can't be listed", error))
    }

    /// The dead letters that wait for an operator by how they failed, most first: those of one topic and group whose errors differ in
    /// numbers and ids alone are one group. At most 1,000; a group's fingerprint is a [filter](DeadLetterFilter::fingerprint).
    ///
    /// # Errors
    ///
    /// `CONFIG_INVALID` without a broker; `STORE_FAILED`.
    pub async fn dead_letter_groups(
        &self,
        filter: &BrokerFilter,
    ) -> Result<Vec<DeadLetterGroup>, BrokerError> {
        let answer = self
            .tracking()
            .await?
            .dead_letter_groups(&own!(self, filter))
            .await;
        answer.map_err(|error| refused("the dead letters can't be grouped", error))
    }

    /// The numbers of a broker.
    ///
    /// # Errors
    ///
    /// `STORE_FAILED`.
    pub async fn stats(&self, filter: &BrokerFilter) -> Result<Stats, BrokerError> {
        let answer = self.tracking().await?.stats(&own!(self, filter)).await;
        answer.map_err(|error| refused("the numbers can't be read", error))
    }

    /// A broker at a glance.
    ///
    /// # Errors
    ///
    /// `STORE_FAILED`.
    pub async fn dashboard(&self, filter: &BrokerFilter) -> Result<Dashboard, BrokerError> {
        let tracking = self.tracking().await?;
        let answer = tracking.dashboard(&own!(self, filter), clock::wall()).await;
        answer.map_err(|error| refused("the dashboard can't be read", error))
    }
}

/// What the store answers; what it refuses speaks for itself.
pub(super) fn refused(what: &str, error: StoreError) -> BrokerError {
    match error.kind() {
        StoreErrorKind::Invalid => BrokerError::new(ErrorCode::ConfigInvalid, error.to_string()),
        StoreErrorKind::Missing => BrokerError::new(ErrorCode::EventNotFound, error.to_string()),
        _ => BrokerError::from_store(what, error),
    }
}
