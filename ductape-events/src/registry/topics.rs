//! Topics of the registry.

use ductape_providers::EventName;
use ductape_schema::compatibility::Mode;
use ductape_store::registry::{self, Source, TopicEntry};

use super::check::Check;
use super::error::refused;
use super::input::{NewTopic, TopicChange};
use super::{Messaging, RegisteredTopic, store_failed};
use crate::clock;
use crate::config::instead;
use crate::error::{BrokerError, ErrorCode};
use crate::wiring::event_name;

/// The topics of the registry: what [`Messaging::topics`] answers.
///
/// ```
/// # use ductape_events::prelude::*;
/// # use ductape_events::registry::{BrokerEnv, BrokerType, NewBroker};
/// # use ductape_events::store::StoreUrl;
/// # use ductape_events::__private::serde_json;
/// use ductape_events::registry::{NewTopic, TopicChange};
/// use serde_json::json;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), BrokerError> {
/// # let ductape = Ductape::builder().without_inventory().in_process().store(StoreUrl::memory()).build().await?;
/// # let dev = BrokerEnv::new("dev", BrokerType::Embedded, json!({}));
/// # let broker = NewBroker { tag: "order-events".into(), name: "Orders".into(), envs: vec![dev], ..NewBroker::default() };
/// # ductape.messaging().create(broker).await?;
/// let topics = ductape.messaging().topics();
/// topics
///     .create(NewTopic {
///         tag: "order-events:order-created".into(),
///         name: "Order Created".into(),
///         sample: Some(json!({ "orderId": "12345", "total": 99.99 })),
///         ..NewTopic::default()
///     })
///     .await?;
/// let description = Some("Emitted when an order is created".into());
/// topics.update("order-events:order-created", TopicChange { description, ..TopicChange::default() }).await?;
/// let topic = topics.fetch("order-events:order-created").await?;
/// assert_eq!(topic.unwrap().sample, Some(json!({ "orderId": "12345", "total": 99.99 })));
///
/// // It needs no Rust type.
/// ductape.messaging().produce("order-events:order-created", &json!({ "orderId": "1" })).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Topics<'a> {
    messaging: Messaging<'a>,
}

impl<'a> Topics<'a> {
    pub(super) const fn new(messaging: Messaging<'a>) -> Self {
        Self { messaging }
    }

    /// Creates a topic, which needs no Rust type.
    ///
    /// # Errors
    ///
    /// `EVENT_NAME_INVALID`; `BROKER_NOT_FOUND` with what there is instead; `CONFIG_INVALID` with everything that is wrong with it
    /// ([`BrokerError::findings`]), such as a sample that does not fit the schema; `ALREADY_EXISTS`; `STORE_FAILED`.
    pub async fn create(&self, topic: NewTopic) -> Result<RegisteredTopic, BrokerError> {
        let event = event_name(&topic.tag)?;
        let what = format!("topic `{event}` was not created");
        let mut check = Check::default();
        check.name(&topic.name);
        check.description(topic.description.as_deref());
        check.sample(topic.sample.as_ref(), topic.schema.as_ref());
        if topic.version == Some(0) {
            check.find("version: is 0; versions count from 1");
        }
        if !topic.queue_urls.is_empty() {
            let slugs = self.slugs(&event).await?;
            let slugs: Vec<&str> = slugs.iter().map(String::as_str).collect();
            check.queue_urls(&topic.queue_urls, &slugs);
        }
        check.end(&what)?;
        let entry = TopicEntry {
            broker: event.broker().to_owned(),
            topic: event.topic().to_owned(),
            version: topic.version.unwrap_or(1),
            says: registry::TopicChange {
                name: Some(topic.name),
                description: topic.description,
                sample: topic.sample,
                schema: topic.schema,
                queue_urls: Some(topic.queue_urls),
            },
            compatibility: Mode::None,
            source: Source::Call,
        };
        let messaging = &self.messaging;
        let created = messaging
            .registry()?
            .create_topic(&messaging.product, &entry, clock::wall())
            .await;
        match created.map_err(|error| refused(&what, ErrorCode::BrokerNotFound, error)) {
            Err(error) if error.code() == ErrorCode::BrokerNotFound => {
                Err(messaging.no_broker(event.broker()).await?)
            }
            created => created,
        }
    }

    /// Changes a topic. Of one that is a Rust type of a program, name, sample, schema and documentation are as the type says again when
    /// that program is built next.
    ///
    /// # Errors
    ///
    /// `TOPIC_NOT_FOUND` with what there is instead, and those of [`create`](Self::create).
    pub async fn update(&self, event: &str, change: TopicChange) -> Result<RegisteredTopic, BrokerError> {
        let event = event_name(event)?;
        let what = format!("topic `{event}` was not changed");
        let messaging = &self.messaging;
        let registry = messaging.registry()?;
        let place = (event.broker(), event.topic(), change.version);
        let there = registry
            .topic(&messaging.product, place.0, place.1, place.2)
            .await;
        let Some(there) = there.map_err(|error| store_failed(&what, error))? else {
            return Err(self.no_topic(&event, change.version).await?);
        };
        let mut check = Check::default();
        if let Some(name) = &change.name {
            check.name(name);
        }
        check.description(change.description.as_deref());
        if change.sample.is_some() || change.schema.is_some() {
            let sample = change.sample.as_ref().or(there.sample.as_ref());
            check.sample(sample, change.schema.as_ref().or(there.schema.as_ref()));
        }
        if let Some(urls) = &change.queue_urls {
            let slugs = self.slugs(&event).await?;
            let slugs: Vec<&str> = slugs.iter().map(String::as_str).collect();
            check.queue_urls(urls, &slugs);
        }
        check.end(&what)?;
        let says = registry::TopicChange {
            name: change.name,
            description: change.description,
            sample: change.sample,
            schema: change.schema,
            queue_urls: change.queue_urls,
        };
        let updated = registry
            .update_topic(&messaging.product, place, &says, clock::wall())
            .await;
        match updated.map_err(|error| refused(&what, ErrorCode::TopicNotFound, error))? {
            Some(topic) => {
                messaging.refresh(&topic);
                Ok(topic)
            }
            None => Err(self.no_topic(&event, change.version).await?),
        }
    }

    /// The topics of a broker, in the order of their names and versions.
    ///
    /// # Errors
    ///
    /// `BROKER_NOT_FOUND` with what there is instead; `STORE_FAILED`.
    pub async fn list(&self, broker: &str) -> Result<Vec<RegisteredTopic>, BrokerError> {
        let messaging = &self.messaging;
        let listed = messaging
            .registry()?
            .topics(&messaging.product, Some(broker))
            .await;
        let topics = listed.map_err(|error| store_failed("the topics were not listed", error))?;
        if topics.is_empty() && messaging.fetch(broker).await?.is_none() {
            return Err(messaging.no_broker(broker).await?);
        }
        Ok(topics)
    }

    /// A topic in its newest version; `None` when there is none of this name.
    ///
    /// # Errors
    ///
    /// `EVENT_NAME_INVALID`; `STORE_FAILED`.
    pub async fn fetch(&self, event: &str) -> Result<Option<RegisteredTopic>, BrokerError> {
        let event = event_name(event)?;
        let messaging = &self.messaging;
        let registry = messaging.registry()?;
        let fetched = registry
            .topic(&messaging.product, event.broker(), event.topic(), None)
            .await;
        fetched.map_err(|error| store_failed("the topic was not fetched", error))
    }

    /// The environments of the topic's broker.
    async fn slugs(&self, event: &EventName) -> Result<Vec<String>, BrokerError> {
        match self.messaging.fetch(event.broker()).await? {
            Some(broker) => Ok(broker.envs.into_iter().map(|env| env.slug).collect()),
            None => Err(self.messaging.no_broker(event.broker()).await?),
        }
    }

    /// What is answered for a topic that is not there.
    pub(super) async fn no_topic(
        &self,
        event: &EventName,
        version: Option<u32>,
    ) -> Result<BrokerError, BrokerError> {
        let messaging = &self.messaging;
        if messaging.fetch(event.broker()).await?.is_none() {
            return messaging.no_broker(event.broker()).await;
        }
        let topics = self.list(event.broker()).await?;
        let mut versions = topics
            .iter()
            .filter(|topic| topic.tag == event.as_str())
            .map(|topic| topic.version);
        let text = if let (Some(version), Some(newest)) = (version, versions.next_back()) {
            format!("topic `{event}` has no version {version}; its newest is {newest}")
        } else {
            let known = topics.iter().map(|topic| topic.tag.as_str());
            format!(
                "no topic `{event}`; {}",
                instead(event.as_str(), known, "topics of this broker")
            )
        };
        Ok(BrokerError::new(ErrorCode::TopicNotFound, text).with("product", &messaging.product))
    }
}
