//! What the thread of a subscription and its handles share.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::error::closed;
use super::state::{
    Ask, BUFFER_BYTES_MAX, BUFFER_MIN, COMMIT_AGAIN, Due, End, Held, PARKED_BYTES_MAX, PARKED_MAX, Parked,
    Partition, Place, Queue, Received, Slot, State, Waiting, weight,
};
use super::tracker::Mark;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Incoming;
use crate::provider::{Delivery, Receipt, Settlement};

/// What the thread of a subscription and its handles share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    prefetch: usize,
    /// Wakes the receive that waits.
    ready: Notify,
    /// Wakes the thread while it waits for room, or for settlements.
    changed: Condvar,
    /// Wakes who waits for what is there already.
    looked: Notify,
    /// Wakes who waits for the thread to end.
    over: Notify,
}

impl Shared {
    pub(super) fn new(prefetch: usize) -> Self {
        Self {
            state: Mutex::default(),
            prefetch,
            ready: Notify::new(),
            changed: Condvar::new(),
            looked: Notify::new(),
            over: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // What the handles do.

    /// Waits for a delivery, then appends what is ready. Nothing is awaited once a delivery is taken.
    pub(super) async fn receive(&self, into: &mut Vec<Delivery>, max: usize) -> Result<()> {
        loop {
            let ready = self.ready.notified();
            if self.take(into, max)? {
                return Ok(());
            }
            ready.await;
        }
    }

    fn take(&self, into: &mut Vec<Delivery>, max: usize) -> Result<bool> {
        let mut state = self.lock();
        let state = &mut *state;
        match &mut state.end {
            None => {}
            Some(End::Closed) => return Err(closed()),
            Some(End::Failed(error)) => {
                return Err(error.take().unwrap_or_else(|| {
                    let text = "the subscription is lost; make it anew";
                    Error::new(ErrorKind::Unexpected, text).with("provider", "kafka")
                }));
            }
        }
        let was_full = state.buffer.len() >= self.buffer_max() || state.buffer_bytes >= BUFFER_BYTES_MAX;
        let room = self.prefetch.saturating_sub(state.receipts.len());
        let count = max.min(room).min(state.buffer.len());
        if count == 0 {
            return Ok(false);
        }
        into.reserve(count);
        for waiting in state.buffer.drain(..count) {
            let Waiting { place, message } = waiting;
            state.buffer_bytes = state.buffer_bytes.saturating_sub(weight(&message));
            if let Some(slot) = state.slots.get_mut(place.slot) {
                slot.in_hand += 1;
                slot.delivered_to = slot.delivered_to.max(place.offset + 1);
            }
            let receipt = state.receipts.insert(Held {
                place,
                message: message.clone(),
            });
            into.push(Delivery { message, receipt });
        }
        if was_full {
            self.changed.notify_all();
        }
        Ok(true)
    }

    /// Settles deliveries, each with its outcome.
    pub(super) fn settle<'a>(
        &self,
        slots: impl Iterator<Item = (&'a Receipt, Settlement, &'a mut Option<Result<()>>)>,
    ) {
        let mut state = self.lock();
        let was_full = state.receipts.len() >= self.prefetch;
        let mut requeued = false;
        for (receipt, how, outcome) in slots {
            let answer = state.settle(receipt, how);
            requeued |= how == Settlement::Requeue && answer.is_ok();
            *outcome = Some(answer);
        }
        let wake = (was_full || requeued) && !state.buffer.is_empty();
        drop(state);
        self.changed.notify_all();
        if wake {
            self.ready.notify_one();
        }
    }

    /// How much is in hand, and how much waits for its time.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.receipts.len(), state.parked.len())
    }

    /// Whether this member has the partition of the topic.
    pub(super) fn owns(&self, partition: i32) -> bool {
        let state = self.lock();
        state
            .find(Partition {
                queue: Queue::Main,
                number: partition,
            })
            .is_some()
    }

    pub(super) fn ask(&self, ask: Ask) {
        let mut state = self.lock();
        if state.ended {
            // The sender of the answer is dropped, which is an answer.
            return;
        }
        state.asks.push(ask);
        drop(state);
        self.changed.notify_all();
    }

    /// Tells the thread to end; what is unsettled is given back.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.end.get_or_insert(End::Closed);
        state.give_back_all();
        drop(state);
        self.changed.notify_all();
        self.ready.notify_one();
    }

    /// Waits until a message has come, or it is known that there is none.
    pub(super) async fn looked(&self) {
        self.looked.notified().await;
    }

    pub(super) fn is_over(&self) -> bool {
        self.lock().ended
    }

    /// Waits until the thread has ended.
    pub(super) async fn closed(&self) {
        loop {
            let over = self.over.notified();
            if self.lock().ended {
                self.over.notify_one();
                return;
            }
            over.await;
        }
    }

    /// Delivers a message to the group alone, for a group of this process's own.
    pub(super) fn hand_in(&self, message: Incoming, due: Option<SystemTime>) -> bool {
        let mut state = self.lock();
        if state.end.is_some() {
            return false;
        }
        let place = Place {
            slot: usize::MAX,
            epoch: 0,
            offset: 0,
        };
        state.place(Waiting { place, message }, due);
        drop(state);
        self.changed.notify_all();
        self.ready.notify_one();
        true
    }

    // What the thread does.

    fn buffer_max(&self) -> usize {
        self.prefetch.clamp(BUFFER_MIN, 16 * BUFFER_MIN)
    }

    /// The most messages that are in hand at one time.
    pub(super) fn prefetch(&self) -> i64 {
        i64::try_from(self.prefetch).unwrap_or(i64::MAX)
    }

    /// How many more messages there is room for.
    pub(super) fn room(&self) -> usize {
        let state = self.lock();
        if state.buffer_bytes >= BUFFER_BYTES_MAX {
            return 0;
        }
        self.buffer_max().saturating_sub(state.buffer.len())
    }

    /// Whether as many messages wait for their time as are kept.
    pub(super) fn parked_is_full(&self) -> bool {
        let state = self.lock();
        state.parked.len() >= PARKED_MAX || state.parked_bytes >= PARKED_BYTES_MAX
    }

    pub(super) fn parked_is_half_empty(&self) -> bool {
        let state = self.lock();
        state.parked.len() <= PARKED_MAX / 2 && state.parked_bytes <= PARKED_BYTES_MAX / 2
    }

    /// Waits until something changes, at most for `wait`.
    pub(super) fn wait_changed(&self, wait: Duration) {
        let state = self.lock();
        drop(self.changed.wait_timeout(state, wait));
    }

    /// Takes in what was received.
    pub(super) fn push(&self, received: &mut Vec<Received>) {
        let mut state = self.lock();
        for received in received.drain(..) {
            state.receive(received);
        }
        let wake = !state.buffer.is_empty();
        drop(state);
        if wake {
            self.ready.notify_one();
            self.looked.notify_one();
        }
    }

    /// Everything that is there was received.
    pub(super) fn at_the_end(&self) {
        self.looked.notify_one();
    }

    /// Moves what is due, and says when the next will be.
    pub(super) fn release_due(&self) -> Option<Duration> {
        let mut state = self.lock();
        let mut moved = false;
        let now = clock::wall();
        while let Some(parked) = state.parked.peek() {
            if parked.due > now {
                let wait = parked.due.duration_since(now).unwrap_or_default();
                drop(state);
                if moved {
                    self.ready.notify_one();
                }
                return Some(wait);
            }
            let Some(Parked { waiting, .. }) = state.parked.pop() else {
                break;
            };
            state.parked_bytes = state.parked_bytes.saturating_sub(weight(&waiting.message));
            state.place(waiting, None);
            moved = true;
        }
        drop(state);
        if moved {
            self.ready.notify_one();
        }
        None
    }

    pub(super) fn asks(&self) -> Vec<Ask> {
        std::mem::take(&mut self.lock().asks)
    }

    pub(super) fn is_closing(&self) -> bool {
        self.lock().end.is_some()
    }

    /// Ends the subscription with an error that trying again on it can't help.
    pub(super) fn fail(&self, error: Error) {
        let mut state = self.lock();
        state.end.get_or_insert(End::Failed(Some(error)));
        state.give_back_all();
        drop(state);
        self.ready.notify_one();
    }

    /// The thread has ended.
    pub(super) fn over(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.end.get_or_insert(End::Closed);
        state.give_back_all();
        state.asks.clear();
        drop(state);
        self.ready.notify_one();
        self.over.notify_one();
    }

    /// This member has partitions from now on; where the group stands in each.
    pub(super) fn assigned(&self, round: u64, partitions: &[(Partition, Option<Mark>)]) {
        let mut state = self.lock();
        for (partition, mark) in partitions {
            state.assign(round, *partition, mark.as_ref());
        }
    }

    /// Takes back what is not in hand of `partitions`, so that no more of them is delivered.
    pub(super) fn withhold(&self, partitions: &[Partition]) {
        let mut state = self.lock();
        let slots = state.slots_of(partitions);
        state.drop_waiting(|place| slots.contains(&place.slot));
    }

    /// Waits until nothing of `partitions` is in hand, at most for `wait`; not once the subscription closes.
    pub(super) fn wait_settled(&self, partitions: &[Partition], wait: Duration) {
        let until = clock::now() + wait;
        let mut state = self.lock();
        loop {
            let slots = state.slots_of(partitions);
            let left = until.saturating_duration_since(clock::now());
            let in_hand = slots.iter().any(|slot| state.slots[*slot].in_hand > 0);
            if !in_hand || state.end.is_some() || left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// These partitions are another member's from now on: receipts of them stand for nothing.
    pub(super) fn revoked(&self, partitions: &[Partition]) {
        let mut state = self.lock();
        for slot in state.slots_of(partitions) {
            state.let_go(slot);
        }
        drop(state);
        // What was in hand counted against the prefetch.
        self.ready.notify_one();
    }

    /// Every partition that this member has.
    pub(super) fn partitions(&self) -> Vec<Partition> {
        let state = self.lock();
        state.owned().map(Slot::partition).collect()
    }

    /// Where the group stands in `partitions`; noted as committed. `ends` says that nothing more is begun by this member.
    pub(super) fn marks(&self, partitions: &[Partition], ends: bool) -> Vec<(Partition, Mark)> {
        let now = clock::now();
        let mut state = self.lock();
        let slots = state.slots_of(partitions);
        let marks = slots.into_iter().filter_map(|at| {
            let slot = &mut state.slots[at];
            slot.due = slot.kept(now);
            Some((slot.partition(), slot.mark(ends)?))
        });
        marks.collect()
    }

    /// What is to be committed by now.
    pub(super) fn marks_due(&self, now: Instant) -> Vec<(Partition, Mark)> {
        let mut state = self.lock();
        let mut marks = Vec::new();
        for slot in state.slots.iter_mut().filter(|slot| slot.owned) {
            let next = match slot.due {
                Due::Now => Due::Again(now + COMMIT_AGAIN),
                Due::Again(at) if at <= now => slot.kept(now),
                _ => continue,
            };
            if let Some(mark) = slot.mark(false) {
                slot.due = next;
                marks.push((slot.partition(), mark));
            }
        }
        marks
    }

    /// These were not committed after all.
    pub(super) fn soil(&self, marks: &[(Partition, Mark)]) {
        let mut state = self.lock();
        for (partition, _) in marks {
            if let Some(at) = state.find(*partition) {
                state.slots[at].due = Due::Now;
            }
        }
    }

    /// Sets partitions of the topic anew: what is in hand of them is lost to who holds it.
    pub(super) fn sought(&self, round: u64, to: &[(i32, i64)]) {
        let mut state = self.lock();
        for (number, offset) in to {
            let partition = Partition {
                queue: Queue::Main,
                number: *number,
            };
            let mark = Mark {
                offset: *offset,
                begun_to: *offset,
                ..Mark::default()
            };
            for slot in state.slots_of(&[partition]) {
                state.let_go(slot);
                state.assign(round, partition, Some(&mark));
            }
        }
        drop(state);
        self.ready.notify_one();
    }
}
