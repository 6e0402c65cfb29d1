//! What a member knows of its partitions and of the messages that it has.

use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::tracker::{Mark, Tracker};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Incoming;
use crate::provider::{Receipt, Settlement};
use crate::receipts::Receipts;

/// What is received ahead of the program, at least.
pub(super) const BUFFER_MIN: usize = 1024;
pub(super) const BUFFER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What is kept in this process of messages whose time has not come; more wait in their topic, behind these.
pub(super) const PARKED_MAX: usize = 1_000;
/// When a commit that was not waited for is made once more.
pub(super) const COMMIT_AGAIN: Duration = Duration::from_secs(3);
/// How often the places in the retries are committed where nothing is new: Kafka forgets a group's place in what it is not
/// subscribed to `offsets.retention.minutes` after the commit, 7 days where nothing else is set.
pub(super) const KEEP_EVERY: Duration = Duration::from_mins(30);
pub(super) const PARKED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a subscription reads from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Queue {
    /// The topic itself, or the dead letters.
    Main,
    /// What is sent to the group alone.
    Retry,
}

/// A message as it was received.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) queue: Queue,
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// How often partitions had been shared when it was.
    pub(super) round: u64,
    pub(super) due: Option<SystemTime>,
    /// `None` when it is another topic's.
    pub(super) message: Option<Incoming>,
}

/// A message that can be delivered.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) place: Place,
    pub(super) message: Incoming,
}

/// Where a message came from; `epoch` tells owners of the partition apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) slot: usize,
    pub(super) epoch: u32,
    pub(super) offset: i64,
}

/// A message whose time has not come.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) due: SystemTime,
    pub(super) waiting: Waiting,
}

impl Parked {
    fn order(&self) -> (SystemTime, i64) {
        (self.due, self.waiting.place.offset)
    }
}

impl PartialEq for Parked {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Parked {}

impl PartialOrd for Parked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Parked {
    /// The earliest is the greatest, as the heap wants it.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.order().cmp(&self.order())
    }
}

/// When a partition is committed.
///
/// The client does not tell whether a commit succeeded that was not waited for, so that each is made once more a little later
/// unless another followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Never,
    Now,
    Again(Instant),
}

/// A partition of this member.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) queue: Queue,
    pub(super) partition: i32,
    pub(super) epoch: u32,
    pub(super) owned: bool,
    /// From which round of sharing it is owned.
    pub(super) since: u64,
    pub(super) tracker: Tracker,
    pub(super) in_hand: usize,
    /// What is to be committed, and when.
    pub(super) due: Due,
    /// What earlier owners began and did not end, and up to where.
    pub(super) begun: u32,
    pub(super) begun_to: i64,
    pub(super) delivered_to: i64,
}

/// A partition as the cluster names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Partition {
    pub(super) queue: Queue,
    pub(super) number: i32,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) place: Place,
    pub(super) message: Incoming,
}

/// What the thread is asked to do.
#[derive(Debug)]
pub(super) enum Ask {
    /// To set these partitions of the topic to these offsets, and to say whether it could.
    Seek(Vec<(i32, i64)>, oneshot::Sender<Result<()>>),
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) slots: Vec<Slot>,
    pub(super) buffer: VecDeque<Waiting>,
    pub(super) buffer_bytes: usize,
    pub(super) parked: BinaryHeap<Parked>,
    pub(super) parked_bytes: usize,
    pub(super) receipts: Receipts<Held>,
    pub(super) asks: Vec<Ask>,
    /// Why nothing is delivered any more.
    pub(super) end: Option<End>,
    pub(super) ended: bool,
}

/// Why a subscription ended.
#[derive(Debug)]
pub(super) enum End {
    Closed,
    /// The error is told once; the subscription must be made anew.
    Failed(Option<Error>),
}

pub(super) fn weight(message: &Incoming) -> usize {
    // Headers are few and small beside it.
    message.payload.len() + 256
}

fn lease_lost() -> Error {
    let text = "the delivery is no longer this subscription's";
    Error::new(ErrorKind::LeaseLost, text).with("provider", "kafka")
}

impl State {
    pub(super) fn owned(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| slot.owned)
    }

    pub(super) fn find(&self, partition: Partition) -> Option<usize> {
        self.slots
            .iter()
            .position(|slot| slot.owned && slot.partition() == partition)
    }

    pub(super) fn slots_of(&self, partitions: &[Partition]) -> Vec<usize> {
        partitions
            .iter()
            .filter_map(|partition| self.find(*partition))
            .collect()
    }

    pub(super) fn assign(&mut self, round: u64, partition: Partition, mark: Option<&Mark>) {
        let at = self
            .slots
            .iter()
            .position(|slot| slot.partition() == partition)
            .unwrap_or_else(|| {
                self.slots.push(Slot::new(partition));
                self.slots.len() - 1
            });
        let slot = &mut self.slots[at];
        slot.owned = true;
        slot.epoch = slot.epoch.wrapping_add(1);
        slot.since = round;
        slot.tracker = Tracker::new(mark);
        slot.in_hand = 0;
        slot.due = Due::Never;
        slot.begun = mark.map_or(0, |mark| mark.begun);
        slot.begun_to = mark.map_or(0, |mark| mark.begun_to);
        slot.delivered_to = mark.map_or(0, |mark| mark.offset);
    }

    /// Ends the ownership of a partition.
    pub(super) fn let_go(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        slot.owned = false;
        slot.epoch = slot.epoch.wrapping_add(1);
        slot.in_hand = 0;
        slot.due = Due::Never;
        self.drop_waiting(|place| place.slot == at);
        let lost: Vec<Receipt> = self
            .receipts
            .iter_with_receipts()
            .filter(|(_, held)| held.place.slot == at)
            .map(|(receipt, _)| receipt)
            .collect();
        for receipt in lost {
            self.receipts.take(&receipt);
        }
    }

    pub(super) fn drop_waiting(&mut self, which: impl Fn(&Place) -> bool) {
        self.buffer.retain(|waiting| !which(&waiting.place));
        self.buffer_bytes = self.buffer.iter().map(|waiting| weight(&waiting.message)).sum();
        self.parked.retain(|parked| !which(&parked.waiting.place));
        self.parked_bytes = self
            .parked
            .iter()
            .map(|parked| weight(&parked.waiting.message))
            .sum();
    }

    pub(super) fn give_back_all(&mut self) {
        self.buffer.clear();
        self.parked.clear();
        (self.buffer_bytes, self.parked_bytes) = (0, 0);
        self.receipts.clear();
        for slot in &mut self.slots {
            slot.in_hand = 0;
        }
    }

    pub(super) fn receive(&mut self, received: Received) {
        let partition = Partition {
            queue: received.queue,
            number: received.partition,
        };
        let Some(at) = self.find(partition) else {
            return;
        };
        let slot = &mut self.slots[at];
        if received.round < slot.since || self.end.is_some() {
            return;
        }
        let to_handle = slot.tracker.received(received.offset);
        let Some(mut message) = received.message.filter(|_| to_handle) else {
            slot.tracker.done(received.offset);
            slot.due = Due::Now;
            return;
        };
        if slot.begun > 0 && received.offset < slot.begun_to {
            message.delivery_count = std::num::NonZeroU32::new(slot.begun.saturating_add(1));
        }
        let place = Place {
            slot: at,
            epoch: slot.epoch,
            offset: received.offset,
        };
        self.place(Waiting { place, message }, received.due);
    }

    pub(super) fn place(&mut self, waiting: Waiting, due: Option<SystemTime>) {
        let weight = weight(&waiting.message);
        if let Some(due) = due.filter(|due| *due > clock::wall()) {
            self.parked_bytes += weight;
            self.parked.push(Parked { due, waiting });
        } else {
            self.buffer_bytes += weight;
            self.buffer.push_back(waiting);
        }
    }

    pub(super) fn settle(&mut self, receipt: &Receipt, how: Settlement) -> Result<()> {
        if let Settlement::RequeueAfter(_) = how {
            return Err(super::error::unsupported(
                "Kafka can't bring a delivery back later; send a copy to the group with a time, and ack",
            ));
        }
        let Held { place, message } = self.receipts.take(receipt).ok_or_else(lease_lost)?;
        if let Some(slot) = self.slots.get_mut(place.slot) {
            if !slot.owned || slot.epoch != place.epoch {
                return Err(lease_lost());
            }
            slot.in_hand = slot.in_hand.saturating_sub(1);
            if how != Settlement::Requeue {
                slot.tracker.done(place.offset);
                slot.due = Due::Now;
            }
        }
        if how == Settlement::Requeue {
            // In its place among those of its partition, and before all others.
            let of_slot = |waiting: &Waiting| waiting.place.slot == place.slot;
            let later = |waiting: &Waiting| of_slot(waiting) && waiting.place.offset > place.offset;
            let at = self.buffer.iter().position(later);
            let at = at.unwrap_or_else(|| self.buffer.iter().rposition(of_slot).map_or(0, |last| last + 1));
            self.buffer_bytes += weight(&message);
            self.buffer.insert(at, Waiting { place, message });
        }
        Ok(())
    }
}

impl Slot {
    pub(super) fn new(partition: Partition) -> Self {
        Self {
            queue: partition.queue,
            partition: partition.number,
            epoch: 0,
            owned: false,
            since: 0,
            tracker: Tracker::new(None),
            in_hand: 0,
            due: Due::Never,
            begun: 0,
            begun_to: 0,
            delivered_to: 0,
        }
    }

    pub(super) const fn partition(&self) -> Partition {
        Partition {
            queue: self.queue,
            number: self.partition,
        }
    }

    /// When it is committed again if nothing happens.
    pub(super) fn kept(&self, now: Instant) -> Due {
        match self.queue {
            Queue::Main => Due::Never,
            Queue::Retry => Due::Again(now + KEEP_EVERY),
        }
    }

    /// Where the group stands, and what was begun of what follows unless this owner `ends` in order.
    pub(super) fn mark(&self, ends: bool) -> Option<Mark> {
        let mut mark = self.tracker.mark()?;
        if !ends {
            let suspicious = self.begun > 0 && mark.offset < self.begun_to;
            mark.begun = if suspicious {
                self.begun.saturating_add(1)
            } else {
                1
            };
            let known = if suspicious { self.begun_to } else { mark.offset };
            mark.begun_to = known.max(self.delivered_to);
        }
        Some(mark)
    }
}
