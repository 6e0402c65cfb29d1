//! [`RabbitMq`], the provider.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use ductape_schema::GroupName;
use lapin::types::ShortString;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::channels::Channels;
use super::hold::Holds;
use super::link::Link;
use super::names::{Chosen, Topic, dead};
use super::subscription::{Member, RabbitMqSubscription};
use super::{backlog, declare, error, examine, publish};
use crate::capability::Capability;
use crate::config::Declare;
use crate::error::{Error, ErrorKind, Result};
use crate::examine::Finding;
use crate::message::TopicName;
use crate::provider::{Backlog, Provider, ProviderInfo, PublishSlot};
use crate::spec::{GroupSpec, SeekTo, SubscriptionSpec, TopicSpec};

/// How long a ping may take.
const PING_TIMEOUT: Duration = Duration::from_millis(4_500);

/// A connected RabbitMQ server. Clones are the same connections.
#[derive(Clone, Debug)]
pub(super) struct RabbitMq(Arc<Server>);

/// What the clones of a connection share, with its subscriptions.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) info: ProviderInfo,
    pub(super) capability: Capability,
    pub(super) publishing: Link,
    pub(super) consuming: Link,
    pub(super) channels: Channels,
    pub(super) holds: Holds,
    pub(super) declare: Declare,
    pub(super) chosen: Chosen,
    topics: RwLock<HashMap<TopicName, Arc<Topic>>>,
    ephemeral: Mutex<HashMap<(TopicName, GroupName), Ephemeral>>,
    seen: Mutex<HashSet<ShortString>>,
    members: Mutex<Vec<Weak<Member>>>,
    closed: watch::Sender<bool>,
    busy: AtomicUsize,
    idle: Notify,
}

/// The queues of a group that lives as long as its subscription.
#[derive(Clone, Debug)]
pub(super) struct Ephemeral {
    pub(super) queue: ShortString,
    pub(super) dead: ShortString,
}

/// The queues of a group.
#[derive(Clone, Debug)]
pub(super) struct Queues {
    pub(super) queue: ShortString,
    pub(super) dead: ShortString,
}

/// Something that closing waits for: a publish under way.
#[derive(Debug)]
pub(super) struct Busy(Arc<Server>);

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl RabbitMq {
    pub(super) fn new(
        publishing: Link,
        consuming: Link,
        capability: Capability,
        address: String,
        declare: Declare,
        chosen: Chosen,
    ) -> Self {
        Self(Arc::new(Server {
            info: ProviderInfo {
                provider: "rabbitmq",
                address,
            },
            capability,
            publishing,
            consuming,
            channels: Channels::new(),
            holds: Holds::default(),
            declare,
            chosen,
            topics: RwLock::default(),
            ephemeral: Mutex::default(),
            seen: Mutex::default(),
            members: Mutex::default(),
            closed: watch::Sender::new(false),
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
    pub(super) fn topic(&self, topic: &TopicName) -> Result<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = topics.get(topic) {
            return Ok(Arc::clone(known));
        }
        drop(topics);
        let unknown = Topic::new(TopicSpec::new(topic.clone()), &self.chosen, false)?;
        unknown.see(self.seen().contains(&unknown.exchange));
        Ok(Arc::new(unknown))
    }

    /// Exchanges that are there.
    fn seen(&self) -> MutexGuard<'_, HashSet<ShortString>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the topic's exchange is there: a publish to it does not end the channel.
    pub(super) fn see(&self, topic: &Topic) {
        topic.see(true);
        self.seen().insert(topic.exchange.clone());
    }

    /// The topic that is about to be declared, with the groups that were declared before.
    pub(super) fn prepare(&self, spec: &TopicSpec) -> Result<Topic> {
        Topic::new(spec.clone(), &self.chosen, true)
    }

    /// Remembers what was declared, with the groups that were declared before.
    ///
    /// # Errors
    ///
    /// [`ConfigInvalid`](ErrorKind::ConfigInvalid) when consumers of two topics would share the configured queue, and get
    /// each other's messages.
    pub(super) fn remember(&self, mut topic: Topic) -> Result<()> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = topics.get(&topic.spec.topic) {
            let kept = before.spec.groups.iter();
            let kept = kept.filter(|group| topic.group(&group.name).is_none());
            let kept: Vec<_> = kept.cloned().collect();
            topic.spec.groups.extend(kept);
        }
        if let Some(queue) = &self.chosen.queue {
            let unnamed = |topic: &Topic| topic.spec.groups.iter().filter(|group| !group.named).count();
            let others = topics
                .values()
                .filter(|other| other.spec.topic != topic.spec.topic);
            if unnamed(&topic) > 0 && unnamed(&topic) + others.map(|other| unnamed(other)).sum::<usize>() > 1
            {
                let text = format!(
                    "`queue` names `{queue}` for the consumers without a group, and there are several, which would take \
                     each other's messages; give all but one `group = \"…\"`"
                );
                return Err(Error::new(ErrorKind::ConfigInvalid, text).with("topic", &topic.spec.topic));
            }
        }
        topics.insert(topic.spec.topic.clone(), Arc::new(topic));
        Ok(())
    }

    /// No exchange is known to be there any more.
    pub(super) fn unsee(&self) {
        self.seen().clear();
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.values().for_each(|topic| topic.see(false));
    }

    pub(super) fn note_ephemeral(&self, topic: &Topic, group: &GroupSpec, queues: Ephemeral) {
        let mut ephemeral = self.ephemeral.lock().unwrap_or_else(PoisonError::into_inner);
        ephemeral.insert((topic.spec.topic.clone(), group.name.clone()), queues);
    }

    fn ephemeral(&self, topic: &TopicName, group: &GroupName) -> Option<Ephemeral> {
        let ephemeral = self.ephemeral.lock().unwrap_or_else(PoisonError::into_inner);
        if ephemeral.is_empty() {
            return None;
        }
        ephemeral.get(&(topic.clone(), group.clone())).cloned()
    }

    /// Whether the group lives as long as its subscription.
    pub(super) fn is_ephemeral(&self, topic: &TopicName, group: &GroupName) -> bool {
        self.ephemeral(topic, group).is_some()
    }

    /// The queues of a group; whether it was named is what `spec` says, else what was declared.
    pub(super) fn queues(&self, topic: &Topic, name: &GroupName, spec: Option<&GroupSpec>) -> Result<Queues> {
        if let Some(Ephemeral { queue, dead }) = self.ephemeral(&topic.spec.topic, name) {
            return Ok(Queues { queue, dead });
        }
        let named = spec.or_else(|| topic.group(name)).is_none_or(|group| group.named);
        let queue = topic.queue(name, named, &self.chosen)?;
        let dead = dead(&queue)?;
        Ok(Queues { queue, dead })
    }

    /// Notes a member, whose deliveries count.
    pub(super) fn join(&self, member: &Arc<Member>) {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|member| member.strong_count() > 0);
        members.push(Arc::downgrade(member));
    }

    /// How many deliveries of a queue this program's members have in hand.
    pub(super) fn in_hand(&self, queue: &ShortString) -> usize {
        let members: Vec<Arc<Member>> = {
            let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
            members.iter().filter_map(Weak::upgrade).collect()
        };
        members.iter().map(|member| member.in_hand(queue)).sum()
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

impl Provider for RabbitMq {
    type Subscription = RabbitMqSubscription;

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

    async fn subscribe(&self, spec: &SubscriptionSpec) -> Result<RabbitMqSubscription> {
        self.0.check()?;
        RabbitMqSubscription::join(Arc::clone(&self.0), spec).await
    }

    async fn seek(&self, topic: &TopicName, group: &GroupName, _to: SeekTo) -> Result<()> {
        self.0.check()?;
        let text = "a queue of RabbitMQ keeps no log, and can't be set to another position";
        Err(Error::new(ErrorKind::Unsupported, text)
            .with("topic", topic)
            .with("group", group))
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
        let asked = async {
            let open = self.0.publishing.get().await?;
            open.channel().await.map(drop)
        };
        match timeout(PING_TIMEOUT, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(error::timeout("ping")),
        }
    }

    async fn close(&self, deadline: Instant) -> Result<()> {
        self.0.closed.send_replace(true);
        let closed = timeout_at(deadline, async {
            self.0.settled_down().await;
            let (publishing, consuming) = tokio::join!(self.0.publishing.close(), self.0.consuming.close());
            publishing.and(consuming)
        });
        match closed.await {
            Ok(closed) => closed,
            Err(_) => Err(Error::new(
                ErrorKind::Timeout,
                "publishes did not end, or the server did not answer, before the deadline",
            )
            .with("operation", "close")),
        }
    }
}
