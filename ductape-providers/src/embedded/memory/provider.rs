//! [`Memory`], the provider.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use ductape_schema::GroupName;
use tokio::task::coop::consume_budget;
use tokio::time::Instant;

use crate::capability::Capability;
use crate::embedded::memory::topic::{Published, Topic};
use crate::embedded::memory::{MemoryConfig, MemorySubscription, checks};
use crate::error::Result;
use crate::message::TopicName;
use crate::provider::{Backlog, Provider, ProviderInfo, PublishSlot};
use crate::spec::{SeekTo, SubscriptionSpec, TopicSpec};

/// An in-memory broker. Clones are the same broker; it is gone with the last of them and its subscriptions.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    info: ProviderInfo,
    config: MemoryConfig,
    capability: Capability,
    topics: RwLock<HashMap<TopicName, Arc<Topic>>>,
    closed: AtomicBool,
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
        Self(Arc::new(Shared {
            info,
            config,
            capability,
            topics: RwLock::default(),
            closed: AtomicBool::new(false),
        }))
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

    fn topic(&self, name: &TopicName) -> Result<Arc<Topic>> {
        let topics = self.0.topics.read().unwrap_or_else(PoisonError::into_inner);
        if self.0.closed.load(Ordering::Acquire) {
            return Err(checks::closed());
        }
        let topic = topics.get(name).map(Arc::clone);
        topic.ok_or_else(|| checks::topic_missing(name, topics.keys()))
    }

    /// Publishes slots of one topic, waiting for room, and says how many.
    async fn publish_some(&self, topic: &Topic, batch: &mut [PublishSlot]) -> usize {
        let mut done = 0;
        loop {
            let room = {
                let mut state = topic.lock();
                if state.closed {
                    drop(state);
                    for slot in &mut batch[done..] {
                        slot.outcome.get_or_insert_with(|| Err(checks::closed()));
                    }
                    return batch.len();
                }
                let published = state.publish(&mut batch[done..]);
                // Made under the lock, so that no wake is missed.
                let room = topic.room.notified();
                topic.unlock_published(state);
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
        &self.0.info
    }

    fn capability(&self) -> Capability {
        self.0.capability
    }

    async fn declare(&self, spec: &TopicSpec) -> Result<()> {
        for group in &spec.groups {
            checks::group(group, &self.0.capability).map_err(|error| error.with("topic", &spec.topic))?;
        }
        let topic = {
            let mut topics = self.0.topics.write().unwrap_or_else(PoisonError::into_inner);
            if self.0.closed.load(Ordering::Acquire) {
                return Err(checks::closed());
            }
            let new = || Arc::new(Topic::new(spec.topic.clone(), self.0.config, self.0.capability));
            Arc::clone(topics.entry(spec.topic.clone()).or_insert_with(new))
        };
        let mut state = topic.lock();
        spec.groups.iter().try_for_each(|group| state.declare(group))
    }

    async fn publish(&self, batch: &mut [PublishSlot]) {
        // A publisher that never finds the topic full lets others run all the same.
        consume_budget().await;
        for slot in &mut *batch {
            slot.outcome = checks::outgoing(&slot.message, &self.0.capability).err().map(Err);
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
        checks::group(&spec.group, &self.0.capability).map_err(|error| error.with("topic", &spec.topic))?;
        let topic = self.topic(&spec.topic)?;
        MemorySubscription::join(topic, spec, &self.0.capability)
    }

    async fn seek(&self, topic: &TopicName, group: &GroupName, to: SeekTo) -> Result<()> {
        let topic = self.topic(topic)?;
        if !self.0.capability.seek {
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
        if !self.0.capability.backlog {
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

    async fn ping(&self) -> Result<()> {
        if self.0.closed.load(Ordering::Acquire) {
            return Err(checks::closed());
        }
        Ok(())
    }

    async fn close(&self, _deadline: Instant) -> Result<()> {
        let topics = {
            let mut topics = self.0.topics.write().unwrap_or_else(PoisonError::into_inner);
            self.0.closed.store(true, Ordering::Release);
            std::mem::take(&mut *topics)
        };
        for topic in topics.values() {
            topic.close();
        }
        Ok(())
    }
}
