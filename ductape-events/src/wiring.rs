//! What a running program knows of its topics: which broker carries each, and how.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ductape_providers::{AnyProvider, Capability, EventName, Headers, MessageId, Outgoing, TopicName};
use jsonschema::Validator;
use serde_json::Value;

use crate::error::{BrokerError, ErrorCode, PublishOutcome};
#[cfg(feature = "store")]
use crate::runtime::Opened;
use crate::topic::TopicDescriptor;

/// What a running program knows: who it is, and its topics.
pub(crate) struct Wiring {
    pub(crate) product: String,
    pub(crate) environment: String,
    pub(crate) publish_timeout: Duration,
    topics: HashMap<&'static str, Vec<TopicRoute>, foldhash::fast::RandomState>,
    by_name: HashMap<String, (&'static str, u32)>,
    closed: AtomicBool,
    #[cfg(feature = "store")]
    store: Option<Opened>,
    /// Told when something was written to the outbox.
    #[cfg(feature = "store")]
    outbox: tokio::sync::Notify,
    /// What the sessions of this program need.
    #[cfg(feature = "store")]
    sessions: crate::session::Part,
    published: Option<Mutex<Vec<Outgoing>>>,
}

/// How one topic is carried.
pub(crate) struct TopicRoute {
    pub(crate) topic: TopicName,
    pub(crate) descriptor: Option<&'static TopicDescriptor>,
    pub(crate) physical: Option<String>,
    pub(crate) provider: AnyProvider,
    pub(crate) capability: Capability,
    pub(crate) payload_bytes_max: usize,
    pub(crate) headers: Headers,
    pub(crate) validator: OnceLock<Result<Validator, String>>,
}

impl TopicRoute {
    /// Whether the topic's messages may have keys; of a topic without a type it is not known, so they may.
    pub(crate) fn is_keyed(&self) -> bool {
        self.descriptor.is_none_or(|topic| topic.key.is_some())
    }
}

/// The most messages that the test mode remembers.
const PUBLISHED_MAX: usize = 100_000;

impl Wiring {
    pub(crate) fn new(
        product: String,
        environment: String,
        publish_timeout: Duration,
        keep_published: bool,
    ) -> Self {
        Self {
            product,
            environment,
            publish_timeout,
            topics: HashMap::default(),
            by_name: HashMap::new(),
            closed: AtomicBool::new(false),
            #[cfg(feature = "store")]
            store: None,
            #[cfg(feature = "store")]
            outbox: tokio::sync::Notify::new(),
            #[cfg(feature = "store")]
            sessions: crate::session::Part::default(),
            published: keep_published.then(Mutex::default),
        }
    }

    #[cfg(feature = "store")]
    pub(crate) fn with_store(mut self, store: Option<Opened>) -> Self {
        self.store = store;
        self
    }

    #[cfg(feature = "store")]
    pub(crate) fn with_session_keys(mut self, keys: Option<crate::session::SessionKeys>) -> Self {
        self.sessions = crate::session::Part::new(keys);
        self
    }

    #[cfg(feature = "store")]
    pub(crate) const fn sessions(&self) -> &crate::session::Part {
        &self.sessions
    }

    /// Says that something was written to the outbox; it may not be committed yet.
    #[cfg(feature = "store")]
    pub(crate) fn outbox_written(&self) {
        self.outbox.notify_one();
    }

    /// Waits until something is written to the outbox.
    #[cfg(feature = "store")]
    pub(crate) async fn until_outbox_written(&self) {
        self.outbox.notified().await;
    }

    /// The store, for what can't do without: `what` begins the text of the error.
    #[cfg(feature = "store")]
    pub(crate) fn store(&self, what: &str) -> Result<&ductape_store::Store, BrokerError> {
        self.store_if_any().ok_or_else(|| {
            BrokerError::new(
                ErrorCode::StoreFailed,
                format!(
                    "{what} needs a store, and this program has none; set `DUCTAPE_STORE` (\"{}\"), or give one with \
                     `Ductape::builder().store(…)`",
                    ductape_store::StoreUrl::DEFAULT
                ),
            )
        })
    }

    /// The store, if there is one.
    #[cfg(feature = "store")]
    pub(crate) fn store_if_any(&self) -> Option<&ductape_store::Store> {
        self.store.as_ref().map(|opened| &opened.store)
    }

    /// Closes the store, if it was opened for this program.
    #[cfg(feature = "store")]
    pub(crate) async fn close_store(&self) {
        if let Some(opened) = self.store.as_ref().filter(|opened| opened.is_own) {
            opened.store.close().await;
        }
    }

    /// Adds a topic. Its name is leaked when it is known from the configuration alone: once a start.
    pub(crate) fn add(&mut self, route: TopicRoute) {
        let name = match route.descriptor {
            Some(topic) => topic.event,
            None => Box::leak(route.topic.event().as_str().to_owned().into_boxed_str()),
        };
        let version = route.topic.version().get();
        let newest = self.by_name.entry(name.to_owned()).or_insert((name, version));
        newest.1 = newest.1.max(version);
        self.topics.entry(name).or_default().push(route);
    }

    /// The route of a topic that is known by its type.
    pub(crate) fn route(&self, event: &str, version: u32) -> Result<&TopicRoute, BrokerError> {
        let routes = self.topics.get(event);
        let found =
            routes.and_then(|routes| routes.iter().find(|route| route.topic.version().get() == version));
        found.ok_or_else(|| self.unknown(event))
    }

    /// The route of the newest version of a topic that is known by its name.
    pub(crate) fn route_by_name(&self, event: &str) -> Result<&TopicRoute, BrokerError> {
        event_name(event)?;
        let Some((name, version)) = self.by_name.get(event) else {
            return Err(self.unknown(event));
        };
        self.route(name, *version)
    }

    /// What is answered for a topic that the program does not have.
    #[cold]
    pub(crate) fn unknown(&self, event: &str) -> BrokerError {
        let broker = event.split(':').next().unwrap_or_default();
        let names = |only: Option<&str>| {
            let mut names: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
            names.retain(|name| only.is_none_or(|broker| name.split(':').next() == Some(broker)));
            names.sort_unstable();
            names.dedup();
            names.join(", ")
        };
        let (of_broker, all) = (names(Some(broker)), names(None));
        let instead = match (of_broker.is_empty(), all.is_empty()) {
            (false, _) => format!("known topics of `{broker}`: {of_broker}"),
            (true, false) => format!("no topic of broker `{broker}` is known; known topics: {all}"),
            (true, true) => "this program has no topics: mark a struct with `#[topic]`".to_owned(),
        };
        BrokerError::new(
            ErrorCode::TopicNotFound,
            format!("no topic `{}`; {instead}", event.escape_debug()),
        )
        .with("environment", &self.environment)
        .with_publish_outcome(PublishOutcome::Rejected)
    }

    pub(crate) fn check_open(&self) -> Result<(), BrokerError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(BrokerError::new(
                ErrorCode::ShuttingDown,
                "the program is shutting down; nothing was published",
            )
            .with_publish_outcome(PublishOutcome::Rejected));
        }
        Ok(())
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Remembers a message for the test mode.
    pub(crate) fn record(&self, message: &Outgoing) {
        if let Some(published) = &self.published {
            let mut published = published.lock().unwrap_or_else(PoisonError::into_inner);
            if published.len() < PUBLISHED_MAX {
                published.push(message.clone());
            }
        }
    }

    /// Forgets a message that was refused.
    pub(crate) fn forget(&self, id: &MessageId) {
        if let Some(published) = &self.published {
            let mut published = published.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = published.iter().rposition(|message| message.id == *id) {
                published.remove(at);
            }
        }
    }

    pub(crate) fn published(&self, event: &str) -> Vec<Outgoing> {
        let Some(published) = &self.published else {
            return Vec::new();
        };
        let published = published.lock().unwrap_or_else(PoisonError::into_inner);
        published
            .iter()
            .filter(|message| message.topic.event().as_str() == event)
            .cloned()
            .collect()
    }
}

impl fmt::Debug for Wiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wiring")
            .field("product", &self.product)
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

impl TopicRoute {
    /// What checks JSON against the topic's schema; `None` for a topic that is known from the configuration alone.
    pub(crate) fn validator(&self) -> Result<Option<&Validator>, BrokerError> {
        let Some(topic) = self.descriptor else {
            return Ok(None);
        };
        let made = self
            .validator
            .get_or_init(|| jsonschema::validator_for(&(topic.schema)()).map_err(|error| error.to_string()));
        match made {
            Ok(validator) => Ok(Some(validator)),
            Err(error) => Err(BrokerError::new(
                ErrorCode::PayloadInvalid,
                format!(
                    "the schema of `{}` can't be used to check a message: {error}",
                    topic.event
                ),
            )
            .with_publish_outcome(PublishOutcome::Rejected)),
        }
    }

    /// What of `value` does not fit the topic's schema, without the values themselves; `None` when all does.
    pub(crate) fn misfit(&self, value: &Value) -> Result<Option<String>, BrokerError> {
        let Some(validator) = self.validator()? else {
            return Ok(None);
        };
        // Up to a number that a person reads.
        let wrong: Vec<String> = validator
            .iter_errors(value)
            .take(5)
            .map(|error| format!("at `{}`: {}", error.instance_path(), error.masked()))
            .collect();
        let event = self.topic.event();
        Ok((!wrong.is_empty()).then(|| {
            format!(
                "the message does not fit the schema of `{event}`: {}",
                wrong.join("; ")
            )
        }))
    }
}

pub(crate) fn event_name(event: &str) -> Result<EventName, BrokerError> {
    event.parse().map_err(|error: ductape_schema::NameError| {
        BrokerError::new(ErrorCode::EventNameInvalid, error.to_string())
            .with_publish_outcome(PublishOutcome::Rejected)
    })
}

pub(crate) fn topic_name(event: EventName, version: u32) -> TopicName {
    TopicName::new(event, NonZeroU32::new(version).unwrap_or(NonZeroU32::MIN))
}
