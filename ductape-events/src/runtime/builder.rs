use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ductape_providers::connection::ConnectionReport;
use ductape_providers::{AnyProvider, EventName, GroupSpec, TopicSpec};

use super::blueprint::{Blueprint, refuse};
use super::brokers::{ConfigSource, Settings};
use super::check::RunTimeConsumer;
use super::ductape::{Ductape, Ending};
use super::idle;
#[cfg(feature = "store")]
use super::store::StoreSource;
use crate::consumer::{Consumer, ConsumerDescriptor, RegisteredConsumer, States};
use crate::context::Context;
use crate::error::{BrokerError, ErrorCode};
use crate::stats::Observer;
use crate::topic::{RegisteredTopic, Topic, TopicDescriptor};

/// Says in code what is otherwise read from `ductape.toml` and the environment's variables. What is said here wins.
///
/// ```
/// use ductape_events::prelude::*;
///
/// #[topic("order-events:order-created")]
/// struct OrderCreated {
///     order_id: String,
/// }
///
/// #[consumer]
/// async fn bill(_order: OrderCreated) {}
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), BrokerError> {
/// let ductape = Ductape::builder().without_inventory().consumer::<bill>().in_process().build().await?;
/// ductape.start().await?;
/// OrderCreated { order_id: "1".into() }.produce(&ductape).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct DuctapeBuilder {
    settings: Settings,
    topics: Vec<&'static TopicDescriptor>,
    consumers: Vec<&'static ConsumerDescriptor>,
    run_time_topics: Vec<EventName>,
    run_time_consumers: Vec<RunTimeConsumer>,
    inventory: bool,
    states: States,
    observers: Vec<Arc<dyn Observer>>,
    #[cfg(feature = "store")]
    tracking: crate::tracking::Policies,
    shutdown_timeout: Duration,
    publish_timeout: Duration,
    payload_bytes_max: Option<usize>,
    lease: Duration,
    allowed: Vec<String>,
}

impl DuctapeBuilder {
    /// How long `build` waits for a broker that is not there yet.
    pub const STARTUP_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
    /// How long running handlers may take to finish at shutdown.
    pub const SHUTDOWN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
    /// How long a produce call waits for a broker that is away.
    pub const PUBLISH_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

    pub(super) fn new() -> Self {
        Self {
            settings: Settings {
                startup_timeout: Self::STARTUP_TIMEOUT_DEFAULT,
                ..Settings::default()
            },
            topics: Vec::new(),
            consumers: Vec::new(),
            run_time_topics: Vec::new(),
            run_time_consumers: Vec::new(),
            inventory: true,
            states: States::default(),
            observers: Vec::new(),
            #[cfg(feature = "store")]
            tracking: crate::tracking::Policies::default(),
            shutdown_timeout: Self::SHUTDOWN_TIMEOUT_DEFAULT,
            publish_timeout: Self::PUBLISH_TIMEOUT_DEFAULT,
            payload_bytes_max: None,
            lease: GroupSpec::LEASE_DEFAULT,
            allowed: Vec::new(),
        }
    }

    /// The product, in place of `DUCTAPE_PRODUCT` and the configuration's; `app` when none says one.
    pub fn product(mut self, product: impl Into<String>) -> Self {
        self.settings.product = Some(product.into());
        self
    }

    /// The environment, in place of `DUCTAPE_ENV` and the configuration's; `dev` when none says one.
    pub fn environment(mut self, environment: impl Into<String>) -> Self {
        self.settings.environment = Some(environment.into());
        self
    }

    /// The configuration file, in place of `DUCTAPE_CONFIG` and `ductape.toml` in the working folder.
    pub fn config_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.settings.config = ConfigSource::File(file.into());
        self
    }

    /// The configuration's text, in place of a file.
    pub fn config_text(mut self, text: impl Into<String>) -> Self {
        self.settings.config = ConfigSource::Text(text.into());
        self
    }

    /// No configuration file: what is not given in code is embedded.
    pub fn without_config(mut self) -> Self {
        self.settings.config = ConfigSource::None;
        self
    }

    /// The provider that carries the topics of one broker: a third party's, or one that is shared.
    pub fn broker(mut self, tag: impl Into<String>, provider: AnyProvider) -> Self {
        self.settings.providers.push((tag.into(), provider));
        self
    }

    /// The provider that carries the topics of every broker that is not given by [`broker`](Self::broker).
    pub fn every_broker(mut self, provider: AnyProvider) -> Self {
        self.settings.every_broker = Some(provider);
        self
    }

    /// The in-process test mode: every broker is replaced by one in memory that can do what the real one can, and no
    /// more; what is published is kept for [`Ductape::published`].
    pub fn in_process(mut self) -> Self {
        self.settings.in_process = true;
        self
    }

    /// The store that the program keeps its registry, history, idempotency keys, sessions and outbox in: a `Store` that is open, or
    /// a `StoreUrl`. What is said here comes before the variable `DUCTAPE_STORE`, that before `store` of the configuration, and
    /// that before the file `.ductape/store.db` in the working folder.
    ///
    /// That file is used where nothing is said and the program is configured from outside, as by [`Ductape::from_env`]. A program
    /// that is given its configuration or its brokers in code has no store unless something names one; in the
    /// [test mode](Self::in_process) only what is given here counts. Payloads and secrets are sealed with the keys of the
    /// variable `DUCTAPE_STORE_KEY`, if it is set ([`StoreKeys::parse`](crate::store::StoreKeys::parse)).
    ///
    /// ```
    /// use ductape_events::prelude::*;
    /// use ductape_events::store::StoreUrl;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), BrokerError> {
    /// let builder = Ductape::builder().without_inventory().in_process();
    /// let ductape = builder.store(StoreUrl::memory()).build().await?;
    /// ductape.shutdown().await
    /// # }
    /// ```
    #[cfg(feature = "store")]
    pub fn store(mut self, store: impl Into<StoreSource>) -> Self {
        self.settings.store = super::store::StoreChoice::Given(store.into());
        self
    }

    /// The keys that sessions' tokens are signed with, in place of the variable `DUCTAPE_SESSION_KEYS`.
    ///
    /// ```
    /// use ductape_events::prelude::*;
    /// use ductape_events::session::SessionKeys;
    ///
    /// # fn main() -> Result<(), BrokerError> {
    /// let keys = SessionKeys::parse("2026-11:q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=")?;
    /// let builder = Ductape::builder().session_keys(keys);
    /// # let _ = builder;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "store")]
    pub fn session_keys(mut self, keys: crate::session::SessionKeys) -> Self {
        self.settings.session_keys = Some(keys);
        self
    }

    /// No store: what needs one answers `STORE_FAILED`. The same as `DUCTAPE_STORE=off`.
    #[cfg(feature = "store")]
    pub fn without_store(mut self) -> Self {
        self.settings.store = super::store::StoreChoice::None;
        self
    }

    /// Adds a topic that inventory does not find.
    pub fn topic<T: Topic>(mut self) -> Self {
        self.topics.push(T::descriptor());
        self
    }

    /// Adds a consumer that inventory does not find, by its function's name: `.consumer::<bill>()`.
    pub fn consumer<C: Consumer>(mut self) -> Self {
        self.consumers.push(C::descriptor());
        self
    }

    /// Leaves out what is found through inventory: only what is given by hand counts.
    pub fn without_inventory(mut self) -> Self {
        self.inventory = false;
        self
    }

    /// Gives handlers a value to take as `State<T>`.
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.states.insert(value);
        self
    }

    /// Watches every attempt of every consumer.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// How long running handlers may take to finish at shutdown; 30 s by default.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// How long a produce call waits for a broker that is away; 30 s by default.
    pub fn publish_timeout(mut self, timeout: Duration) -> Self {
        self.publish_timeout = timeout;
        self
    }

    /// The largest payload, in bytes, where it is to be less than what the broker takes.
    pub fn payload_bytes_max(mut self, bytes: usize) -> Self {
        self.payload_bytes_max = Some(bytes);
        self
    }

    /// How long what a consumer has in hand stays its own after the last sign of its process; then others of its group get
    /// it. Handlers may take longer: while the process lives, the lease is extended. 30 s by default, at least 100 ms, at
    /// most a day; brokers without leases ignore it.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.clamp(Duration::from_millis(100), Duration::from_hours(24));
        self
    }

    /// Adds a topic that is known only at run time.
    #[cfg(feature = "conformance")]
    pub(crate) fn run_time_topic(mut self, event: EventName) -> Self {
        if !self.run_time_topics.contains(&event) {
            self.run_time_topics.push(event);
        }
        self
    }

    /// Adds a consumer that is known only at run time, of a topic that was added.
    #[cfg(feature = "conformance")]
    pub(crate) fn run_time_consumer(mut self, consumer: RunTimeConsumer) -> Self {
        self.run_time_consumers.push(consumer);
        self
    }

    /// Lets the program start in spite of a finding of the start-up check, by the finding's name: `redis-evicts`.
    pub fn allow(mut self, finding: impl Into<String>) -> Self {
        self.allowed.push(finding.into());
        self
    }

    /// How long [`build`](Self::build) waits for a broker, and for a store, that is not there yet; 10 s by default each.
    pub fn startup_timeout(mut self, timeout: Duration) -> Self {
        self.settings.startup_timeout = timeout;
        self
    }

    /// What of the messages is recorded in the store, of topics that [`tracking_of`](Self::tracking_of) does not name: everything by
    /// default.
    #[cfg(feature = "store")]
    pub fn tracking(mut self, tracking: crate::tracking::Tracking) -> Self {
        self.tracking.usual = tracking;
        self
    }

    /// What of the messages of `event`, such as `order-events:order-created`, is recorded in the store.
    #[cfg(feature = "store")]
    pub fn tracking_of(mut self, event: impl Into<String>, tracking: crate::tracking::Tracking) -> Self {
        self.tracking.of.insert(event.into(), tracking);
        self
    }

    /// How long, and how much of it, the history is kept; `retention` of the configuration comes before it. For ever by default. A
    /// program that is built removes what is too old or too much, of all programs of the store, in small steps; dead letters that
    /// wait for an operator stay.
    ///
    /// ```
    /// use ductape_events::prelude::*;
    /// use ductape_events::store::tracking::Retention;
    /// use std::time::Duration;
    ///
    /// let month = Duration::from_secs(30 * 24 * 3_600);
    /// let builder = Ductape::builder().retention(Retention { age_max: Some(month), bytes_max: Some(10_000_000_000) });
    /// # let _ = builder;
    /// ```
    #[cfg(feature = "store")]
    pub fn retention(mut self, retention: ductape_store::tracking::Retention) -> Self {
        self.tracking.retention = retention;
        self
    }

    /// Tries to connect to every broker of the environment, step by step: finds the host, opens a connection, logs in.
    /// Nothing is declared. Each report comes with the broker's tag.
    ///
    /// # Errors
    ///
    /// `CONFIG_INVALID` when the configuration can't be read; what is wrong with a connection is in its report.
    pub async fn test_connections(mut self) -> Result<Vec<(String, ConnectionReport)>, BrokerError> {
        self.gather();
        self.blueprint().test_connections().await
    }

    /// Connects to the brokers, checks what the program asks against what they can do and how they are set up, and
    /// declares its topics and groups; what is produced from then on reaches its consumers, once they are
    /// [started](Ductape::start).
    ///
    /// # Errors
    ///
    /// All that keeps the program from starting, at once ([`BrokerError::findings`]): `CONFIG_INVALID`, `BROKER_NOT_FOUND`,
    /// `BROKER_ENV_NOT_FOUND`, `ALREADY_EXISTS` (two topics of one name and version, two consumers of one topic and
    /// group), `SCHEMA_INCOMPATIBLE` (the registry holds a schema of a topic that the program's can't follow), `UNSUPPORTED`. Else `CONNECTION_FAILED`, when a broker is not there after the
    /// [start-up timeout](Self::startup_timeout), or at once when it refuses the program; so too, or `STORE_FAILED`, when the
    /// store can't be opened.
    pub async fn build(mut self) -> Result<Ductape, BrokerError> {
        self.gather();
        #[cfg(feature = "store")]
        crate::tracking::check_retention(self.tracking.retention)?;
        let run_time_consumers = std::mem::take(&mut self.run_time_consumers);
        let blueprint = Arc::new(self.blueprint());
        #[cfg_attr(not(feature = "store"), allow(unused_mut))]
        let mut wired = blueprint.wire(None, run_time_consumers, None).await?;
        #[cfg(feature = "store")]
        let planned = blueprint.plan(&mut wired).await?;
        for finding in &wired.findings {
            if !finding.is_refusal() {
                tracing::warn!("{finding}");
            }
        }
        refuse(wired.refusals())?;
        declare(&wired.context, &wired.topics).await?;
        #[cfg(feature = "store")]
        planned.carry_out(&wired).await?;
        let ductape = Ductape {
            context: wired.context,
            providers: wired.connected.into_providers(),
            consumers: Mutex::new(wired.consumers),
            blueprint,
            tasks: tokio::sync::Mutex::default(),
            ending: Ending::new(),
            idle: idle::Seen::default(),
            #[cfg(feature = "store")]
            relay: Mutex::new(None),
            #[cfg(feature = "store")]
            recording: Mutex::new(None),
        };
        #[cfg(feature = "store")]
        ductape.start_relay();
        #[cfg(feature = "store")]
        ductape.start_recorder();
        #[cfg(feature = "store")]
        ductape.start_keeper();
        Ok(ductape)
    }

    fn blueprint(self) -> Blueprint {
        Blueprint {
            settings: self.settings,
            topics: self.topics,
            consumers: self.consumers,
            run_time_topics: self.run_time_topics,
            states: Arc::new(self.states),
            #[cfg(feature = "store")]
            tracking: self.tracking,
            observers: self.observers.into(),
            shutdown_timeout: self.shutdown_timeout,
            publish_timeout: self.publish_timeout,
            payload_bytes_max: self.payload_bytes_max,
            lease: self.lease,
            allowed: self.allowed,
        }
    }

    /// Adds what inventory found; what is there by hand already is not added again.
    fn gather(&mut self) {
        if self.inventory {
            self.topics.extend(
                inventory::iter::<RegisteredTopic>
                    .into_iter()
                    .map(|found| found.0),
            );
            self.consumers.extend(
                inventory::iter::<RegisteredConsumer>
                    .into_iter()
                    .map(|found| found.0),
            );
        }
        self.topics
            .extend(self.consumers.iter().map(|consumer| (consumer.topic)()));
        dedup_by_address(&mut self.topics);
        dedup_by_address(&mut self.consumers);
    }
}

fn dedup_by_address<T>(items: &mut Vec<&'static T>) {
    let mut seen = std::collections::HashSet::new();
    items.retain(|item| seen.insert(std::ptr::from_ref::<T>(item).addr()));
}

async fn declare(context: &Context, topics: &[TopicSpec]) -> Result<(), BrokerError> {
    for spec in topics {
        let route = context
            .wiring()
            .route(spec.topic.event().as_str(), spec.topic.version().get())?;
        route.provider.declare_dyn(spec).await.map_err(|error| {
            BrokerError::from_provider(
                ErrorCode::ConnectionFailed,
                format!("can't declare `{}`", spec.topic),
                error,
            )
        })?;
    }
    Ok(())
}

impl fmt::Debug for DuctapeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DuctapeBuilder")
            .field("topics", &self.topics.len())
            .field("consumers", &self.consumers.len())
            .field("inventory", &self.inventory)
            .finish_non_exhaustive()
    }
}
