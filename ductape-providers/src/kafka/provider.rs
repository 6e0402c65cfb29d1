//! [`Kafka`], the provider.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ductape_schema::GroupName;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::Consumer as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::ask;
use super::config::{self, ASK_TIMEOUT};
use super::connect::{Asking, NO_TOPIC, blocking, listen};
use super::error::{closed, of_client};
use super::publish::{Destination, Publisher};
use super::shared::Shared;
use super::subscription::KafkaSubscription;
use super::topology::{Group, Known, Topology};
use super::watch::Watch;
use crate::capability::Capability;
use crate::config::KafkaConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::examine::Finding;
use crate::message::{Outgoing, Route, TopicName};
use crate::provider::{Backlog, Provider, ProviderInfo, PublishSlot};
use crate::spec::{GroupSpec, SeekTo, Source, SubscriptionSpec, TopicSpec};

/// How long a ping may take, and the whole of it with what is under way before it.
const PING_TIMEOUT: Duration = Duration::from_millis(4_500);
/// How many clients of groups are kept to be asked again.
const GROUP_CLIENTS_MAX: usize = 4;

/// A connection to a Kafka cluster. Clones are the same connection. It works from any tokio runtime.
#[derive(Clone, Debug)]
pub(crate) struct Kafka {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    info: ProviderInfo,
    pub(super) config: Arc<KafkaConfig>,
    pub(super) topology: Topology,
    asking: Arc<Asking>,
    publisher: Publisher,
    closed: AtomicBool,
    members: Mutex<Vec<Member>>,
    group_clients: Mutex<Vec<(String, Arc<Asking>)>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// A subscription of this connection.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) topic: TopicName,
    pub(super) group: GroupName,
    pub(super) source: Source,
    pub(super) shared: Arc<Shared>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kafka {
    pub(super) fn new(config: Arc<KafkaConfig>, asking: Asking) -> Result<Self> {
        let info = ProviderInfo {
            provider: "kafka",
            address: config.address(),
        };
        let publisher = Publisher::new(Arc::clone(&config))?;
        Ok(Self {
            inner: Arc::new(Inner {
                info,
                config,
                topology: Topology::default(),
                asking: Arc::new(asking),
                publisher,
                closed: AtomicBool::new(false),
                members: Mutex::default(),
                group_clients: Mutex::default(),
            }),
        })
    }
}

impl Inner {
    /// Fails once the connection is closed.
    pub(super) fn check(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        Ok(())
    }

    /// Asks the cluster, on a thread that may be blocked.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Asking) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let asking = Arc::clone(&self.asking);
        blocking(move || question(&asking)).await?
    }

    /// Asks about a group, on a thread that may be blocked.
    pub(super) async fn ask_group<T: Send + 'static>(
        self: &Arc<Self>,
        id: &str,
        question: impl FnOnce(&Asking, &Asking) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (inner, id) = (Arc::clone(self), id.to_owned());
        blocking(move || {
            let client = inner.group_client(&id)?;
            listen(&client);
            question(&client, &inner.asking)
        })
        .await?
    }

    /// A client that is no member of the group, but may ask about it. It may block.
    fn group_client(&self, id: &str) -> Result<Arc<Asking>> {
        if let Some((_, client)) = lock(&self.group_clients).iter().find(|(known, _)| known == id) {
            return Ok(Arc::clone(client));
        }
        let client = config::consumer(&self.config, id);
        let client = Asking::from_config_and_context(&client, Watch::default());
        let client = Arc::new(client.map_err(|error| of_client(&error, "ask about a group"))?);
        let dropped = {
            let mut clients = lock(&self.group_clients);
            clients.push((id.to_owned(), Arc::clone(&client)));
            (clients.len() > GROUP_CLIENTS_MAX).then(|| clients.remove(0))
        };
        drop(dropped);
        Ok(client)
    }

    /// A topic that exists.
    pub(super) async fn known(&self, name: &TopicName) -> Result<Arc<Known>> {
        if let Some(known) = self.topology.known(name) {
            return Ok(known);
        }
        let topic = self.topology.topic(&self.config, name);
        let found = self.ask({
            let main = topic.main.clone();
            move |asking| ask::partitions(asking, &main)
        });
        match found.await? {
            Some(partitions) => self.add(topic, &partitions).await,
            None => Err(ask::missing(&topic.main).with("event", name)),
        }
    }

    /// A group that was declared, here or elsewhere.
    pub(super) async fn group(self: &Arc<Self>, known: &Known, spec: &GroupSpec) -> Result<Arc<Group>> {
        if let Some(group) = known.group(&spec.name) {
            return Ok(group);
        }
        let group = self.topology.group(&self.config, &known.topic, spec)?;
        let exists = !spec.ephemeral && self.exists(known, &group).await?;
        if !exists {
            let text = format!("no group `{}` of `{}`; declare it", spec.name, known.topic.name);
            return Err(Error::new(ErrorKind::GroupMissing, text).with("provider", "kafka"));
        }
        let group = Arc::new(group);
        known.add(spec.name.clone(), Arc::clone(&group));
        Ok(group)
    }

    /// Whether a group has a place in the topic.
    pub(super) async fn exists(self: &Arc<Self>, known: &Known, group: &Group) -> Result<bool> {
        let main = known.topic.main.clone();
        self.ask_group(&group.id, move |client, asking| {
            let count = ask::partitions(asking, &main)?.map_or(0, |partitions| partitions.len());
            let marks = ask::committed(client, &main, count)?;
            Ok(marks.iter().any(Option::is_some))
        })
        .await
    }

    /// Where a message goes.
    pub(super) async fn destination(self: &Arc<Self>, message: &Outgoing) -> Result<Destination> {
        self.check()?;
        let known = self.known(&message.topic).await?;
        let group = |name: &GroupName| GroupSpec::new(name.clone());
        Ok(match &message.route {
            Route::Topic => Destination::Topic(known),
            Route::Group(name) => {
                let group = self.group(&known, &group(name)).await?;
                Destination::Retry(known, group)
            }
            Route::DeadLetters(name) => {
                let group = self.group(&known, &group(name)).await?;
                self.dead_letters_exist(&group).await?;
                Destination::Dead(known, group)
            }
        })
    }

    /// The subscriptions of a group that have not ended.
    pub(super) fn members(&self, topic: &TopicName, group: &GroupName) -> Vec<Member> {
        let mut members = lock(&self.members);
        members.retain(|member| !member.shared.is_over());
        let of_group = members.iter().filter(|member| {
            member.topic == *topic && member.group == *group && member.source == Source::Messages
        });
        of_group.cloned().collect()
    }

    pub(super) fn add_member(&self, member: Member) {
        let mut members = lock(&self.members);
        members.retain(|member| !member.shared.is_over());
        members.push(member);
    }

    async fn close(&self, deadline: Instant) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let members = std::mem::take(&mut *lock(&self.members));
        for member in &members {
            member.shared.close();
        }
        let flushed = self.publisher.close(deadline).await;
        let ended = async {
            for member in &members {
                member.shared.closed().await;
            }
        };
        let ended = timeout_at(deadline, ended).await;
        self.drop_clients();
        flushed?;
        ended.map_err(|_| {
            let text = "a subscription did not end in time; what it had settled may come again";
            Error::new(ErrorKind::Timeout, text).with("provider", "kafka")
        })
    }

    /// Drops what blocks when it is dropped on a thread of its own.
    fn drop_clients(&self) {
        let clients = std::mem::take(&mut *lock(&self.group_clients));
        if !clients.is_empty() {
            let _ = std::thread::Builder::new()
                .name("ductape-kafka-end".to_owned())
                .spawn(move || drop(clients));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.drop_clients();
    }
}

impl Provider for Kafka {
    type Subscription = KafkaSubscription;

    fn info(&self) -> &ProviderInfo {
        &self.inner.info
    }

    fn capability(&self) -> Capability {
        config::capability(&self.inner.config)
    }

    async fn declare(&self, topic: &TopicSpec) -> Result<()> {
        self.inner.check()?;
        self.inner.declare(topic).await
    }

    async fn publish(&self, batch: &mut [PublishSlot]) {
        for batch in batch.chunks_mut(config::PUBLISH_BATCH_MAX.get()) {
            self.inner.publisher.publish(&self.inner, batch).await;
        }
    }

    async fn subscribe(&self, spec: &SubscriptionSpec) -> Result<KafkaSubscription> {
        self.inner.check()?;
        KafkaSubscription::open(&self.inner, spec).await
    }

    async fn seek(&self, topic: &TopicName, group: &GroupName, to: SeekTo) -> Result<()> {
        self.inner.check()?;
        self.inner.seek(topic, group, to).await
    }

    async fn backlog(&self, topic: &TopicName, group: &GroupName) -> Result<Backlog> {
        self.inner.check()?;
        self.inner.backlog(topic, group).await
    }

    async fn examine(&self, topics: &[TopicSpec]) -> Result<Vec<Finding>> {
        self.inner.check()?;
        self.inner.examine(topics).await
    }

    async fn ping(&self) -> Result<()> {
        self.inner.check()?;
        let asked = self.inner.ask(|asking| {
            listen(asking);
            let answer = asking.fetch_metadata(Some(NO_TOPIC), PING_TIMEOUT.min(ASK_TIMEOUT));
            answer.map(drop).map_err(|error| of_client(&error, "ping"))
        });
        timeout(PING_TIMEOUT, asked).await.unwrap_or_else(|_| {
            let text = format!("no broker answered within {PING_TIMEOUT:?}");
            Err(Error::new(ErrorKind::Timeout, text).with("provider", "kafka"))
        })
    }

    async fn close(&self, deadline: Instant) -> Result<()> {
        self.inner.close(deadline).await
    }
}
