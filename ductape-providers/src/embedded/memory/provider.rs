//! [`Memory`], the provider.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use ductape_schema::GroupName;
use tokio::task::coop::consume_budget;
use tokio::time::Instant;

use crate::capability::Capability;
use crate::embedded::memory::topic::{Published, Topic};
use crate::embedded::memory::{MemoryConfig, MemorySubscription, checks};
use crate::error::Result;
use crate::examine::Finding;
use crate::message::TopicName;
use crate::provider::{Backlog, Provider, ProviderInfo, PublishSlot};
use crate::spec::{SeekTo, SubscriptionSpec, TopicSpec};

/// A connection to an in-memory broker. Clones are the same connection; the broker is gone with its last connection and
/// subscription.
#[derive(Clone, Debug)]
pub struct Memory {
    broker: Arc<Broker>,
    connection: Arc<Connection>,
}

#[derive(Debug)]
struct Broker {
    info: ProviderInfo,
    config: MemoryConfig,
    capability: Capability,
    topics: RwLock<HashMap<TopicName, Arc<Topic>>>,
    connections: AtomicU64,
}

/// What the clones of a connection share.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: u64,
    closed: AtomicBool,
}

impl Connection {
    /// Fails once the connection is closed. A wait checks it under the topic's lock, after which closing wakes it.
    pub(super) fn check(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(checks::closed());
        }
        Ok(())
    }
}

impl Memory {
    pub(super) fn new(config: MemoryConfig, capability: Capability) -> Self {
        let info = ProviderInfo {
            provider: "embedded",
            address: "memory".to_owned(),
        };
        let config = MemoryConfig {
            capacity: config.capacity.max(1),
            ..config
        };
        Self::of(Arc::new(Broker {
            info,
            config,
            capability,
            topics: RwLock::default(),
            connections: AtomicU64::new(0),
        }))
    }

    fn of(broker: Arc<Broker>) -> Self {
        let connection = Connection {
            id: broker.connections.fetch_add(1, Ordering::Relaxed),
            closed: AtomicBool::new(false),
        };
        Self {
            broker,
            connection: Arc::new(connection),
        }
    }

    /// A further connection to the same broker, as another process would have it: closing one leaves the others open.
    #[must_use]
    pub fn connect(&self) -> Self {
        Self::of(Arc::clone(&self.broker))
    }

    /// The test mode: a broker that answers as one with `capability` would. What the capability lacks is refused as
    /// [`Unsupported`](crate::ErrorKind::Unsupported), its limits hold, and it keeps no more order than it says. That
    /// messages outlive the process is the one thing that it can't do.
    pub fn emulating(capability: Capability) -> Self {
        let config = MemoryConfig {
            payload_bytes_max: capability.payload_bytes_max,
            ..MemoryConfig::default()
        };
        Self::new(config, capability)
    }

    pub(super) fn topic(&self, name: &TopicName) -> Result<Arc<Topic>> {
        self.connection.check()?;
        let topics = self.broker.topics.read().unwrap_or_else(PoisonError::into_inner);
        let topic = topics.get(name).map(Arc::clone);
        topic.ok_or_else(|| checks::topic_missing(name, topics.keys()))
    }

    /// Publishes slots of one topic, waiting for room, and says how many.
    async fn publish_some(&self, topic: &Topic, batch: &mut [PublishSlot]) -> usize {
        let mut done = 0;
        loop {
            let room = {
                let mut state = topic.lock();
                if self.connection.check().is_err() {
                    drop(state);
                    for slot in &mut batch[done..] {
                        slot.outcome.get_or_insert_with(|| Err(checks::closed()));
                    }
                    return batch.len();
                }
                let published = state.publish(&mut batch[done..]);
                // Made under the lock, so that no wake is missed.
                let room = topic.room.notified();
                Topic::unlock_published(state);
                match published {
                    Published::Some(count) => return done + count,
                    Published::Full(count) => done += count,
                }
                room
            };
            room.await;
        }
    }
}

impl Provider for Memory {
    type Subscription = MemorySubscription;

    fn info(&self) -> &ProviderInfo {
        &self.broker.info
    }

    fn capability(&self) -> Capability {
        self.broker.capability
    }

    async fn declare(&self, spec: &TopicSpec) -> Result<()> {
        for group in &spec.groups {
            checks::group(group, &self.broker.capability)
                .map_err(|error| error.with("topic", &spec.topic))?;
        }
        let topic = {
            let mut topics = self.broker.topics.write().unwrap_or_else(PoisonError::into_inner);
            self.connection.check()?;
            let new = || {
                Arc::new(Topic::new(
                    spec.topic.clone(),
                    self.broker.config,
                    self.broker.capability,
                ))
            };
            Arc::clone(topics.entry(spec.topic.clone()).or_insert_with(new))
        };
        let mut state = topic.lock();
        spec.groups.iter().try_for_each(|group| state.declare(group))
    }

    async fn publish(&self, batch: &mut [PublishSlot]) {
        // A publisher that never finds the topic full lets others run all the same.
        consume_budget().await;
        for slot in &mut *batch {
            slot.outcome = checks::outgoing(&slot.message, &self.broker.capability)
                .err()
                .map(Err);
        }
        let mut done = 0;
        while let Some(slot) = batch.get_mut(done) {
            match self.topic(&slot.message.topic) {
                Ok(topic) => done += self.publish_some(&topic, &mut batch[done..]).await,
                Err(error) => {
                    slot.outcome.get_or_insert(Err(error));
                    done += 1;
                }
            }
        }
    }

    async fn subscribe(&self, spec: &SubscriptionSpec) -> Result<MemorySubscription> {
        checks::group(&spec.group, &self.broker.capability)
            .map_err(|error| error.with("topic", &spec.topic))?;
        let topic = self.topic(&spec.topic)?;
        MemorySubscription::join(topic, Arc::clone(&self.connection), spec, &self.broker.capability)
    }

    async fn seek(&self, topic: &TopicName, group: &GroupName, to: SeekTo) -> Result<()> {
        let topic = self.topic(topic)?;
        if !self.broker.capability.seek {
            return Err(checks::unsupported(
                "set a group to another position",
                "it keeps no log",
            ));
        }
        let mut state = topic.lock();
        state.seek(group, to)?;
        topic.release(state);
        Ok(())
    }

    async fn backlog(&self, topic: &TopicName, group: &GroupName) -> Result<Backlog> {
        let topic = self.topic(topic)?;
        if !self.broker.capability.backlog {
            return Err(checks::unsupported(
                "count what a group has before it",
                "count what is handled",
            ));
        }
        let mut state = topic.lock();
        let backlog = state.backlog(group)?;
        topic.release(state);
        Ok(backlog)
    }

    async fn examine(&self, _topics: &[TopicSpec]) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    async fn ping(&self) -> Result<()> {
        self.connection.check()
    }

    async fn close(&self, _deadline: Instant) -> Result<()> {
        self.connection.closed.store(true, Ordering::Release);
        let topics = self.broker.topics.read().unwrap_or_else(PoisonError::into_inner);
        for topic in topics.values() {
            topic.disconnect(self.connection.id);
        }
        Ok(())
    }
}
