//! What a running program knows of its topics: which broker carries each, and how.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Deref;
#[cfg(feature = "store")]
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ductape_providers::{AnyProvider, Capability, EventName, Headers, MessageId, Outgoing, TopicName};
use jsonschema::Validator;
use serde_json::Value;

use crate::asyncapi::Server;
use crate::error::{BrokerError, ErrorCode, PublishOutcome};
use crate::runtime::Opened;
use crate::topic::TopicDescriptor;

/// What a running program knows: who it is, and its topics.
pub(crate) struct Wiring {
    pub(crate) product: String,
    pub(crate) environment: String,
    pub(crate) publish_timeout: Duration,
    topics: HashMap<&'static str, Vec<TopicRoute>, foldhash::fast::RandomState>,
    by_name: HashMap<String, (&'static str, u32)>,
    /// Topics without a type that the registry holds, once they were asked for; each in its newest version.
    #[cfg(feature = "store")]
    late: RwLock<HashMap<String, Arc<TopicRoute>>>,
    #[cfg(feature = "store")]
    late_turn: tokio::sync::Mutex<()>,
    closed: AtomicBool,
    store: Option<Opened>,
    /// Told when something was written to the outbox.
    #[cfg(feature = "store")]
    outbox: tokio::sync::Notify,
    /// What the sessions of this program need.
    #[cfg(feature = "store")]
    sessions: crate::session::Part,
    /// What writes the history, where there is a store.
    #[cfg(feature = "store")]
    recorder: Option<Arc<crate::tracking::Recorder>>,
    published: Option<Mutex<Vec<Outgoing>>>,
    /// The brokers of the environment, for people.
    servers: Vec<Server>,
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
    /// The schema of a topic without a type, as it is registered.
    pub(crate) registered_schema: Option<Value>,
    /// Whether the registry was asked for a topic without a type.
    #[cfg(feature = "store")]
    pub(crate) is_registered: bool,
    pub(crate) validator: OnceLock<Result<Validator, String>>,
}

impl TopicRoute {
    /// Whether nothing more can be known of it.
    #[cfg(feature = "store")]
    pub(crate) const fn is_described(&self) -> bool {
        self.descriptor.is_some() || self.is_registered
    }

    /// The topic's schema, where one is known.
    #[cfg(feature = "store")]
    pub(crate) fn schema(&self) -> Option<Value> {
        let described = self.descriptor.map(|topic| (topic.schema)());
        described.or_else(|| self.registered_schema.clone())
    }

    /// Whether the topic's messages may have keys; of a topic without a type it is not known, so they may.
    pub(crate) fn is_keyed(&self) -> bool {
        self.descriptor.is_none_or(|topic| topic.key.is_some())
    }
}

/// A route that the program began with, or one that was added since.
pub(crate) enum RouteRef<'a> {
    Known(&'a TopicRoute),
    Late(Arc<TopicRoute>),
}

impl Deref for RouteRef<'_> {
    type Target = TopicRoute;

    fn deref(&self) -> &TopicRoute {
        match self {
            Self::Known(route) => route,
            Self::Late(route) => route,
        }
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
            #[cfg(feature = "store")]
            late: RwLock::default(),
            #[cfg(feature = "store")]
            late_turn: tokio::sync::Mutex::default(),
            closed: AtomicBool::new(false),
            store: None,
            #[cfg(feature = "store")]
            outbox: tokio::sync::Notify::new(),
            #[cfg(feature = "store")]
            sessions: crate::session::Part::default(),
            #[cfg(feature = "store")]
            recorder: None,
            published: keep_published.then(Mutex::default),
            servers: Vec::new(),
        }
    }

    pub(crate) fn with_servers(mut self, servers: Vec<Server>) -> Self {
        self.servers = servers;
        self
    }

    /// The brokers of the environment, for people.
    pub(crate) fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The topics that the program began with, by name and version.
    pub(crate) fn routes(&self) -> Vec<&TopicRoute> {
        let mut routes: Vec<&TopicRoute> = self.topics.values().flatten().collect();
        routes.sort_by_key(|route| (route.topic.event().as_str(), route.topic.version()));
        routes
    }

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
    pub(crate) fn with_recorder(mut self, producer: &str, policies: crate::tracking::Policies) -> Self {
        self.recorder = self.store.is_some().then(|| {
            let recorder =
                crate::tracking::Recorder::new(&self.product, &self.environment, producer, policies);
            Arc::new(recorder)
        });
        self
    }

    /// What writes the history, where there is a store.
    #[cfg(feature = "store")]
    pub(crate) const fn recorder(&self) -> Option<&Arc<crate::tracking::Recorder>> {
        self.recorder.as_ref()
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

    /// The store, if there is one, for one who looks at it and leaves it open.
    pub(crate) fn lend_store(&self) -> Option<Opened> {
        self.store.as_ref().map(Opened::lend)
    }

    /// The store, if there is one.
    #[cfg(feature = "store")]
    pub(crate) fn store_if_any(&self) -> Option<&ductape_store::Store> {
        self.store.as_ref().map(|opened| &opened.store)
    }

    /// Whether there is a store.
    pub(crate) const fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// Closes the store, if it was opened for this program.
    pub(crate) async fn close_store(&self) {
        if let Some(opened) = &self.store {
            opened.close().await;
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
    pub(crate) fn route_by_name(&self, event: &str) -> Result<RouteRef<'_>, BrokerError> {
        event_name(event)?;
        let known = self
            .by_name
            .get(event)
            .map(|(name, version)| self.route(name, *version));
        match known {
            // What is registered says more of a topic than a configuration that only names it.
            Some(Ok(route)) if route.descriptor.is_some() => Ok(RouteRef::Known(route)),
            known => match (self.late_route(event), known) {
                (Some(late), _) => Ok(RouteRef::Late(late)),
                (None, Some(known)) => known.map(RouteRef::Known),
                (None, None) => Err(self.unknown(event)),
            },
        }
    }

    /// The route of a topic that a message came from.
    pub(crate) fn route_of(&self, topic: &TopicName) -> Result<RouteRef<'_>, BrokerError> {
        let (event, version) = (topic.event().as_str(), topic.version().get());
        match self.late_route(event).filter(|late| late.topic == *topic) {
            Some(late) => Ok(RouteRef::Late(late)),
            None => self.route(event, version).map(RouteRef::Known),
        }
    }

    #[cfg(feature = "store")]
    fn late_route(&self, event: &str) -> Option<Arc<TopicRoute>> {
        let late = self.late.read().unwrap_or_else(PoisonError::into_inner);
        late.get(event).cloned()
    }

    #[cfg(not(feature = "store"))]
    #[allow(clippy::unused_self)] // as with a store
    fn late_route(&self, _event: &str) -> Option<Arc<TopicRoute>> {
        None
    }

    /// Adds, or replaces, a topic that the registry holds. There are no more than it holds.
    #[cfg(feature = "store")]
    pub(crate) fn add_late(&self, route: TopicRoute) {
        let mut late = self.late.write().unwrap_or_else(PoisonError::into_inner);
        late.insert(route.topic.event().as_str().to_owned(), Arc::new(route));
    }

    /// The turn of one who adds a topic.
    #[cfg(feature = "store")]
    pub(crate) async fn late_turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.late_turn.lock().await
    }

    /// Takes over a new schema of a topic that was added.
    #[cfg(feature = "store")]
    pub(crate) fn refresh_late(&self, event: &str, version: u32, schema: Option<Value>) {
        let mut late = self.late.write().unwrap_or_else(PoisonError::into_inner);
        let Some(before) = late
            .get(event)
            .filter(|route| route.topic.version().get() == version)
        else {
            return;
        };
        if before.registered_schema == schema {
            return;
        }
        let route = TopicRoute {
            topic: before.topic.clone(),
            descriptor: None,
            physical: before.physical.clone(),
            provider: Arc::clone(&before.provider),
            capability: before.capability,
            payload_bytes_max: before.payload_bytes_max,
            headers: before.headers.clone(),
            registered_schema: schema,
            is_registered: true,
            validator: OnceLock::new(),
        };
        late.insert(event.to_owned(), Arc::new(route));
        drop(late);
        if let Some(recorder) = &self.recorder {
            recorder.forget(event);
        }
    }

    /// Whether the program began with topics of a broker.
    #[cfg(feature = "store")]
    pub(crate) fn has_own_topics_of(&self, broker: &str) -> bool {
        let mut routes = self.topics.values().flatten();
        routes.any(|route| route.topic.event().broker() == broker)
    }

    /// The provider that carries a broker's topics, if the program has any of them.
    #[cfg(feature = "store")]
    pub(crate) fn provider_of(&self, broker: &str) -> Option<AnyProvider> {
        let of = |route: &TopicRoute| route.topic.event().broker() == broker;
        let known = self.topics.values().flatten().find(|route| of(route));
        if let Some(route) = known {
            return Some(Arc::clone(&route.provider));
        }
        let late = self.late.read().unwrap_or_else(PoisonError::into_inner);
        let late = late.values().find(|route| of(route));
        late.map(|route| Arc::clone(&route.provider))
    }

    /// The providers of the topics that were added late.
    #[cfg(feature = "store")]
    pub(crate) fn late_providers(&self) -> Vec<AnyProvider> {
        let late = self.late.read().unwrap_or_else(PoisonError::into_inner);
        late.values().map(|route| Arc::clone(&route.provider)).collect()
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
    /// What checks JSON against the topic's schema; `None` for a topic of which no schema is known.
    pub(crate) fn validator(&self) -> Result<Option<&Validator>, BrokerError> {
        let made = match (self.descriptor, &self.registered_schema) {
            (Some(topic), _) => self.validator.get_or_init(|| compile(&(topic.schema)())),
            (None, Some(schema)) => self.validator.get_or_init(|| compile(schema)),
            (None, None) => return Ok(None),
        };
        match made {
            Ok(validator) => Ok(Some(validator)),
            Err(error) => Err(BrokerError::new(
                ErrorCode::PayloadInvalid,
                format!(
                    "the schema of `{}` can't be used to check a message: {error}",
                    self.topic.event()
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

fn compile(schema: &Value) -> Result<Validator, String> {
    jsonschema::validator_for(schema).map_err(|error| error.to_string())
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
