use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ductape_providers::provider::Backlog;
use ductape_providers::{AnyProvider, Outgoing};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::blueprint::Blueprint;
use super::builder::DuctapeBuilder;
use super::check::untyped_consumer;
use super::consumer_run::{Call, ConsumerRun, SingleHandler};
use super::idle;
use super::report::{CheckReport, Guarantee};
use super::session::{Stop, consume, subscribe};
use crate::clock;
use crate::consumer::{Delivery, HandlerError, Verdict};
use crate::context::Context;
use crate::error::{BrokerError, ErrorCode};
use crate::stats::ConsumerStats;

/// A program's topics and consumers, wired to the brokers that its environment names.
///
/// ```no_run
/// use ductape_events::prelude::*;
///
/// #[topic("order-events:order-created")]
/// struct OrderCreated {
///     order_id: String,
/// }
///
/// #[consumer]
/// async fn bill(order: OrderCreated) {
///     println!("billing {}", order.order_id);
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), BrokerError> {
/// let ductape = Ductape::from_env().await?;
/// OrderCreated { order_id: "1".into() }.produce(&ductape).await?;
/// ductape.run().await
/// # }
/// ```
pub struct Ductape {
    pub(super) context: Context,
    pub(super) providers: Vec<AnyProvider>,
    pub(super) consumers: Mutex<Vec<Arc<ConsumerRun>>>,
    pub(crate) blueprint: Arc<Blueprint>,
    pub(super) tasks: tokio::sync::Mutex<Tasks>,
    pub(super) ending: Ending,
    pub(super) idle: idle::Seen,
    /// Publishes what is in the outbox.
    #[cfg(feature = "store")]
    pub(super) relay: Mutex<Option<tokio::task::JoinHandle<()>>>,
    /// What writes the history.
    #[cfg(feature = "store")]
    pub(super) recording: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// The consumers' tasks.
#[derive(Default)]
pub(super) struct Tasks {
    running: JoinSet<usize>,
    started: bool,
}

/// How everything is told to end. Beside the tasks, so that what hangs while it starts is told too.
pub(super) struct Ending {
    stop: watch::Sender<bool>,
    deadline: watch::Sender<Instant>,
}

impl Ending {
    pub(super) fn new() -> Self {
        let (stop, _) = watch::channel(false);
        let (deadline, _) = watch::channel(clock::now());
        Self { stop, deadline }
    }

    fn check_open(&self) -> Result<(), BrokerError> {
        if *self.stop.borrow() {
            let text = "the program was shut down; build it again to go on";
            return Err(BrokerError::new(ErrorCode::ShuttingDown, text));
        }
        Ok(())
    }

    fn signal(&self) -> Stop {
        Stop {
            stopped: self.stop.subscribe(),
            deadline: self.deadline.subscribe(),
        }
    }

    /// Does `step` unless the program ends first.
    async fn unless_ended<T>(
        &self,
        step: impl Future<Output = Result<T, BrokerError>>,
    ) -> Result<T, BrokerError> {
        let signal = self.signal();
        tokio::select! {
            done = step => done,
            () = signal.told() => Err(BrokerError::new(
                ErrorCode::ShuttingDown,
                "the program was shut down before its consumers had joined their groups",
            )),
        }
    }
}

impl Ductape {
    /// What a program is when nothing is said in code: `ductape.toml` and the environment's variables, or the embedded
    /// broker without any; every `#[topic]` and `#[consumer]` that is linked in.
    ///
    /// # Errors
    ///
    /// Those of [`DuctapeBuilder::build`].
    pub async fn from_env() -> Result<Self, BrokerError> {
        Self::builder().build().await
    }

    /// Says in code what [`from_env`](Self::from_env) reads from outside.
    pub fn builder() -> DuctapeBuilder {
        DuctapeBuilder::new()
    }

    /// What `.produce(&ctx)` takes; `&ductape` itself will do.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Starts the consumers and returns. Starting again is harmless.
    ///
    /// # Errors
    ///
    /// `SUBSCRIBE_FAILED` when a consumer can't join its group; then none is left running. `SHUTTING_DOWN` after
    /// [`shutdown`](Self::shutdown).
    pub async fn start(&self) -> Result<(), BrokerError> {
        let mut tasks = self.tasks.lock().await;
        self.ending.check_open()?;
        if std::mem::replace(&mut tasks.started, true) {
            return Ok(());
        }
        let consumers = self.consumers().clone();
        for consumer in consumers {
            if let Err(error) = self.start_one(&mut tasks, consumer).await {
                tasks.started = false;
                tasks.running.shutdown().await;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Runs the consumers until SIGTERM or ctrl-c, then [shuts down](Self::shutdown).
    ///
    /// # Errors
    ///
    /// Those of [`start`](Self::start) and [`shutdown`](Self::shutdown).
    pub async fn run(&self) -> Result<(), BrokerError> {
        self.start().await?;
        until_told_to_end().await?;
        tracing::info!("shutting down: running handlers finish, what is not begun is given back");
        self.shutdown().await
    }

    /// Stops receiving, lets running handlers finish up to the shutdown timeout, gives the rest back to the brokers, and
    /// closes the connections. Later produce calls answer `SHUTTING_DOWN`.
    ///
    /// # Errors
    ///
    /// `SHUTTING_DOWN` naming how many handlers did not finish in time; their messages are delivered again.
    pub async fn shutdown(&self) -> Result<(), BrokerError> {
        let deadline = clock::after(self.blueprint.shutdown_timeout);
        let unfinished = self.stop_consumers(deadline).await;
        self.context.wiring().close();
        #[cfg(feature = "store")]
        self.end_relay(deadline).await;
        let close_by = deadline.max(clock::now() + Duration::from_secs(1));
        #[cfg_attr(not(feature = "store"), allow(unused_mut))]
        let mut providers = self.providers.clone();
        #[cfg(feature = "store")]
        for provider in self.context.wiring().late_providers() {
            if !providers.iter().any(|known| Arc::ptr_eq(known, &provider)) {
                providers.push(provider);
            }
        }
        for closed in join_all(providers.iter().map(|provider| provider.close_dyn(close_by))).await {
            if let Err(error) = closed {
                tracing::warn!(%error, "a broker's connection did not close cleanly");
            }
        }
        #[cfg(feature = "store")]
        self.end_recorder(close_by).await;
        self.context.wiring().close_store().await;
        if unfinished > 0 {
            let text = format!(
                "{unfinished} handlers did not finish within {:?}; their messages were given back",
                self.blueprint.shutdown_timeout
            );
            return Err(BrokerError::new(ErrorCode::ShuttingDown, text));
        }
        Ok(())
    }

    async fn start_one(&self, tasks: &mut Tasks, consumer: Arc<ConsumerRun>) -> Result<(), BrokerError> {
        let joined = async {
            let subscription = subscribe(&consumer).await;
            subscription.map_err(|error| subscribe_failed(&consumer, error))
        };
        let subscription = self.ending.unless_ended(joined).await?;
        let guarantee = Guarantee::of(&consumer);
        tracing::info!(
            consumer = consumer.name, topic = %consumer.topic, group = %consumer.group.name,
            provider = guarantee.provider, delivery = guarantee.delivery, order = guarantee.order, kept = guarantee.kept,
            "consuming"
        );
        let stop = self.ending.signal();
        tasks.running.spawn(consume(consumer, subscription, stop));
        Ok(())
    }

    /// Starts what publishes the outbox's messages, where there is one.
    #[cfg(feature = "store")]
    pub(super) fn start_relay(&self) {
        let Some(store) = self.context.wiring().store_if_any() else {
            return;
        };
        let (context, store, signal) = (self.context.clone(), store.clone(), self.ending.signal());
        let stop = async move { signal.told().await };
        let task = tokio::spawn(crate::delivery::relay::run(context, store, stop));
        *self.relay.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    /// Waits until what it has under way is published, up to `deadline`; the rest is published by others, or later.
    #[cfg(feature = "store")]
    async fn end_relay(&self, deadline: Instant) {
        let relay = self.relay.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut relay) = relay
            && tokio::time::timeout_at(deadline, &mut relay).await.is_err()
        {
            relay.abort();
        }
    }

    /// Starts what writes the history, where there is a store.
    #[cfg(feature = "store")]
    pub(super) fn start_recorder(&self) {
        let wiring = self.context.wiring();
        let (Some(recorder), Some(store)) = (wiring.recorder(), wiring.store_if_any()) else {
            return;
        };
        for consumer in self.consumers().iter() {
            recorder.consumed_by(&consumer.topic, &consumer.group.name);
        }
        let task = tokio::spawn(Arc::clone(recorder).run(store.clone()));
        *self.recording.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    /// Starts what removes the history that is too old or too much, where that is bounded.
    #[cfg(feature = "store")]
    pub(super) fn start_keeper(&self) {
        let wiring = self.context.wiring();
        if let (Some(recorder), Some(store)) = (wiring.recorder(), wiring.store_if_any())
            && recorder.retention() != ductape_store::tracking::Retention::default()
        {
            let signal = self.ending.signal();
            let stop = async move { signal.told().await };
            tokio::spawn(crate::tracking::keep(store.clone(), recorder.retention(), stop));
        }
    }

    /// Waits until all that happened is written, up to `deadline`.
    #[cfg(feature = "store")]
    async fn end_recorder(&self, deadline: Instant) {
        let Some(recorder) = self.context.wiring().recorder() else {
            return;
        };
        recorder.close();
        let task = self
            .recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut task) = task
            && tokio::time::timeout_at(deadline, &mut task).await.is_err()
        {
            task.abort();
            recorder.give_up();
        }
    }

    async fn stop_consumers(&self, deadline: Instant) -> usize {
        self.ending.deadline.send_replace(deadline);
        self.ending.stop.send_replace(true);
        let mut tasks = self.tasks.lock().await;
        let mut unfinished = 0;
        while let Some(ended) = tasks.running.join_next().await {
            unfinished += ended.unwrap_or(0);
        }
        unfinished
    }

    /// Consumes a topic by its name, as JSON, in the group `group`, until the program ends: for tools that have no type.
    /// Failures are tried again by the default policy. What does not fit the topic's schema becomes a dead letter; a topic
    /// that the configuration alone names has none.
    ///
    /// # Errors
    ///
    /// `EVENT_NAME_INVALID`, `TOPIC_NOT_FOUND`, `ALREADY_EXISTS` when the group has a consumer in this program,
    /// `PAYLOAD_INVALID` when the topic's schema can't be used to check messages, `SUBSCRIBE_FAILED`.
    pub async fn consume<F, Fut>(&self, event: &str, group: &str, handler: F) -> Result<(), BrokerError>
    where
        F: Fn(Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        self.context.wiring().route_by_name(event)?.validator()?;
        let handler = Arc::new(handler);
        let call: SingleHandler = Arc::new(move |delivery| {
            let handler = Arc::clone(&handler);
            async move {
                match fitting(delivery) {
                    Ok(value) => handler(value)
                        .await
                        .map_or_else(Verdict::from, |()| Verdict::Done),
                    Err(verdict) => verdict,
                }
            }
            .boxed()
        });
        let consumer = Arc::new(untyped_consumer(self, event, group, Call::Single(call))?);
        // Held to the end, so that two calls for one group don't both find it free.
        let mut tasks = self.tasks.lock().await;
        self.ending.check_open()?;
        let taken =
            |run: &Arc<ConsumerRun>| run.topic == consumer.topic && run.group.name == consumer.group.name;
        if self.consumers().iter().any(taken) {
            let text =
                format!("group `{group}` of `{event}` has a consumer in this program; name another group");
            return Err(BrokerError::new(ErrorCode::AlreadyExists, text));
        }
        let declare = async {
            let declared = consumer.provider.declare_dyn(&consumer.topic_spec()).await;
            declared.map_err(|error| subscribe_failed(&consumer, error))
        };
        self.ending.unless_ended(declare).await?;
        if tasks.started {
            self.start_one(&mut tasks, Arc::clone(&consumer)).await?;
        }
        #[cfg(feature = "store")]
        self.register_consumer(&consumer).await;
        #[cfg(feature = "store")]
        if let Some(recorder) = self.context.wiring().recorder() {
            recorder.consumed_by(&consumer.topic, &consumer.group.name);
        }
        self.consumers().push(consumer);
        Ok(())
    }

    #[cfg(feature = "store")]
    pub(crate) async fn test_connections(
        &self,
    ) -> Result<Vec<(String, ductape_providers::connection::ConnectionReport)>, BrokerError> {
        self.blueprint.test_connections().await
    }

    /// What each consumer did since the program started.
    pub fn stats(&self) -> Vec<ConsumerStats> {
        let consumers = self.consumers();
        consumers
            .iter()
            .map(|run| run.counters.snapshot(run.topic.event().as_str(), &run.group.name))
            .collect()
    }

    /// What a group still has before it, of the newest version of the topic.
    ///
    /// # Errors
    ///
    /// `EVENT_NAME_INVALID`, `TOPIC_NOT_FOUND`, and `UNSUPPORTED` where the broker can't count.
    pub async fn backlog(&self, event: &str, group: &str) -> Result<Backlog, BrokerError> {
        let route = self.context.wiring().route_by_name(event)?;
        let group = group.parse().map_err(|error: ductape_schema::NameError| {
            BrokerError::new(ErrorCode::SubscribeFailed, error.to_string())
        })?;
        route
            .provider
            .backlog_dyn(&route.topic, &group)
            .await
            .map_err(|error| {
                BrokerError::from_provider(
                    ErrorCode::SubscribeFailed,
                    format!("can't count what `{group}` has of `{event}`"),
                    error,
                )
            })
    }

    /// Waits until no consumer of this program has anything before it, retries included; `false` when that has not come
    /// within `limit`. Where the broker can't count what a group has before it, the program is taken to be idle when for
    /// 2 s nothing came and nothing was in hand.
    ///
    /// # Errors
    ///
    /// `CONNECTION_FAILED` when the broker can't be asked.
    pub async fn wait_idle(&self, limit: Duration) -> Result<bool, BrokerError> {
        let consumers = self.consumers().clone();
        idle::wait(&consumers, limit, &self.idle).await
    }

    /// Checks what the program asks against what the brokers of `environment` can do and how they are set up, and changes
    /// nothing there: everything that would keep it from starting, the guarantee that each consumer would have, and what its
    /// start would change in the registry.
    ///
    /// ```
    /// use ductape_events::prelude::*;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), BrokerError> {
    /// let ductape = Ductape::builder().without_inventory().in_process().build().await?;
    /// let report = ductape.check("dev").await;
    /// assert!(report.is_ok(), "{report}");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn check(&self, environment: &str) -> CheckReport {
        let lent = self.context.wiring().lend_store();
        self.blueprint.check(Some(environment), lent).await
    }

    /// What was published to `event`, in order: in the [test mode](DuctapeBuilder::in_process) alone, up to 100,000
    /// messages of all topics.
    pub fn published(&self, event: &str) -> Vec<Outgoing> {
        self.context.wiring().published(event)
    }

    pub(super) fn consumers(&self) -> std::sync::MutexGuard<'_, Vec<Arc<ConsumerRun>>> {
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The message as JSON, if it fits its topic's schema.
fn fitting(delivery: &Delivery) -> Result<Value, Verdict> {
    let value = delivery.event()?;
    let route = delivery
        .scope
        .context
        .wiring()
        .route_of(&delivery.message().topic);
    match route.and_then(|route| route.misfit(&value)) {
        Ok(None) => Ok(value),
        Ok(Some(text)) => Err(Verdict::undecodable(text)),
        Err(error) => Err(Verdict::undecodable(error)),
    }
}

fn subscribe_failed(consumer: &ConsumerRun, error: ductape_providers::Error) -> BrokerError {
    let text = format!(
        "consumer `{}` can't join group `{}` of `{}`",
        consumer.name, consumer.group.name, consumer.topic
    );
    BrokerError::from_provider(ErrorCode::SubscribeFailed, text, error)
}

async fn until_told_to_end() -> Result<(), BrokerError> {
    let failed = |error: std::io::Error| {
        BrokerError::new(
            ErrorCode::ConfigInvalid,
            "can't listen for the signal that ends the program",
        )
        .with_source(error)
    };
    #[cfg(unix)]
    {
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(failed)?;
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(failed),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.map_err(failed)
}

impl AsRef<Context> for Ductape {
    fn as_ref(&self) -> &Context {
        &self.context
    }
}

impl fmt::Debug for Ductape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ductape")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}
