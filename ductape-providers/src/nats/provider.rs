//! A connected cluster.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::Context;
use async_nats::jetstream::response::Response;
use ductape_schema::GroupName;
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::acks::{Acks, Answer};
use super::link::{Link, within};
use super::names::Names;
use super::subscription::{NatsSubscription, Shared, subscribe};
use super::topic::Topic;
use super::{declare, error, examine, publish, seek};
use crate::capability::Capability;
use crate::config::Declare;
use crate::error::{Error, ErrorKind, Result};
use crate::examine::Finding;
use crate::message::TopicName;
use crate::provider::{Backlog, Provider, ProviderInfo, PublishSlot};
use crate::spec::{SeekTo, SubscriptionSpec, TopicSpec};

/// How long a request of JetStream's API waits for a lost connection.
pub(super) const API_WITHIN: Duration = Duration::from_secs(3);
/// How long a ping may take.
const PING_WITHIN: Duration = Duration::from_secs(4);

/// A connected NATS cluster. Clones are handles of the same connection.
#[derive(Clone)]
pub(super) struct Nats(Arc<Inner>);

pub(super) struct Inner {
    pub(super) info: ProviderInfo,
    pub(super) capability: Capability,
    pub(super) client: Client,
    pub(super) jetstream: Context,
    pub(super) runtime: Handle,
    pub(super) link: Arc<Link>,
    pub(super) acks: Arc<Acks>,
    pub(super) acks_task: AbortHandle,
    pub(super) declares: Declare,
    pub(super) max_payload: usize,
    pub(super) features: Features,
    pub(super) topics: RwLock<HashMap<TopicName, Arc<Topic>>>,
    pub(super) subscriptions: Mutex<Vec<Weak<Shared>>>,
    pub(super) closed: std::sync::atomic::AtomicBool,
    pub(super) under_way: AtomicUsize,
    pub(super) settled_down: Notify,
}

/// What a server can do, by its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features {
    /// One member at a time (2.11).
    pub(super) pins: bool,
    /// Messages that wait for their time (2.12).
    pub(super) schedules: bool,
}

/// A publish that is under way, for as long as this lives.
pub(super) struct UnderWay<'a>(&'a Inner);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.settled_down.notify_waiters();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // It holds the connection.
        self.acks_task.abort();
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats")
            .field("address", &self.0.info.address)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl Nats {
    pub(super) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    pub(super) fn client(&self) -> &Client {
        &self.0.client
    }

    pub(super) fn jetstream(&self) -> &Context {
        &self.0.jetstream
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    pub(super) fn link(&self) -> &Link {
        &self.0.link
    }

    pub(super) fn acks(&self) -> &Acks {
        &self.0.acks
    }

    pub(super) fn declares(&self) -> Declare {
        self.0.declares
    }

    pub(super) fn max_payload(&self) -> usize {
        self.0.max_payload
    }

    pub(super) fn capability_now(&self) -> &Capability {
        &self.0.capability
    }

    pub(super) fn has_pins(&self) -> bool {
        self.0.features.pins
    }

    pub(super) fn has_schedules(&self) -> bool {
        self.0.features.schedules
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    pub(super) fn under_way(&self) -> UnderWay<'_> {
        self.0.under_way.fetch_add(1, Ordering::AcqRel);
        UnderWay(&self.0)
    }

    pub(super) fn known(&self, name: &TopicName) -> Option<Arc<Topic>> {
        let topics = self.0.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(name).cloned()
    }

    pub(super) fn learn(&self, topic: Topic) -> Arc<Topic> {
        let topic = Arc::new(topic);
        let mut topics = self.0.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.insert(topic.name.clone(), Arc::clone(&topic));
        topic
    }

    pub(super) fn forget(&self, name: &TopicName) {
        let mut topics = self.0.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.remove(name);
    }

    /// The subscriptions of this handle that are not ended.
    pub(super) fn subscriptions(&self) -> Vec<Arc<Shared>> {
        let mut subscriptions = self.lock_subscriptions();
        subscriptions.retain(|subscription| subscription.strong_count() > 0);
        subscriptions.iter().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn enlist(&self, shared: &Arc<Shared>) {
        let mut subscriptions = self.lock_subscriptions();
        subscriptions.retain(|subscription| subscription.strong_count() > 0);
        subscriptions.push(Arc::downgrade(shared));
        drop(subscriptions);
        // Closed in between: nobody else would stop it.
        if self.is_closed() {
            shared.stop();
        }
    }

    fn lock_subscriptions(&self) -> MutexGuard<'_, Vec<Weak<Shared>>> {
        self.0
            .subscriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How many marks a topic has.
    pub(super) async fn count_mark(&self, names: &Names) -> Result<u64> {
        match self.stream_of(&names.mark()).await? {
            Some(stream) => self.count(&stream, &names.mark()).await,
            None => Ok(0),
        }
    }

    /// A request that is part of ending, and so also made when the provider is closed.
    pub(super) async fn api_even_closed(&self, request: &str, body: &Value) -> Result<()> {
        let answer = self
            .0
            .jetstream
            .request::<_, _, Response<IgnoredAny>>(request.to_owned(), body)
            .await;
        match answer {
            Ok(Response::Ok(_)) => Ok(()),
            Ok(Response::Err { error }) => Err(error::of_api(&error)),
            Err(error) => Err(error::of_request(&error)),
        }
    }

    /// Sends a message to ourselves.
    async fn round_trip(&self) -> Result<()> {
        let waiting = self.0.acks.wait_for(1);
        let client = &self.0.client;
        let mut link = self.0.link.watch();
        let lost = link.borrow_and_update().lost;
        let trip = async {
            client
                .publish(waiting.reply(0), bytes::Bytes::new())
                .await
                .map_err(|_| error::gone(client))?;
            tokio::select! {
                () = waiting.batch.complete() => {}
                _ = link.wait_for(|now| now.over || now.lost != lost) => {}
            }
            match waiting.batch.take().pop() {
                // It came back, and is no confirmation.
                Some(Some(Answer::Unreadable(_))) => Ok(()),
                _ if self.0.link.now().over => Err(error::gone(client)),
                _ => Err(error::down()),
            }
        };
        timeout(PING_WITHIN, trip).await.unwrap_or_else(|_| {
            let text = format!("NATS did not answer within {PING_WITHIN:?}");
            Err(Error::new(ErrorKind::Timeout, text).with("operation", "ping"))
        })
    }

    async fn wait_until_settled(&self) {
        loop {
            let settled = self.0.settled_down.notified();
            if self.0.under_way.load(Ordering::Acquire) == 0 {
                return;
            }
            // Told between the two, it would not be heard.
            let _ = timeout(Duration::from_millis(50), settled).await;
        }
    }
}

impl Provider for Nats {
    type Subscription = NatsSubscription;

    fn info(&self) -> &ProviderInfo {
        &self.0.info
    }

    fn capability(&self) -> Capability {
        self.0.capability
    }

    async fn declare(&self, topic: &TopicSpec) -> Result<()> {
        declare::declare(self, topic).await
    }

    async fn publish(&self, batch: &mut [PublishSlot]) {
        publish::publish(self, batch).await;
    }

    async fn subscribe(&self, spec: &SubscriptionSpec) -> Result<NatsSubscription> {
        subscribe(self, spec).await
    }

    async fn seek(&self, topic: &TopicName, group: &GroupName, to: SeekTo) -> Result<()> {
        seek::seek(self, topic, group, to).await
    }

    async fn backlog(&self, topic: &TopicName, group: &GroupName) -> Result<Backlog> {
        seek::backlog(self, topic, group).await
    }

    async fn examine(&self, topics: &[TopicSpec]) -> Result<Vec<Finding>> {
        examine::examine(self, topics).await
    }

    async fn ping(&self) -> Result<()> {
        if self.is_closed() {
            return Err(error::closed());
        }
        let now = self.0.link.now();
        if now.over {
            return Err(error::gone(&self.0.client));
        }
        if !now.up {
            return Err(error::down());
        }
        self.round_trip().await
    }

    async fn close(&self, deadline: Instant) -> Result<()> {
        if self.0.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let late = |what: &str| {
            Error::new(ErrorKind::Timeout, format!("{what} before the deadline"))
                .with("provider", "nats")
                .with("operation", "close")
        };
        let published = timeout_at(deadline, self.wait_until_settled()).await;
        let subscriptions = self.subscriptions();
        for subscription in &subscriptions {
            subscription.stop();
        }
        let ended = async {
            for subscription in &subscriptions {
                let _ = subscription.done.subscribe().wait_for(|done| *done).await;
            }
        };
        let ended = timeout_at(deadline, ended).await;
        let up = self.0.link.now().up;
        let flushed = if up {
            timeout_at(deadline, self.round_trip()).await
        } else {
            Ok(Ok(()))
        };
        // Ends the connection once all is written; the deadline holds for the word, not for its end.
        let _ = timeout_at(
            deadline.max(within(Duration::from_millis(100))),
            self.0.client.drain(),
        )
        .await;
        if published.is_err() {
            return Err(late("not every message was confirmed"));
        }
        if ended.is_err() {
            return Err(late("not every subscription gave back what was unsettled"));
        }
        match flushed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(late("not all was sent")),
        }
    }
}
