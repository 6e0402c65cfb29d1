//! Everything about a product's brokers in one place: what [`Ductape::brokers`] answers.

use std::collections::BTreeMap;
use std::time::Duration;

use ductape_providers::connection::ConnectionReport;
use ductape_providers::{GroupName, MessageId};
use ductape_store::tracking::{
    BrokerFilter, DeadLetter, DeadLetterChange, DeadLetterFilter, DeliveryStatus, Event, EventFilter,
    EventPage, EventStats, Message,
};
use serde_json::Value;

use super::messages::{Messages, refused};
use super::redeliver::{Kept, outgoing, redeliver};
use super::report::{DlqReport, ReplayOptions, ReplayReport, ReplayedCopy, ReprocessOptions};
use crate::clock;
use crate::consumer::HandlerError;
use crate::envelope::header;
use crate::error::{BrokerError, ErrorCode};
use crate::produce::{self, IdempotencyKey, KnownKey, ProduceReceipt};
use crate::registry::{Broker, Messaging, RegisteredTopic};
use crate::runtime::Ductape;

/// How long dead letters that are being reprocessed are nobody else's.
const CLAIM: Duration = Duration::from_mins(2);

/// A product's brokers: what is published and consumed by name, and the history of it.
///
/// ```
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
    messaging: Messaging<'a>,
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
    fn ductape(&self) -> &Ductape {
        self.messaging.ductape
    }

    fn messages(&self) -> Messages<'_> {
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
        let answer = tracking.events(&super::messages::own!(messages, filter)).await;
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
        let answer = tracking
            .event_stats(&super::messages::own!(messages, filter))
            .await;
        answer
            .map_err(|error| refused("the events can't be counted", error).coded(ErrorCode::GetEventsFailed))
    }

    /// Publishes copies of an event of this environment, each to one group alone: as the store keeps it, with an id of its own, and
    /// marked with what it replays.
    ///
    /// # Errors
    ///
    /// `EVENT_NOT_FOUND`; `REPLAY_REFUSED` when a group has handled it and [`force`](ReplayOptions::force) is not set, when nobody failed
    /// at it, or when its payload was not kept; `TOPIC_NOT_FOUND` when its topic is gone; `PAYLOAD_INVALID` when it does not fit the
    /// topic's schema any more; `UNSUPPORTED` where the broker can't send to one group; `REPLAY_EVENT_FAILED`.
    pub async fn replay_event(
        &self,
        event_id: &str,
        options: &ReplayOptions,
    ) -> Result<ReplayReport, BrokerError> {
        let message = self.messages().get(event_id).await?;
        let message = message.ok_or_else(|| not_found(event_id))?;
        let groups = groups(&message, options)?;
        let ctx = self.ductape().context();
        let route = ctx.wiring().route_by_name(&message.event)?;
        let kept = Kept {
            payload: message.payload.clone(),
            key: message.key.clone(),
            metadata: message.metadata.clone(),
            message_id: message.message_id,
            redrive: 0,
        };
        let mut copies = Vec::with_capacity(groups.len());
        for group in groups {
            let mut copy = outgoing(&route, &group, &kept, ctx.wiring())?;
            copy.headers
                .insert(header::REPLAYED_FROM, kept.message_id.as_str());
            let receipt = produce::sealed(copy, &route, ctx)
                .await
                .map_err(|error| error.coded(ErrorCode::ReplayEventFailed))?;
            copies.push(ReplayedCopy {
                consumer_tag: group.as_str().to_owned(),
                event_id: receipt.process_id,
            });
        }
        let Some(first) = copies.first().map(|copy| copy.event_id.clone()) else {
            return Err(nobody(event_id));
        };
        Ok(ReplayReport {
            success: true,
            process_id: first.clone(),
            new_event_id: first,
            copies,
        })
    }

    /// Sends dead letters that the filter names back to their groups, the oldest of the page first: each to the group that failed at it,
    /// and once, also when several operators ask at one time. The filter's limit is the most that are sent.
    ///
    /// # Errors
    ///
    /// `CONFIG_INVALID` for a page, a limit or dates that can't be, `REPROCESS_DLQ_FAILED`, `STORE_FAILED` without a store. Why single
    /// ones were not sent is in the report.
    pub async fn reprocess_dlq(
        &self,
        filter: &DeadLetterFilter,
        options: &ReprocessOptions,
    ) -> Result<DlqReport, BrokerError> {
        let messages = self.messages();
        let mut page = messages.dead_letters(filter).await?.dead_letters;
        page.retain(|letter| letter.can_retry);
        page.reverse();
        if options.dry_run {
            return Ok(DlqReport {
                reprocessed_count: page.len(),
                event_ids: page.into_iter().map(|letter| letter.message_id).collect(),
                ..DlqReport::default()
            });
        }
        let failed = |error| {
            refused("the dead letters can't be reprocessed", error).coded(ErrorCode::ReprocessDlqFailed)
        };
        let token = options
            .token
            .clone()
            .unwrap_or_else(|| MessageId::new().to_string());
        let ids: Vec<String> = page.into_iter().map(|letter| letter.id).collect();
        let tracking = messages.tracking().await?;
        let now = clock::wall();
        let claimed = tracking
            .claim_dead_letters(&ids, &token, now + CLAIM, now)
            .await
            .map_err(failed)?;
        let mut report = DlqReport::default();
        for ((event, group), letters) in by_group(claimed) {
            let ids: BTreeMap<String, String> = letters
                .iter()
                .map(|letter| (letter.message_id.clone(), letter.id.clone()))
                .collect();
            let kept = letters.into_iter().map(kept).collect();
            let (sent, errors) = match redeliver(self.ductape(), &event, &group, kept).await {
                Ok(done) => done,
                Err(error) => (Vec::new(), vec![format!("{event}, {group}: {error}")]),
            };
            let (redriven, rest): (Vec<_>, Vec<_>) =
                ids.into_iter().partition(|(message, _)| sent.contains(message));
            report.reprocessed_count += redriven.len();
            report.failed_count += rest.len();
            report.errors.extend(errors);
            let token = token.clone();
            let letters = |of: Vec<(String, String)>| of.into_iter().map(|(_, id)| id).collect::<Vec<_>>();
            let change = DeadLetterChange::Redriven { token: token.clone() };
            tracking
                .change_dead_letters(&letters(redriven), &change)
                .await
                .map_err(failed)?;
            let change = DeadLetterChange::Released { token };
            tracking
                .change_dead_letters(&letters(rest), &change)
                .await
                .map_err(failed)?;
            report.event_ids.extend(sent);
        }
        Ok(report)
    }
}

/// Dead letters of one topic and group together, in order.
fn by_group(letters: Vec<DeadLetter>) -> BTreeMap<(String, String), Vec<DeadLetter>> {
    let mut all: BTreeMap<_, Vec<DeadLetter>> = BTreeMap::new();
    for letter in letters {
        let of = (letter.event.clone(), letter.consumer_tag.clone());
        all.entry(of).or_default().push(letter);
    }
    all
}

fn kept(letter: DeadLetter) -> Kept {
    Kept {
        message_id: letter.message_id,
        payload: letter.original_message,
        key: letter.key,
        metadata: letter.metadata,
        redrive: letter.redrive_count + 1,
    }
}

/// The groups that a replay goes to.
fn groups(message: &Message, options: &ReplayOptions) -> Result<Vec<GroupName>, BrokerError> {
    let has_failed =
        |status: DeliveryStatus| matches!(status, DeliveryStatus::Failed | DeliveryStatus::DeadLettered);
    let tags: Vec<&str> = if let Some(group) = &options.group {
        let mut deliveries = message.consumer_deliveries.iter();
        let has_it = |status| matches!(status, DeliveryStatus::Success);
        if !options.force
            && deliveries.any(|delivery| delivery.consumer_tag == *group && has_it(delivery.status))
        {
            let text = format!(
                "group `{group}` has handled message {:?}; `force` sends it again all the same",
                message.message_id
            );
            return Err(BrokerError::new(ErrorCode::ReplayRefused, text));
        }
        vec![group.as_str()]
    } else {
        let deliveries = message.consumer_deliveries.iter();
        let wanted = deliveries.filter(|delivery| options.force || has_failed(delivery.status));
        wanted.map(|delivery| delivery.consumer_tag.as_str()).collect()
    };
    if tags.is_empty() {
        return Err(nobody(&message.message_id));
    }
    let parsed = tags.into_iter().map(|tag| {
        tag.parse().map_err(|error: ductape_schema::NameError| {
            BrokerError::new(ErrorCode::ReplayRefused, error.to_string())
        })
    });
    parsed.collect()
}

fn nobody(event_id: &str) -> BrokerError {
    let text = format!(
        "no group has failed at message {event_id:?}; `force` sends it to all that had it, and `group` to one"
    );
    BrokerError::new(ErrorCode::ReplayRefused, text)
}

fn not_found(event_id: &str) -> BrokerError {
    let text = format!("no event {event_id:?} is known in this environment");
    BrokerError::new(ErrorCode::EventNotFound, text)
}
