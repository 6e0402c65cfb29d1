//! A member of a group, and what settles its deliveries.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::coop::consume_budget;

use crate::capability::Capability;
use crate::clock;
use crate::embedded::memory::checks;
use crate::embedded::memory::provider::Connection;
use crate::embedded::memory::queue_pick::Receiver;
use crate::embedded::memory::topic::{QueueAt, Topic};
use crate::error::Result;
use crate::message::TopicName;
use crate::provider::{Delivery, Receipt, SettleSlot, Settler, Subscription};
use crate::spec::SubscriptionSpec;

/// A member of a group of an in-memory broker. Dropping it gives what is unsettled back at once.
#[derive(Debug)]
pub struct MemorySubscription {
    settler: MemorySettler,
    name: TopicName,
    prefetch: usize,
    lease: Duration,
    receive_max: usize,
    notify: Arc<Notify>,
}

/// Settles the deliveries of one [`MemorySubscription`].
#[derive(Clone, Debug)]
pub struct MemorySettler {
    topic: Arc<Topic>,
    connection: Arc<Connection>,
    queue: QueueAt,
    member: u32,
    leases: bool,
}

impl MemorySubscription {
    pub(super) fn join(
        topic: Arc<Topic>,
        connection: Arc<Connection>,
        spec: &SubscriptionSpec,
        capability: &Capability,
    ) -> Result<Self> {
        let mut state = topic.lock();
        connection.check()?;
        let (queue, member, notify) = state.join(connection.id, &spec.group, spec.source)?;
        drop(state);
        Ok(Self {
            settler: MemorySettler {
                topic,
                connection,
                queue,
                member,
                leases: capability.lease,
            },
            name: own_copy(&spec.topic),
            prefetch: spec.prefetch.get(),
            lease: spec.group.lease,
            receive_max: capability.receive_batch_max.get(),
            notify,
        })
    }
}

/// A name whose counter no other thread counts on: each delivery clones it.
fn own_copy(name: &TopicName) -> TopicName {
    let event = name.event().as_str().parse();
    event.map_or_else(|_| name.clone(), |event| TopicName::new(event, name.version()))
}

impl Subscription for MemorySubscription {
    type Settler = MemorySettler;

    fn settler(&self) -> MemorySettler {
        self.settler.clone()
    }

    async fn receive(&mut self, into: &mut Vec<Delivery>, max: NonZeroUsize) -> Result<()> {
        // A member that always finds something lets others run all the same.
        consume_budget().await;
        let topic = &self.settler.topic;
        let receiver = Receiver {
            member: self.settler.member,
            topic: &self.name,
            prefetch: self.prefetch,
            lease: self.lease,
        };
        let max = max.get().min(self.receive_max);
        loop {
            let (notified, tick) = {
                let mut state = topic.lock();
                self.settler.connection.check()?;
                let Some((queue, ring)) = state.queue(self.settler.queue) else {
                    return Err(checks::closed());
                };
                let count = queue.receive(&receiver, ring, into, max, clock::now());
                let tick = queue.next_tick();
                // Made under the lock, so that no wake is missed.
                let notified = self.notify.notified();
                topic.unlock_received(state, self.settler.queue, self.settler.member, count == 0);
                if count > 0 {
                    return Ok(());
                }
                (notified, tick)
            };
            match tick {
                Some(tick) => {
                    // What comes first, the timer's error included, leads to another look.
                    let _ = tokio::time::timeout_at(tick, notified).await;
                }
                None => notified.await,
            }
        }
    }

    async fn close(self) -> Result<()> {
        Ok(())
    }
}

impl Drop for MemorySubscription {
    fn drop(&mut self) {
        let MemorySettler {
            topic, queue, member, ..
        } = &self.settler;
        let mut state = topic.lock();
        state.leave(*queue, *member);
        topic.release(state);
    }
}

impl Settler for MemorySettler {
    async fn settle(&self, batch: &mut [SettleSlot]) {
        let mut state = self.topic.lock();
        let closed = self.connection.check();
        match state.queue(self.queue) {
            Some((queue, ring)) if closed.is_ok() => queue.settle(self.member, ring, batch, clock::now()),
            _ => {
                for slot in batch {
                    let refused = if closed.is_err() {
                        checks::closed
                    } else {
                        checks::lease_lost
                    };
                    slot.outcome = Some(Err(refused()));
                }
            }
        }
        state.trim();
        self.topic.release(state);
    }

    async fn extend(&self, receipts: &[&Receipt], by: Duration) -> Result<()> {
        if !self.leases {
            return Err(checks::unsupported(
                "extend a delivery",
                "deliveries have no lease",
            ));
        }
        let mut state = self.topic.lock();
        self.connection.check()?;
        let Some((queue, ring)) = state.queue(self.queue) else {
            return Err(checks::lease_lost());
        };
        let result = queue.extend(self.member, ring, receipts, by, clock::now());
        self.topic.release(state);
        result
    }
}
