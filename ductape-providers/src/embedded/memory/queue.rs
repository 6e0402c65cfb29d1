//! A group's messages, or its dead letters: a cursor in the ring, and entries for what it has begun with.
//!
//! An entry begins when the cursor passes its message, or when the message is sent to the group alone. It ends when it is
//! settled. In between it is delivered, or waits: for a receiver (in `ready`), for its time (in `due`), for its turn (in
//! `fresh`), or for its key (in the key's chain).
//!
//! What the members do stands in `queue_pick.rs` (receiving) and `queue_settle.rs` (settling).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::capability::{Capability, Order, Requeue};
use crate::embedded::memory::entries::{Entries, Entry, NONE, Place, State};
use crate::embedded::memory::handled::Handled;
use crate::embedded::memory::keys::{self, KeyHash, Keys, NO_KEY};
use crate::embedded::memory::ring::{Ring, Stored};
use crate::provider::Backlog;
use crate::spec::{GroupSpec, Ordering};

/// What a queue keeps to.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools)] // each is an independent fact, named where it is read
pub(super) struct Rules {
    pub(super) order: Order,
    pub(super) requeue: Requeue,
    /// Whether a delayed message holds back the later ones of its key.
    pub(super) delay_holds: bool,
    pub(super) once: bool,
    pub(super) leases: bool,
    pub(super) counts: bool,
    pub(super) positions: bool,
}

impl Rules {
    pub(super) const fn new(group: &GroupSpec, capability: &Capability) -> Self {
        let holds_key = matches!(capability.requeue, Requeue::Delayed { holds_key: true, .. });
        Self {
            order: capability.order,
            requeue: capability.requeue,
            delay_holds: holds_key && matches!(group.ordering, Ordering::Strict),
            once: group.once,
            leases: capability.lease,
            counts: capability.delivery_count,
            positions: capability.seek,
        }
    }
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: u32,
    /// The connection that it is of.
    pub(super) connection: u64,
    pub(super) unsettled: usize,
    /// Whether it waits because of its prefetch.
    pub(super) full: bool,
}

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // each is an independent fact, named where it is read
pub(super) struct Queue {
    /// Tells this queue from one that had its place before.
    pub(super) id: u64,
    pub(super) rules: Rules,
    /// Whether it reads the ring; dead letters do not.
    pub(super) reads_ring: bool,
    /// The next position that it reads.
    pub(super) cursor: u64,
    /// The entry of each position before the cursor, back to the first that is unsettled and in the ring.
    pub(super) window: VecDeque<u32>,
    pub(super) entries: Entries,
    pub(super) fresh: VecDeque<u32>,
    pub(super) ready: BinaryHeap<Reverse<(Place, u32)>>,
    pub(super) due: BinaryHeap<Reverse<(Instant, u32)>>,
    pub(super) keys: Keys,
    /// Whether `keys` is kept. It is not while one member gets everything in order anyway.
    pub(super) tracking: bool,
    /// How many deliveries `keys` is kept for at least, to make up for what building it cost.
    pub(super) tracking_left: usize,
    /// How many entries are in a key's chain.
    pub(super) chained: usize,
    pub(super) handled: Handled,
    pub(super) members: Vec<Member>,
    members_ever: u32,
    /// No lease ends before this time; `None` when nothing was delivered.
    pub(super) lease_check: Option<Instant>,
    /// How many entries were sent to the group alone.
    pub(super) routed: usize,
    arrivals: u64,
    /// Wakes the members.
    pub(super) notify: Arc<Notify>,
    /// Whether a member waits for messages.
    pub(super) awaited: bool,
    /// Whether there may be something for a member that waits.
    pub(super) stirred: bool,
}

impl Queue {
    pub(super) fn new(id: u64, rules: Rules, cursor: Option<u64>) -> Self {
        Self {
            id,
            rules,
            reads_ring: cursor.is_some(),
            cursor: cursor.unwrap_or_default(),
            window: VecDeque::new(),
            entries: Entries::default(),
            fresh: VecDeque::new(),
            ready: BinaryHeap::new(),
            due: BinaryHeap::new(),
            keys: Keys::default(),
            tracking: false,
            tracking_left: 0,
            chained: 0,
            handled: Handled::default(),
            members: Vec::new(),
            members_ever: 0,
            lease_check: None,
            routed: 0,
            arrivals: 0,
            notify: Arc::new(Notify::new()),
            awaited: false,
            stirred: false,
        }
    }

    /// The first position that the queue still needs.
    pub(super) fn low(&self) -> u64 {
        if self.reads_ring {
            self.cursor - self.window.len() as u64
        } else {
            u64::MAX
        }
    }

    /// How many of the ring's messages are unsettled.
    pub(super) fn unsettled(&self, end: u64) -> usize {
        if !self.reads_ring {
            return 0;
        }
        let unread = usize::try_from(end - self.cursor).unwrap_or(usize::MAX);
        unread + self.entries.len() - self.routed
    }

    /// Whether a member that waits is to be woken.
    pub(super) fn take_wake(&mut self) -> bool {
        let stirred = std::mem::take(&mut self.stirred);
        stirred && std::mem::take(&mut self.awaited)
    }

    pub(super) fn join(&mut self, connection: u64, ring: &Ring) -> u32 {
        self.members_ever = self.members_ever.wrapping_add(1);
        let id = self.members_ever;
        self.members.push(Member {
            id,
            connection,
            unsettled: 0,
            full: false,
        });
        if self.members.len() > 1 {
            self.track(ring);
        }
        id
    }

    /// Gives back what `member` has not settled.
    pub(super) fn leave(&mut self, member: u32, ring: &Ring) {
        let its = self.leased_where(|entry| entry.member == member);
        self.give_back(&its, ring);
        self.members.retain(|m| m.id != member);
        // It may have been woken for what another can take.
        self.stirred = true;
    }

    /// Takes a message for this queue alone.
    pub(super) fn push_routed(&mut self, message: Stored, end: u64, now: Instant) {
        let due = message.due.filter(|due| *due > now);
        let place = self.next_place(end);
        let own = self.entries.keep(message, None);
        let mut entry = blank(place, now);
        entry.own = own;
        entry.routed = true;
        self.routed += 1;
        if let Some(due) = due {
            entry.state = State::Scheduled;
            entry.at = due;
            let at = self.entries.insert(entry);
            self.due.push(Reverse((due, at)));
        } else {
            let at = self.entries.insert(entry);
            self.fresh.push_back(at);
        }
        self.stirred = true;
    }

    fn next_place(&mut self, end: u64) -> Place {
        self.arrivals += 1;
        Place(if self.reads_ring { end } else { 0 }, self.arrivals)
    }

    /// Moves on what had to wait until `now`: delays, schedules, leases.
    pub(super) fn tick(&mut self, ring: &Ring, now: Instant) {
        while let Some(&Reverse((due, at))) = self.due.peek()
            && due <= now
        {
            self.due.pop();
            let chained = self.rules.delay_holds && self.entries.get(at).key != NO_KEY;
            match self.entries.get(at).state {
                State::Scheduled => {
                    let place = self.next_place(ring.end());
                    let entry = self.entries.get_mut(at);
                    entry.state = State::Fresh;
                    entry.place = place;
                    self.fresh.push_back(at);
                }
                State::Delayed if chained => {
                    let entry = self.entries.get_mut(at);
                    entry.state = State::Waiting;
                    if self.keys.get(entry.key).is_some_and(|key| key.head == at) {
                        self.push_ready(at);
                    }
                }
                _ => self.put_waiting(at, ring),
            }
        }
        if self.rules.leases && self.lease_check.is_some_and(|at| at <= now) {
            let ended = self.leased_where(|entry| entry.at <= now);
            self.give_back(&ended, ring);
            let leased = self.entries.iter().filter(|(_, e)| e.state == State::Leased);
            self.lease_check = leased.map(|(_, entry)| entry.at).min();
        }
    }

    /// When [`tick`](Self::tick) may next have something to do.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        let due = self.due.peek().map(|Reverse((due, _))| *due);
        let lease = self.lease_check.filter(|_| self.rules.leases);
        match (due, lease) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The deliveries that `wanted` says, the latest in the order first, which makes giving them back cheap.
    fn leased_where(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<u32> {
        let leased = self.entries.iter().filter(|(_, e)| e.state == State::Leased);
        let mut found: Vec<_> = leased
            .filter(|(_, e)| wanted(e))
            .map(|(at, e)| (e.place, at))
            .collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.into_iter().map(|(_, at)| at).collect()
    }

    fn give_back(&mut self, leased: &[u32], ring: &Ring) {
        for &at in leased {
            self.end_lease(at);
            self.put_waiting(at, ring);
        }
    }

    /// Ends the delivery of an entry; the caller says what comes next.
    pub(super) fn end_lease(&mut self, at: u32) {
        let entry = self.entries.get_mut(at);
        entry.generation = entry.generation.wrapping_add(1);
        // Not leased any more, so that `track` does not count it.
        entry.state = State::Fresh;
        let (member, key) = (entry.member, entry.key);
        if let Some(member) = self.members.iter_mut().find(|m| m.id == member) {
            member.unsettled = member.unsettled.saturating_sub(1);
            if std::mem::take(&mut member.full) {
                (self.awaited, self.stirred) = (true, true);
            }
        }
        if self.tracking
            && key != NO_KEY
            && let Some(head) = self.keys.release(key)
            && self.entries.get(head).state == State::Waiting
        {
            self.push_ready(head);
        }
    }

    /// Lets an entry wait for a receiver, at its place in the order.
    pub(super) fn put_waiting(&mut self, at: u32, ring: &Ring) {
        let key = self.find_key(at, ring);
        if key == NO_KEY {
            self.entries.get_mut(at).state = State::Waiting;
            self.push_ready(at);
            return;
        }
        self.track(ring);
        self.entries.get_mut(at).state = State::Waiting;
        if self.chain(at) {
            self.push_ready(at);
        }
    }

    /// Puts an entry into its key's chain, and says whether it is the first.
    pub(super) fn chain(&mut self, at: u32) -> bool {
        let (key, place) = (self.entries.get(at).key, self.entries.get(at).place);
        self.chained += 1;
        let state = self.keys.entry(key);
        let (head, tail) = (state.head, state.tail);
        let goes_before = |entries: &Entries, other: u32| place < entries.get(other).place;
        if head == NONE || goes_before(&self.entries, head) {
            state.head = at;
            if tail == NONE {
                state.tail = at;
            }
            self.entries.get_mut(at).next = head;
            return true;
        }
        if !goes_before(&self.entries, tail) {
            state.tail = at;
            self.entries.get_mut(tail).next = at;
            self.entries.get_mut(at).next = NONE;
            return false;
        }
        let mut before = head;
        loop {
            let next = self.entries.get(before).next;
            if next == NONE || goes_before(&self.entries, next) {
                self.entries.get_mut(before).next = at;
                self.entries.get_mut(at).next = next;
                return false;
            }
            before = next;
        }
    }

    pub(super) fn push_ready(&mut self, at: u32) {
        self.stirred = true;
        let entry = self.entries.get_mut(at);
        if !std::mem::replace(&mut entry.queued, true) {
            let place = entry.place;
            self.ready.push(Reverse((place, at)));
        }
    }

    /// Begins to keep `keys`.
    pub(super) fn track(&mut self, ring: &Ring) {
        if self.tracking || self.rules.order == Order::None {
            return;
        }
        self.tracking = true;
        self.tracking_left = self.entries.len();
        let leased = self.entries.iter().filter(|(_, e)| e.state == State::Leased);
        let leased: Vec<_> = leased.map(|(at, e)| (at, e.member)).collect();
        for (at, member) in leased {
            let key = self.find_key(at, ring);
            if key != NO_KEY {
                self.keys.lease(key, member);
            }
        }
    }

    /// The key of a message, as far as it matters here.
    pub(super) fn key_of(&self, message: &Stored) -> KeyHash {
        match self.rules.order {
            Order::None => NO_KEY,
            Order::PerKey | Order::PerTopic => message.key.as_deref().map_or(NO_KEY, keys::hash),
        }
    }

    pub(super) fn find_key(&mut self, at: u32, ring: &Ring) -> KeyHash {
        let known = self.entries.get(at).key;
        if known != NO_KEY {
            return known;
        }
        let message = self.entries.message(at, ring);
        let key = message.map_or(NO_KEY, |(message, _)| self.key_of(message));
        self.entries.get_mut(at).key = key;
        key
    }

    /// Copies an entry's message out of the ring, so that the ring can let it go.
    pub(super) fn take_out(&mut self, at: u32, ring: &Ring) {
        let (own, place) = (self.entries.get(at).own, self.entries.get(at).place);
        if own != NONE {
            return;
        }
        if let Some(message) = ring.get(place.0) {
            let own = self.entries.keep(message.clone(), Some(place.0));
            self.entries.get_mut(at).own = own;
            self.clear_window(place.0);
        }
    }

    /// Lets go of the first position that the queue needs, if it only waits to be settled.
    pub(super) fn take_out_first(&mut self, ring: &Ring) {
        if let Some(&at) = self.window.front() {
            self.take_out(at, ring);
        }
    }

    pub(super) fn clear_window(&mut self, position: u64) {
        let at = usize::try_from(position - self.low()).unwrap_or(usize::MAX);
        if let Some(slot) = self.window.get_mut(at) {
            *slot = NONE;
        }
        while self.window.front() == Some(&NONE) {
            self.window.pop_front();
        }
    }

    /// Drops everything that was begun with, and goes on at `position`.
    pub(super) fn seek(&mut self, position: u64) {
        let used: Vec<_> = self.entries.iter().map(|(at, _)| at).collect();
        for at in used {
            let entry = self.entries.get_mut(at);
            entry.queued = false;
            self.entries.remove(at);
        }
        self.window.clear();
        self.fresh.clear();
        self.ready.clear();
        self.due.clear();
        self.keys.clear();
        self.chained = 0;
        self.routed = 0;
        self.lease_check = None;
        self.handled.drop_begun();
        for member in &mut self.members {
            member.unsettled = 0;
            self.awaited |= std::mem::take(&mut member.full);
        }
        self.cursor = position;
        self.stirred = true;
    }

    /// What is before the queue, without dead letters.
    pub(super) fn backlog(&mut self, ring: &Ring, now: Instant) -> Backlog {
        self.tick(ring, now);
        let mut backlog = Backlog::default();
        for (_, entry) in self.entries.iter() {
            match entry.state {
                State::Free => {}
                State::Leased => backlog.in_flight += 1,
                State::Delayed | State::Scheduled => backlog.delayed += 1,
                State::Waiting | State::Fresh | State::Twin => backlog.ready += 1,
            }
        }
        if self.reads_ring {
            let scheduled = ring.scheduled(self.cursor, now) as u64;
            backlog.delayed += scheduled;
            backlog.ready += ring.end() - self.cursor - scheduled;
        }
        backlog
    }
}

/// An entry without anything, at `place`.
pub(super) const fn blank(place: Place, now: Instant) -> Entry {
    Entry {
        state: State::Fresh,
        routed: false,
        queued: false,
        generation: 0,
        deliveries: 0,
        member: 0,
        next: NONE,
        own: NONE,
        key: NO_KEY,
        place,
        at: now,
    }
}
