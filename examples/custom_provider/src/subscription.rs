//! A member of a group, and what settles its deliveries.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use ductape_providers::spec::Source;
use ductape_providers::{
    Delivery, Receipt, Result, SettleSlot, Settlement, Settler, Subscription, SubscriptionSpec,
};
use tokio::sync::watch;
use tokio::task::coop::consume_budget;

use crate::error;
use crate::provider::{Journal, RECEIVE_BATCH_MAX};
use crate::queue::Member;
use crate::record::QueueName;
use crate::topic::Topic;

/// A member of a group of a [`Journal`].
#[derive(Debug)]
pub struct JournalSubscription {
    settler: JournalSettler,
    changed: watch::Receiver<()>,
    closing: watch::Receiver<bool>,
}

/// Settles the deliveries of one [`JournalSubscription`].
#[derive(Clone, Debug)]
pub struct JournalSettler {
    journal: Journal,
    topic: Arc<Topic>,
    queue: QueueName,
    member: Member,
}

impl JournalSubscription {
    pub(crate) fn join(journal: Journal, topic: Arc<Topic>, spec: &SubscriptionSpec) -> Result<Self> {
        let queue = QueueName {
            group: spec.group.name.as_str().to_owned(),
            dead: spec.source == Source::DeadLetters,
        };
        let member = topic.join(&queue, spec.prefetch)?;
        Ok(Self {
            changed: topic.changes(),
            closing: journal.closing(),
            settler: JournalSettler {
                journal,
                topic,
                queue,
                member,
            },
        })
    }
}

impl Subscription for JournalSubscription {
    type Settler = JournalSettler;

    fn settler(&self) -> JournalSettler {
        self.settler.clone()
    }

    /// Cancel safe, since a delivery goes from the queue to the caller's buffer between two waits, and nothing is waited
    /// for once it has: a future that is dropped has either returned, or has taken nothing.
    async fn receive(&mut self, into: &mut Vec<Delivery>, max: NonZeroUsize) -> Result<()> {
        // A member that always finds something lets others run all the same.
        consume_budget().await;
        let JournalSettler {
            journal,
            topic,
            queue,
            member,
        } = &self.settler;
        let before = into.len();
        loop {
            // Before the look, so that what comes between the look and the wait ends the wait.
            self.changed.mark_unchanged();
            journal.check_open()?;
            topic.take(queue, *member, max.get().min(RECEIVE_BATCH_MAX), into);
            if into.len() > before {
                return Ok(());
            }
            tokio::select! {
                changed = self.changed.changed() => changed.map_err(|_| error::closed())?,
                closing = self.closing.changed() => closing.map_err(|_| error::closed())?,
            }
        }
    }

    /// Settlements are sent when they are answered, so there is nothing to send; dropping gives back the rest.
    async fn close(self) -> Result<()> {
        Ok(())
    }
}

impl Drop for JournalSubscription {
    fn drop(&mut self) {
        self.settler.topic.leave(&self.settler.queue, self.settler.member);
    }
}

impl Settler for JournalSettler {
    async fn settle(&self, batch: &mut [SettleSlot]) {
        let wanted: Vec<(u64, Settlement)> = batch
            .iter()
            .map(|slot| (slot.receipt.token(), slot.how))
            .collect();
        let (topic, queue, member) = (Arc::clone(&self.topic), self.queue.clone(), self.member.id);
        let settled = self
            .journal
            .blocking(move |_| topic.settle(&queue, member, &wanted))
            .await;
        match settled {
            Ok(outcomes) => {
                for (slot, outcome) in batch.iter_mut().zip(outcomes) {
                    slot.outcome = Some(outcome);
                }
            }
            Err(error) => {
                for slot in batch {
                    slot.outcome = Some(Err(error::again(&error)));
                }
            }
        }
    }

    async fn extend(&self, _receipts: &[&Receipt], _by: Duration) -> Result<()> {
        Err(error::unsupported(
            "extend a delivery",
            "it has no lease: a delivery is its subscription's until that ends",
        ))
    }
}
