//! Answering questions.

mod actors;
mod dead_letters;
mod events;
mod in_order;
mod load;
mod page;
mod scope;
mod snapshot;
mod source;
mod stats;

use std::fmt;
use std::time::SystemTime;

use sqlx::{Any, Transaction};

use self::page::{Found, PageSpec};
use self::scope::Scope;
use super::answer::{
    ConsumerPage, Dashboard, DeadLetterGroup, DeadLetterPage, Event, EventPage, EventStats, Message,
    MessagePage, ProducerPage, Stats,
};
use super::code::states_of;
use super::filter::{
    BrokerFilter, ConsumerFilter, DeadLetterFilter, EventFilter, MessageFilter, ProducerFilter,
};
use super::names::Kind;
use crate::error::Result;
use crate::open::Store;

pub use self::in_order::{Step, Walked};

pub(super) use self::dead_letters::load as load_dead_letters;
pub(super) use self::load::{Loaded, by_id, load, messages as show_messages};
pub(super) use self::scope::{invalid, tags};

/// Answers questions about what was recorded, and marks what operators do.
///
/// Names that nothing was recorded of have empty pages and zeros. What can't be asked (an empty product, environment or broker, page
/// 0, a limit of 0 or over 1,000, a start date after the end date, a snapshot that is none) is
/// [`Invalid`](crate::StoreErrorKind::Invalid); all other errors are those of the store.
#[derive(Clone)]
pub struct Tracking {
    pub(super) store: Store,
}

impl Store {
    /// Tracked messages.
    pub fn tracking(&self) -> Tracking {
        Tracking { store: self.clone() }
    }
}

impl Tracking {
    /// A page of messages, newest first.
    pub async fn messages(&self, filter: &MessageFilter) -> Result<MessagePage> {
        let spec = PageSpec {
            page: filter.page,
            limit: filter.limit,
            snapshot: filter.snapshot.as_ref(),
        };
        spec.check()?;
        let (from, until) = scope::between(filter.start_date, filter.end_date)?;
        let mut reading = self.read().await?;
        let connection = &mut *reading;
        let broker = scope::broker(connection, &filter.product, &filter.env, &filter.broker_tag).await?;
        let mut found = Found::nothing();
        let mut messages = Vec::new();
        if let Some(broker) = broker {
            let topic = scope::find(connection, broker, Kind::Topic, filter.topic_tag.as_ref()).await?;
            let producer = scope::find(connection, broker, Kind::Actor, filter.producer_tag.as_ref()).await?;
            let consumer = scope::find(connection, broker, Kind::Actor, filter.consumer_tag.as_ref()).await?;
            if let (Some(topic), Some(producer), Some(consumer)) = (topic, producer, consumer) {
                let scope = Scope {
                    topic,
                    producer,
                    consumer,
                    states: filter.status.map(|status| states_of(status).to_vec()),
                    from,
                    until,
                    ..Scope::broker(broker)
                };
                found = page::find(connection, &scope, spec).await?;
                let seqs: Vec<i64> = found.keys.iter().map(|key| key.seq).collect();
                messages = load::messages(&self.store, connection, &seqs).await?;
            }
        }
        reading.rollback().await?;
        Ok(MessagePage {
            messages,
            total: found.total,
            page: filter.page,
            limit: filter.limit,
            has_more: found.has_more,
            snapshot: found.snapshot,
        })
    }

    /// One message: the newest of this id in the product and the environment; in all environments when `env` is `None`.
    pub async fn message(
        &self,
        product: &str,
        env: Option<&str>,
        message_id: &str,
    ) -> Result<Option<Message>> {
        let mut reading = self.read().await?;
        let found = by_id(&mut reading, product, env, message_id).await?;
        let seqs: Vec<i64> = found.into_iter().collect();
        let messages = load::messages(&self.store, &mut reading, &seqs).await?;
        reading.rollback().await?;
        Ok(messages.into_iter().next())
    }

    /// A page of producers, most recently active first. `now` tells who is active.
    pub async fn producers(&self, filter: &ProducerFilter, now: SystemTime) -> Result<ProducerPage> {
        actors::producers(self, filter, now).await
    }

    /// A page of consumers, most recently active first. `now` tells who is active.
    pub async fn consumers(&self, filter: &ConsumerFilter, now: SystemTime) -> Result<ConsumerPage> {
        actors::consumers(self, filter, now).await
    }

    /// A page of dead letters, newest first. `now` tells which ones can be given to their group anew.
    pub async fn dead_letters(&self, filter: &DeadLetterFilter, now: SystemTime) -> Result<DeadLetterPage> {
        dead_letters::page(self, filter, now).await
    }

    /// The open dead letters by how they failed, most first, at most 1,000.
    pub async fn dead_letter_groups(&self, filter: &BrokerFilter) -> Result<Vec<DeadLetterGroup>> {
        dead_letters::groups(self, filter).await
    }

    /// A broker's numbers.
    pub async fn stats(&self, filter: &BrokerFilter) -> Result<Stats> {
        stats::stats(self, filter).await
    }

    /// A broker at a glance, as of `now`.
    pub async fn dashboard(&self, filter: &BrokerFilter, now: SystemTime) -> Result<Dashboard> {
        stats::dashboard(self, filter, now).await
    }

    /// A page of events, newest first.
    pub async fn events(&self, filter: &EventFilter) -> Result<EventPage> {
        events::page(self, filter).await
    }

    /// One event: the newest of this id in the product.
    pub async fn event(&self, product: &str, event_id: &str) -> Result<Option<Event>> {
        let message = self.message(product, None, event_id).await?;
        Ok(message.map(|message| events::of(message, None)))
    }

    /// The numbers of a broker's events.
    pub async fn event_stats(&self, filter: &BrokerFilter) -> Result<EventStats> {
        stats::event_stats(self, filter).await
    }

    /// Begins to read: all that it reads is of one moment.
    pub(super) async fn read(&self) -> Result<Transaction<'static, Any>> {
        let begin = self
            .store
            .dialect()
            .pick("BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        Ok(self.store.reader().begin_with(begin).await?)
    }
}

impl fmt::Debug for Tracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tracking").field(&self.store).finish()
    }
}
