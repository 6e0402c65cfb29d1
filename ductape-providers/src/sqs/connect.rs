//! Connecting, and the provider itself.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering as Atomic};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use ductape_schema::GroupName;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::config::{Clients, clients, host_and_port};
use super::gather::{ENTRIES_MAX, Lane};
use super::subscription::SqsSubscription;
use super::topology::{Account, GroupPlace, Target, TopicPlace};
use super::wire::PAYLOAD_LEN_MAX;
use super::{error, examine, publish};
use crate::capability::{Capability, Order, Requeue};
use crate::config::SqsConfig;
use crate::connection::{ConnectionReport, Probe};
use crate::error::{Error, ErrorKind, Result};
use crate::examine::Finding;
use crate::message::TopicName;
use crate::provider::{Backlog, Provider, ProviderInfo, PublishSlot};
use crate::provider_dyn::AnyProvider;
use crate::spec::{SeekTo, SubscriptionSpec, TopicSpec};

/// The longest that a message stays invisible, from its receive on, however often that is extended:
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html>.
pub(super) const INVISIBLE_MAX: Duration = Duration::from_hours(12);
/// The longest delayed requeue: less than that, since the handler took its part of it.
pub(super) const REQUEUE_MAX: Duration = Duration::from_hours(11);
/// The longest delay of a message that is sent to a standard queue.
pub(super) const DELAY_MAX: Duration = Duration::from_mins(15);
/// How many deliveries one receive returns at most: a few polls of ten.
pub(super) const RECEIVE_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(99);
/// The entries of one request: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>.
pub(super) const BATCH_MAX: usize = 10;
/// How many messages may wait for a time that is no whole second; others wait for the whole one.
const EXACT_WAITS_MAX: usize = 1_024;
/// How long a connection that is asked whether it is there may take.
const PING_TIMEOUT: Duration = Duration::from_millis(4_500);
/// The queue that a ping asks for. That it is not there, or may not be asked for, is an answer.
const PING_QUEUE: &str = "ductape-ping";

/// A connection to SQS and SNS. Clones are the same connection.
#[derive(Clone)]
pub(super) struct Sqs(pub(super) Arc<Inner>);

/// What the clones share.
pub(super) struct Inner {
    pub(super) info: ProviderInfo,
    pub(super) config: SqsConfig,
    pub(super) clients: Clients,
    /// Where topics are looked for, once it is known.
    pub(super) account: OnceLock<Account>,
    topics: Mutex<HashMap<TopicName, Arc<TopicPlace>>>,
    groups: Mutex<HashMap<(TopicName, GroupName), Arc<GroupPlace>>>,
    lanes: Mutex<HashMap<Target, Arc<Lane>>>,
    /// A place for each message that is being published; closing takes them all.
    pub(super) entries: Arc<Semaphore>,
    /// A place for each message that waits for a time that is no whole second.
    pub(super) exact: Arc<Semaphore>,
    closed: watch::Sender<bool>,
    flushed: AtomicBool,
}

impl fmt::Debug for Sqs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqs")
            .field("info", &self.0.info)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects.
///
/// # Errors
///
/// [`Unreachable`](ErrorKind::Unreachable) when nothing answers, [`Unauthorized`](ErrorKind::Unauthorized) when the keys
/// are refused.
pub(crate) async fn connect(config: &SqsConfig) -> Result<AnyProvider> {
    let inner = Arc::new(Inner {
        info: ProviderInfo {
            provider: "sqs",
            address: config.address(),
        },
        config: config.clone(),
        // Boxed: the look for keys is a large future.
        clients: Box::pin(clients(config)).await,
        account: OnceLock::new(),
        topics: Mutex::default(),
        groups: Mutex::default(),
        lanes: Mutex::default(),
        entries: Arc::new(Semaphore::new(ENTRIES_MAX)),
        exact: Arc::new(Semaphore::new(EXACT_WAITS_MAX)),
        closed: watch::Sender::new(false),
        flushed: AtomicBool::new(false),
    });
    inner.ping().await?;
    Ok(Arc::new(Sqs(inner)))
}

/// What SQS can do as configured; no connection is needed to know it.
pub(crate) fn capability(config: &SqsConfig) -> Capability {
    let mut capability = Capability::least(PAYLOAD_LEN_MAX);
    capability.order = if config.fifo { Order::PerKey } else { Order::None };
    capability.requeue = Requeue::Delayed {
        max: REQUEUE_MAX,
        holds_key: config.fifo,
    };
    capability.groups = true;
    capability.ephemeral_groups = true;
    capability.route_to_group = true;
    capability.delivery_count = true;
    capability.persistent = true;
    capability.backlog = true;
    // A FIFO queue delays all of its messages or none.
    capability.group_delay_max = (!config.fifo).then_some(DELAY_MAX);
    capability.lease = true;
    capability.unsettled_max = Some(INVISIBLE_MAX);
    capability.publish_batch_max = NonZeroUsize::MIN.saturating_add(BATCH_MAX - 1);
    capability.receive_batch_max = RECEIVE_MAX;
    capability
}

/// Tries a connection, step by step: finds the host, connects, and asks SQS and SNS something that needs keys.
pub(crate) async fn test_connection(config: &SqsConfig) -> ConnectionReport {
    let mut probe = Probe::new("sqs", config.address());
    let (host, port) = host_and_port(config);
    if probe.reach(&[(&host, port)]).await.is_none() {
        return probe.finish();
    }
    let clients = Box::pin(clients(config)).await;
    let known = probe
        .step("authenticate", async {
            let asked = clients.sqs.get_queue_url().queue_name(PING_QUEUE).send().await;
            match asked.map_err(|error| error::of("authenticate", error)) {
                Ok(_) => Ok(("the keys are known".to_owned(), ())),
                Err(error) if is_answer(&error) => Ok(("the keys are known".to_owned(), ())),
                Err(error) => Err(error),
            }
        })
        .await;
    if known.is_none() {
        return probe.finish();
    }
    probe
        .step("authorize", async {
            let queues = clients.sqs.list_queues().max_results(1).send().await;
            queues.map_err(|error| error::of("list queues", error))?;
            let topics = clients.sns.list_topics().send().await;
            topics.map_err(|error| error::of("list topics", error))?;
            Ok(("queues and topics can be listed".to_owned(), ()))
        })
        .await;
    probe.finish()
}

/// Whether an error shows that SQS is there and knows the keys.
fn is_answer(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::TopicMissing => true,
        // Known keys that may not ask for this queue.
        ErrorKind::Unauthorized => error.message().contains("AccessDenied"),
        _ => false,
    }
}

impl Inner {
    /// # Errors
    ///
    /// [`Closed`](ErrorKind::Closed) once the connection is.
    pub(super) fn open(&self) -> Result<()> {
        if *self.closed.borrow() {
            Err(closed())
        } else {
            Ok(())
        }
    }

    /// What becomes true when the connection is closed.
    pub(super) fn closing(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    async fn ping(&self) -> Result<()> {
        let asked = self.clients.sqs.get_queue_url().queue_name(PING_QUEUE).send();
        let answer = timeout(PING_TIMEOUT, asked).await.map_err(|_| {
            let text = format!("SQS did not answer within {PING_TIMEOUT:?}");
            Error::new(ErrorKind::Timeout, text).with("operation", "ping")
        })?;
        match answer.map_err(|error| error::of("ping", error)) {
            Ok(_) => Ok(()),
            Err(error) if is_answer(&error) => Ok(()),
            Err(error) => Err(error.with("address", &self.info.address)),
        }
    }

    pub(super) fn known_topic(&self, topic: &TopicName) -> Option<Arc<TopicPlace>> {
        lock(&self.topics).get(topic).cloned()
    }

    pub(super) fn keep_topic(&self, topic: &TopicName, place: TopicPlace) -> Arc<TopicPlace> {
        let place = Arc::new(place);
        lock(&self.topics).insert(topic.clone(), Arc::clone(&place));
        place
    }

    pub(super) fn known_group(&self, topic: &TopicName, group: &GroupName) -> Option<Arc<GroupPlace>> {
        lock(&self.groups).get(&(topic.clone(), group.clone())).cloned()
    }

    pub(super) fn keep_group(
        &self,
        topic: &TopicName,
        group: &GroupName,
        place: GroupPlace,
    ) -> Arc<GroupPlace> {
        let place = Arc::new(place);
        lock(&self.groups).insert((topic.clone(), group.clone()), Arc::clone(&place));
        place
    }

    pub(super) fn forget_group(&self, topic: &TopicName, group: &GroupName) {
        lock(&self.groups).remove(&(topic.clone(), group.clone()));
    }

    /// Forgets where a topic and its groups are: something answered that it is not there.
    pub(super) fn forget_topic(&self, topic: &TopicName) {
        lock(&self.topics).remove(topic);
        lock(&self.groups).retain(|(of, _), place| of != topic || place.own.is_some());
    }

    /// The groups of `topic` that are known here.
    pub(super) fn groups_of(&self, topic: &TopicName) -> Vec<GroupName> {
        let groups = lock(&self.groups);
        let of_topic = groups.keys().filter(|(of, _)| of == topic);
        of_topic.map(|(_, group)| group.clone()).collect()
    }

    /// The lane that gathers what goes to `target`.
    pub(super) fn lane(&self, target: &Target) -> Arc<Lane> {
        let mut lanes = lock(&self.lanes);
        if let Some(lane) = lanes.get(target) {
            return Arc::clone(lane);
        }
        let lane = Arc::new(Lane::new(target.clone(), self.clients.clone()));
        lanes.insert(target.clone(), Arc::clone(&lane));
        lane
    }

    async fn counts(&self, url: &str) -> Result<[u64; 3]> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let asked = self.clients.sqs.get_queue_attributes().queue_url(url);
        let answer = asked.set_attribute_names(Some(names.to_vec())).send().await;
        let answer = answer.map_err(|error| error::of("backlog", error))?;
        Ok(names.map(|name| {
            let counts = answer.attributes();
            let count = counts.and_then(|counts| counts.get(&name)?.parse().ok());
            count.unwrap_or_default()
        }))
    }
}

/// The error of everything after [`close`](Provider::close).
pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the connection to SQS was closed").with("provider", "sqs")
}

impl Provider for Sqs {
    type Subscription = SqsSubscription;

    fn info(&self) -> &ProviderInfo {
        &self.0.info
    }

    fn capability(&self) -> Capability {
        capability(&self.0.config)
    }

    async fn declare(&self, topic: &TopicSpec) -> Result<()> {
        self.0.open()?;
        self.0.declare(topic).await
    }

    async fn publish(&self, batch: &mut [PublishSlot]) {
        publish::publish(&self.0, batch).await;
    }

    async fn subscribe(&self, spec: &SubscriptionSpec) -> Result<SqsSubscription> {
        self.0.open()?;
        SqsSubscription::join(&self.0, spec).await
    }

    async fn seek(&self, topic: &TopicName, _group: &GroupName, to: SeekTo) -> Result<()> {
        self.0.open()?;
        let text = format!("SQS keeps no log: a group can't be set to {to:?}");
        Err(Error::new(ErrorKind::Unsupported, text).with("topic", topic))
    }

    async fn backlog(&self, topic: &TopicName, group: &GroupName) -> Result<Backlog> {
        self.0.open()?;
        let place = self.0.group(topic, group).await?;
        let [mut ready, mut delayed, mut in_flight] = self.0.counts(&place.queue).await?;
        if let Some(retry) = &place.retry {
            let [more_ready, more_delayed, more_in_flight] = self.0.counts(retry).await?;
            ready += more_ready;
            delayed += more_delayed;
            in_flight += more_in_flight;
        }
        let dead_letters = self.0.counts(&place.dead_letters).await?.iter().sum();
        Ok(Backlog {
            ready,
            delayed,
            in_flight,
            dead_letters,
        })
    }

    async fn examine(&self, topics: &[TopicSpec]) -> Result<Vec<Finding>> {
        self.0.open()?;
        examine::examine(&self.0, topics).await
    }

    async fn ping(&self) -> Result<()> {
        self.0.open()?;
        self.0.ping().await
    }

    async fn close(&self, deadline: Instant) -> Result<()> {
        self.0.closed.send_replace(true);
        if self.0.flushed.swap(true, Atomic::AcqRel) {
            return Ok(());
        }
        let all = u32::try_from(ENTRIES_MAX).unwrap_or(u32::MAX);
        let flushed = timeout_at(deadline, self.0.entries.acquire_many(all)).await;
        // Whoever still waits for a place is told that it is too late.
        let in_time = flushed.is_ok();
        drop(flushed);
        self.0.entries.close();
        self.0.delete_own_groups(deadline).await;
        if in_time {
            return Ok(());
        }
        let text = "messages were still being published when the time to close was over";
        Err(Error::new(ErrorKind::Timeout, text).with("provider", "sqs"))
    }
}

impl Inner {
    /// Deletes the groups of this process alone that nobody subscribed to, or has left.
    async fn delete_own_groups(&self, deadline: Instant) {
        let own: Vec<((TopicName, GroupName), Arc<GroupPlace>)> = {
            let mut groups = lock(&self.groups);
            let keys = groups.iter().filter(|(_, place)| place.own.is_some());
            let keys: Vec<_> = keys.map(|(key, _)| key.clone()).collect();
            keys.into_iter()
                .filter_map(|key| groups.remove(&key).map(|place| (key, place)))
                .collect()
        };
        for ((topic, _), place) in own {
            let deleted = timeout_at(deadline, self.delete_own(&place)).await;
            if !matches!(deleted, Ok(Ok(()))) {
                tracing::warn!(%topic, queue = %place.queue, "a queue of this process alone could not be deleted");
            }
        }
    }
}
