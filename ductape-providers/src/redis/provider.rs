//! [`Redis`], the provider.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use ductape_schema::GroupName;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::declare::Mode;
use super::keys::TopicKeys;
use super::link::Link;
use super::member::Member;
use super::packed::Shared;
use super::subscription::RedisSubscription;
use super::{backlog, declare, error, examine, publish};
use crate::capability::Capability;
use crate::config::RedisHeaders;
use crate::error::{Error, ErrorKind, Result};
use crate::examine::Finding;
use crate::message::TopicName;
use crate::provider::{Backlog, Durability, Provider, ProviderInfo, PublishSlot};
use crate::spec::{SeekTo, SubscriptionSpec, TopicSpec};

/// How long a ping may take.
const PING_TIMEOUT: Duration = Duration::from_millis(4_500);

/// A connected Redis server. Clones are the same connection.
#[derive(Clone, Debug)]
pub(super) struct Redis(pub(super) Arc<Server>);

/// What the clones of a connection share, with its subscriptions.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) info: ProviderInfo,
    pub(super) capability: Capability,
    pub(super) link: Link,
    pub(super) declare: Mode,
    pub(super) durability: Durability,
    /// How long what all groups have settled is kept.
    pub(super) retention: Duration,
    pub(super) headers: RedisHeaders,
    topics: RwLock<HashMap<TopicName, Arc<Topic>>>,
    members: Mutex<Vec<Weak<Member>>>,
    /// By the key of the hash.
    shared: Mutex<HashMap<String, Arc<Shared>>>,
    closed: watch::Sender<bool>,
    /// Counts delayed publishes: keepers look for what is due when it changes.
    pub(super) delayed: watch::Sender<u64>,
    busy: AtomicUsize,
    idle: Notify,
}

/// A topic as this program declared it.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) keys: TopicKeys,
    pub(super) spec: TopicSpec,
}

/// Something that closing waits for: a publish under way, a subscription that gives back.
#[derive(Debug)]
pub(super) struct Busy(Arc<Server>);

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl Redis {
    pub(super) fn new(
        link: Link,
        capability: Capability,
        address: String,
        declare: Mode,
        durability: Durability,
        retention: Duration,
        headers: RedisHeaders,
    ) -> Self {
        Self(Arc::new(Server {
            info: ProviderInfo {
                provider: "redis",
                address,
            },
            capability,
            link,
            declare,
            durability,
            retention,
            headers,
            topics: RwLock::default(),
            members: Mutex::default(),
            shared: Mutex::default(),
            closed: watch::Sender::new(false),
            delayed: watch::Sender::new(0),
            busy: AtomicUsize::new(0),
            idle: Notify::new(),
        }))
    }
}

impl Server {
    /// Fails once the provider is closed.
    pub(super) fn check(&self) -> Result<()> {
        if *self.closed.borrow() {
            return Err(error::closed());
        }
        Ok(())
    }

    /// Becomes true when the provider closes.
    pub(super) fn closing(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// Keeps closing from ending; fails once the provider is closed.
    pub(super) fn busy(self: &Arc<Self>) -> Result<Busy> {
        self.busy.fetch_add(1, Ordering::AcqRel);
        let busy = Busy(Arc::clone(self));
        self.check()?;
        Ok(busy)
    }

    /// What was declared as `topic`; under its usual name where it was not.
    pub(super) fn topic(&self, topic: &TopicName) -> Arc<Topic> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = topics.get(topic) {
            return Arc::clone(known);
        }
        Arc::new(Topic {
            keys: TopicKeys::new(&topic.physical()),
            spec: TopicSpec::new(topic.clone()),
        })
    }

    pub(super) fn is_declared(&self, topic: &TopicName) -> bool {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.contains_key(topic)
    }

    /// Remembers what was declared, with the groups that were declared before.
    pub(super) fn remember(&self, spec: &TopicSpec) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let mut spec = spec.clone();
        if let Some(before) = topics.get(&spec.topic) {
            let kept = before.spec.groups.iter();
            let kept = kept.filter(|group| !spec.groups.iter().any(|new| new.name == group.name));
            let kept: Vec<_> = kept.cloned().collect();
            spec.groups.extend(kept);
        }
        let physical = spec.physical.clone().unwrap_or_else(|| spec.topic.physical());
        let topic = Topic {
            keys: TopicKeys::new(&physical),
            spec,
        };
        topics.insert(topic.spec.topic.clone(), Arc::new(topic));
    }

    /// The headers that messages of a topic have in common.
    pub(super) fn shared(&self, keys: &TopicKeys) -> Arc<Shared> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shared.get(&keys.headers) {
            return Arc::clone(known);
        }
        let new = Arc::new(Shared::new(keys.headers.clone()));
        shared.insert(keys.headers.clone(), Arc::clone(&new));
        new
    }

    /// Notes a member, to be told of a seek.
    pub(super) fn join(&self, member: &Arc<Member>) {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|member| member.strong_count() > 0);
        members.push(Arc::downgrade(member));
    }

    /// Tells the members that read `stream` that what they have in hand was dropped.
    pub(super) fn sought(&self, stream: &str) {
        let members: Vec<_> = {
            let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
            members.iter().filter_map(Weak::upgrade).collect()
        };
        for member in members
            .iter()
            .filter(|member| member.streams.iter().any(|name| name == stream))
        {
            member.sought();
        }
    }

    async fn settled_down(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.busy.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Provider for Redis {
    type Subscription = RedisSubscription;

    fn info(&self) -> &ProviderInfo {
        &self.0.info
    }

    fn capability(&self) -> Capability {
        self.0.capability
    }

    async fn declare(&self, spec: &TopicSpec) -> Result<()> {
        self.0.check()?;
        declare::declare(&self.0, spec).await
    }

    async fn publish(&self, batch: &mut [PublishSlot]) {
        publish::publish(&self.0, batch).await;
    }

    async fn subscribe(&self, spec: &SubscriptionSpec) -> Result<RedisSubscription> {
        RedisSubscription::join(Arc::clone(&self.0), spec).await
    }

    async fn seek(&self, topic: &TopicName, group: &GroupName, to: SeekTo) -> Result<()> {
        self.0.check()?;
        backlog::seek(&self.0, topic, group, to).await
    }

    async fn backlog(&self, topic: &TopicName, group: &GroupName) -> Result<Backlog> {
        self.0.check()?;
        backlog::backlog(&self.0, topic, group).await
    }

    async fn examine(&self, topics: &[TopicSpec]) -> Result<Vec<Finding>> {
        self.0.check()?;
        examine::examine(&self.0, topics).await
    }

    async fn ping(&self) -> Result<()> {
        self.0.check()?;
        let command = redis::cmd("PING");
        match timeout(PING_TIMEOUT, self.0.link.command(&command)).await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(
                Error::new(ErrorKind::Timeout, "the server did not answer in time").with("operation", "ping"),
            ),
        }
    }

    async fn close(&self, deadline: Instant) -> Result<()> {
        self.0.closed.send_replace(true);
        let settled = timeout_at(deadline, self.0.settled_down()).await;
        self.0.link.close();
        settled.map_err(|_| {
            Error::new(
                ErrorKind::Timeout,
                "publishes or subscriptions did not end before the deadline",
            )
            .with("operation", "close")
        })
    }
}
