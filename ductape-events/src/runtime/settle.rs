//! Settling, gathered: what finished while the last batch was on its way makes the next one.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ductape_providers::{ErrorKind, Receipt, SettleSlot, Settlement, SettlerDyn};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::lanes::Lanes;
use crate::backoff::Growing;

/// How often a settlement is sent while the broker answers that it may pass.
const TRIES: usize = 5;

/// The settlements of one subscription that are not sent yet. Bounded by what is in hand.
#[derive(Debug, Default)]
pub(super) struct Settles {
    queue: Mutex<Queue>,
    wake: Notify,
    flushed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    slots: Vec<SettleSlot>,
    keys_given_back: Vec<Bytes>,
    /// Whether the task that sends waits, so that all that was added is sent.
    idle: bool,
}

impl Settles {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

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
        let mut queue = self.lock();
        let slots = settlements
            .into_iter()
            .map(|(receipt, how)| SettleSlot::new(receipt, how));
        queue.slots.extend(slots);
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
                let mut queue = self.lock();
                mem::swap(&mut queue.slots, &mut slots);
                mem::swap(&mut queue.keys_given_back, &mut keys);
                queue.idle = slots.is_empty();
                queue.idle
            };
            if nothing {
                self.flushed.notify_waiters();
                self.wake.notified().await;
                continue;
            }
            settler.settle_dyn(&mut slots).await;
            if slots.iter().any(can_be_sent_again) {
                send_again(&mut slots, &*settler).await;
            }
            for slot in &slots {
                report(slot, consumer);
            }
            lanes.settled(slots.len(), &keys);
            slots.clear();
            keys.clear();
        }
    }

    /// Waits until all that was added is sent, or until `deadline`; says whether all is.
    pub(super) async fn flushed(&self, deadline: Instant) -> bool {
        loop {
            let notified = self.flushed.notified();
            if self.lock().idle {
                return true;
            }
            if tokio::time::timeout_at(deadline, notified).await.is_err() {
                return self.lock().idle;
            }
        }
    }
}

fn can_be_sent_again(slot: &SettleSlot) -> bool {
    matches!(&slot.outcome, Some(Err(error)) if error.is_temporary())
}

/// Sends the slots again that failed for a reason that may pass, each by itself and in order.
#[cold]
async fn send_again(slots: &mut [SettleSlot], settler: &dyn SettlerDyn) {
    let mut wait = Growing::new(Duration::from_millis(20), Duration::from_secs(1));
    for _ in 1..TRIES {
        tokio::time::sleep(wait.next()).await;
        for slot in slots.iter_mut().filter(|slot| can_be_sent_again(slot)) {
            slot.outcome = None;
            settler.settle_dyn(std::slice::from_mut(slot)).await;
        }
        if !slots.iter().any(can_be_sent_again) {
            return;
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use ductape_providers::{Error, ErrorKind, Receipt, SettleSlot, Settlement, Settler};

    use super::Settles;
    use crate::clock;
    use crate::runtime::lanes::Lanes;
    use crate::runtime::testing::{hand_in, message};

    type Batches = Vec<Vec<(u64, Settlement)>>;

    /// Keeps what it was asked, and fails as often as it is told.
    #[derive(Clone, Debug, Default)]
    struct Fake {
        asked: Arc<Mutex<Batches>>,
        failures: Arc<Mutex<Vec<ErrorKind>>>,
    }

    impl Settler for Fake {
        async fn settle(&self, batch: &mut [SettleSlot]) {
            let asked = batch.iter().map(|slot| (slot.receipt.token(), slot.how));
            self.asked.lock().unwrap().push(asked.collect());
            // A broker takes its time, in which more gathers.
            tokio::task::yield_now().await;
            for slot in batch {
                let failure = self.failures.lock().unwrap().pop();
                slot.outcome = Some(failure.map_or(Ok(()), |kind| Err(Error::new(kind, "told to"))));
            }
        }

        async fn extend(&self, _: &[&Receipt], _: Duration) -> Result<(), Error> {
            Ok(())
        }
    }

    struct Sending {
        settles: Arc<Settles>,
        lanes: Arc<Lanes>,
        fake: Fake,
        task: tokio::task::JoinHandle<()>,
    }

    fn sending(failures: Vec<ErrorKind>) -> Sending {
        let (settles, lanes) = (Arc::new(Settles::default()), Arc::new(Lanes::new(true, 10)));
        let fake = Fake {
            failures: Arc::new(Mutex::new(failures)),
            ..Fake::default()
        };
        let task = tokio::spawn({
            let (settles, lanes, fake) = (Arc::clone(&settles), Arc::clone(&lanes), fake.clone());
            async move { settles.send(Arc::new(fake), &lanes, "test").await }
        });
        Sending {
            settles,
            lanes,
            fake,
            task,
        }
    }

    impl Sending {
        async fn flush(&self) {
            assert!(self.settles.flushed(clock::now() + Duration::from_secs(5)).await);
        }
    }

    #[tokio::test]
    async fn what_finishes_meanwhile_makes_the_next_batch() {
        let sending = sending(Vec::new());
        hand_in(&sending.lanes, (1..=4).map(|n| message(n, None)));
        sending.settles.push(Receipt::new(1), Settlement::Ack);
        tokio::task::yield_now().await;
        for n in 2..=4 {
            sending.settles.push(Receipt::new(n), Settlement::Ack);
        }
        sending.flush().await;
        let asked = sending.fake.asked.lock().unwrap().clone();
        let tokens: Vec<Vec<u64>> = asked
            .iter()
            .map(|batch| batch.iter().map(|(token, _)| *token).collect())
            .collect();
        assert_eq!(tokens, [vec![1], vec![2, 3, 4]]);
        assert_eq!(sending.lanes.in_hand(), 0);
        sending.task.abort();
    }

    #[tokio::test]
    async fn a_key_is_given_back_in_order_with_what_waited_behind_it() {
        let sending = sending(Vec::new());
        hand_in(&sending.lanes, (1..=3).map(|n| message(n, Some("k"))));
        let head = (Receipt::new(1), Settlement::RequeueAfter(Duration::from_secs(1)));
        let rest = [2, 3].map(|n| (Receipt::new(n), Settlement::Requeue));
        sending
            .settles
            .extend(std::iter::once(head).chain(rest), Some("k".into()));
        sending.flush().await;
        let asked = sending.fake.asked.lock().unwrap().concat();
        assert_eq!(
            asked,
            [
                (1, Settlement::RequeueAfter(Duration::from_secs(1))),
                (2, Settlement::Requeue),
                (3, Settlement::Requeue)
            ]
        );
        sending.task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_may_pass_is_sent_again_and_another_is_not() {
        let sending = sending(vec![
            ErrorKind::Unreachable,
            ErrorKind::LeaseLost,
            ErrorKind::Unreachable,
        ]);
        hand_in(&sending.lanes, (1..=2).map(|n| message(n, None)));
        sending
            .settles
            .extend([1, 2].map(|n| (Receipt::new(n), Settlement::Ack)), None);
        sending.flush().await;
        let asked = sending.fake.asked.lock().unwrap().clone();
        let ack = |n| (n, Settlement::Ack);
        assert_eq!(asked, [vec![ack(1), ack(2)], vec![ack(1)], vec![ack(1)]]);
        assert_eq!(sending.lanes.in_hand(), 0);
        sending.task.abort();
    }
}
