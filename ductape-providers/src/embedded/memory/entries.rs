//! What a queue knows of each message that it has begun with: a slab of entries, and the messages that left the ring.

use tokio::time::Instant;

use crate::embedded::memory::keys::KeyHash;
use crate::embedded::memory::ring::{Ring, Stored};
use crate::provider::Receipt;

/// No entry, no message.
pub(super) const NONE: u32 = u32::MAX;

/// A place in a queue's order: a position of the ring, then, before the message at that position, those for the group
/// alone in the order of their arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(pub(super) u64, pub(super) u64);

impl Place {
    pub(super) const fn of_ring(position: u64) -> Self {
        Self(position, u64::MAX)
    }
}

/// What an entry is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing: the slot is free.
    Free,
    /// To be settled, or for its lease to end.
    Leased,
    /// For a receiver, and for its key.
    Waiting,
    /// For the time of a retry.
    Delayed,
    /// For the time before which it was not to be delivered.
    Scheduled,
    /// For its turn after messages of the ring.
    Fresh,
    /// For the end of another delivery of the same id.
    Twin,
}

/// A message that a queue has begun with.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) state: State,
    /// Whether it was sent to the group alone.
    pub(super) routed: bool,
    /// Whether the ready heap has it.
    pub(super) queued: bool,
    /// Changes when a lease ends, so that an old receipt is recognised.
    pub(super) generation: u32,
    pub(super) deliveries: u32,
    pub(super) member: u32,
    /// The next of the same key that waits.
    pub(super) next: u32,
    /// The message's place among those that left the ring, else it is still there.
    pub(super) own: u32,
    pub(super) key: KeyHash,
    pub(super) place: Place,
    /// When the lease ends, or the wait.
    pub(super) at: Instant,
}

#[derive(Debug)]
struct Own {
    message: Stored,
    position: Option<u64>,
}

/// The entries of a queue.
#[derive(Debug, Default)]
pub(super) struct Entries {
    slots: Vec<Entry>,
    free: Vec<u32>,
    own: Vec<Option<Own>>,
    own_free: Vec<u32>,
}

impl Entries {
    /// How many are in use.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The index of a new entry. Bounded by the capacity, which is far below the largest index.
    pub(super) fn insert(&mut self, mut entry: Entry) -> u32 {
        if let Some(at) = self.free.pop() {
            let slot = &mut self.slots[at as usize];
            entry.generation = slot.generation;
            *slot = entry;
            return at;
        }
        let at = index(self.slots.len());
        self.slots.push(entry);
        at
    }

    pub(super) fn remove(&mut self, at: u32) {
        let slot = &mut self.slots[at as usize];
        slot.state = State::Free;
        slot.generation = slot.generation.wrapping_add(1);
        let own = std::mem::replace(&mut slot.own, NONE);
        if own != NONE {
            self.own[own as usize] = None;
            self.own_free.push(own);
        }
        self.free.push(at);
    }

    pub(super) fn get(&self, at: u32) -> &Entry {
        &self.slots[at as usize]
    }

    pub(super) fn get_mut(&mut self, at: u32) -> &mut Entry {
        &mut self.slots[at as usize]
    }

    /// The entry that `receipt` was given for, if `member` still has it.
    pub(super) fn by_receipt(&self, receipt: &Receipt, member: u32) -> Option<u32> {
        let token = receipt.token();
        let at = u32::try_from(token & u64::from(u32::MAX)).ok()?;
        let slot = self.slots.get(at as usize)?;
        let valid =
            slot.state == State::Leased && u64::from(slot.generation) == token >> 32 && slot.member == member;
        valid.then_some(at)
    }

    pub(super) fn receipt(&self, at: u32) -> Receipt {
        Receipt::new(u64::from(self.get(at).generation) << 32 | u64::from(at))
    }

    pub(super) fn keep(&mut self, message: Stored, position: Option<u64>) -> u32 {
        let own = Some(Own { message, position });
        if let Some(at) = self.own_free.pop() {
            self.own[at as usize] = own;
            return at;
        }
        let at = index(self.own.len());
        self.own.push(own);
        at
    }

    /// The message of an entry, and its position in the ring if it ever had one.
    pub(super) fn message<'a>(&'a self, at: u32, ring: &'a Ring) -> Option<(&'a Stored, Option<u64>)> {
        let entry = self.get(at);
        if entry.own == NONE {
            let position = entry.place.0;
            return Some((ring.get(position)?, Some(position)));
        }
        let own = self.own.get(entry.own as usize)?.as_ref()?;
        Some((&own.message, own.position))
    }

    /// The entries in use.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        (0..)
            .zip(&self.slots)
            .filter(|(_, entry)| entry.state != State::Free)
    }
}

fn index(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(NONE - 1)
}
