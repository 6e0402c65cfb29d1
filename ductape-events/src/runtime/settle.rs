//! Settling, gathered: what finished while the last batch was on its way makes the next one.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ductape_providers::{ErrorKind, Receipt, SettleSlot, Settlement, SettlerDyn};
use tokio::sync::Notify;

use super::lanes::Lanes;

/// The settlements of one subscription that are not sent yet. Bounded by what is in hand.
#[derive(Debug, Default)]
pub(super) struct Settles {
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    slots: Vec<SettleSlot>,
    keys_given_back: Vec<Bytes>,
    /// Whether the task that sends waits.
    idle: bool,
}

impl Settles {
    /// Adds a settlement.
    pub(super) fn push(&self, receipt: Receipt, how: Settlement) {
        self.extend([(receipt, how)], None);
    }

    /// Adds settlements that the broker must learn of together, in order; `key` is one that is given back with them.
    pub(super) fn extend(
        &self,
        settlements: impl IntoIterator<Item = (Receipt, Settlement)>,
        key: Option<Bytes>,
    ) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.slots.extend(
            settlements
                .into_iter()
                .map(|(receipt, how)| SettleSlot::new(receipt, how)),
        );
        queue.keys_given_back.extend(key);
        if mem::take(&mut queue.idle) {
            drop(queue);
            self.wake.notify_one();
        }
    }

    /// Sends what is added, for as long as it is polled.
    pub(super) async fn send(&self, settler: Arc<dyn SettlerDyn>, lanes: &Lanes, consumer: &str) {
        let mut slots = Vec::new();
        let mut keys = Vec::new();
        loop {
            let nothing = {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                mem::swap(&mut queue.slots, &mut slots);
                mem::swap(&mut queue.keys_given_back, &mut keys);
                queue.idle = slots.is_empty();
                queue.idle
            };
            if nothing {
                self.wake.notified().await;
                continue;
            }
            settler.settle_dyn(&mut slots).await;
            for slot in &slots {
                report(slot, consumer);
            }
            lanes.settled(slots.len(), &keys);
            slots.clear();
            keys.clear();
        }
    }
}

fn report(slot: &SettleSlot, consumer: &str) {
    match &slot.outcome {
        Some(Ok(())) => {}
        Some(Err(error)) if error.kind() == ErrorKind::LeaseLost => {
            tracing::warn!(consumer, how = ?slot.how, "a message was handled for longer than its lease; it is delivered again");
        }
        Some(Err(error)) => {
            tracing::warn!(consumer, how = ?slot.how, %error, "a message could not be settled; it is delivered again");
        }
        None => tracing::warn!(consumer, how = ?slot.how, "the broker did not answer a settlement"),
    }
}
