//! Receiving: which message a member gets next.

use std::cmp::Reverse;
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use crate::embedded::memory::entries::{NONE, Place, State};
use crate::embedded::memory::handled::Known;
use crate::embedded::memory::keys::{KeyHash, NO_KEY};
use crate::embedded::memory::queue::{Queue, blank};
use crate::embedded::memory::ring::{Ring, Stored};
use crate::message::{Incoming, Position, TopicName};
use crate::provider::Delivery;

/// Who receives, and how.
#[derive(Debug)]
pub(super) struct Receiver<'a> {
    pub(super) member: u32,
    pub(super) topic: &'a TopicName,
    pub(super) prefetch: usize,
    pub(super) lease: Duration,
}

/// What the next step gave.
enum Step {
    /// An entry to deliver.
    Deliver(u32),
    /// A message that is not for now.
    Passed,
    /// Nothing is left.
    Empty,
}

impl Queue {
    /// Appends at most `max` deliveries, and says how many.
    pub(super) fn receive(
        &mut self,
        receiver: &Receiver<'_>,
        ring: &Ring,
        into: &mut Vec<Delivery>,
        max: usize,
        now: Instant,
    ) -> usize {
        self.tick(ring, now);
        if self.tracking && self.tracking_left == 0 && self.chained == 0 && self.members.len() <= 1 {
            self.tracking = false;
            self.keys.clear();
        }
        let Some(member) = self.members.iter().position(|m| m.id == receiver.member) else {
            return 0;
        };
        let room = receiver.prefetch.saturating_sub(self.members[member].unsettled);
        self.members[member].full = room == 0;
        let until = later(now, receiver.lease);
        let mut count = 0;
        while count < max.min(room) {
            let at = match self.step(receiver.member, ring, now) {
                Step::Deliver(at) => at,
                Step::Passed => continue,
                Step::Empty => break,
            };
            let entry = self.entries.get_mut(at);
            entry.state = State::Leased;
            entry.member = receiver.member;
            entry.at = until;
            entry.deliveries = entry.deliveries.saturating_add(1);
            let deliveries = NonZeroU32::new(entry.deliveries).filter(|_| self.rules.counts);
            let receipt = self.entries.receipt(at);
            let Some((message, position)) = self.entries.message(at, ring) else {
                continue;
            };
            let position = position.filter(|_| self.rules.positions).map(Position);
            into.push(Delivery {
                message: incoming(receiver.topic, message, position, deliveries),
                receipt,
            });
            count += 1;
        }
        if count > 0 {
            self.members[member].unsettled += count;
            self.tracking_left = self.tracking_left.saturating_sub(count);
            if self.rules.leases {
                self.lease_check = Some(self.lease_check.map_or(until, |at| at.min(until)));
            }
        }
        count
    }

    fn step(&mut self, member: u32, ring: &Ring, now: Instant) -> Step {
        if let Some(&Reverse((_, at))) = self.ready.peek() {
            self.ready.pop();
            self.entries.get_mut(at).queued = false;
            return self.step_ready(member, at);
        }
        if let Some(&at) = self.fresh.front()
            && self.entries.get(at).place.0 <= self.cursor
        {
            self.fresh.pop_front();
            return self.begin(member, at, ring);
        }
        if !self.reads_ring {
            return Step::Empty;
        }
        let position = self.cursor;
        let Some(message) = ring.get(position) else {
            return Step::Empty;
        };
        self.cursor += 1;
        let mut entry = blank(Place::of_ring(position), now);
        let scheduled = message.due.filter(|due| *due > now);
        if let Some(due) = scheduled {
            entry.state = State::Scheduled;
            entry.at = due;
            entry.own = self.entries.keep(message.clone(), Some(position));
            let at = self.entries.insert(entry);
            self.due.push(Reverse((due, at)));
            self.push_window(NONE);
            return Step::Passed;
        }
        let at = self.entries.insert(entry);
        self.push_window(at);
        if !self.rules.once && !self.tracking {
            return Step::Deliver(at);
        }
        self.begin(member, at, ring)
    }

    fn push_window(&mut self, at: u32) {
        if at != NONE || !self.window.is_empty() {
            self.window.push_back(at);
        }
    }

    /// An entry of the ready heap, which may be out of date.
    fn step_ready(&mut self, member: u32, at: u32) -> Step {
        let entry = self.entries.get(at);
        let (key, next) = (entry.key, entry.next);
        if entry.state != State::Waiting {
            return Step::Passed;
        }
        if key == NO_KEY {
            return Step::Deliver(at);
        }
        // When the holder is another, it comes back into the heap as soon as that one has settled.
        let mine = |state: &super::keys::KeyState| state.head == at && !state.held_from(member);
        if !self.keys.get(key).is_some_and(mine) {
            return Step::Passed;
        }
        self.keys.lease(key, member);
        self.keys.pop(key, next);
        self.chained -= 1;
        self.entries.get_mut(at).next = NONE;
        if next != NONE && self.entries.get(next).state == State::Waiting {
            self.push_ready(next);
        }
        Step::Deliver(at)
    }

    /// An entry whose turn has come for the first time.
    fn begin(&mut self, member: u32, at: u32, ring: &Ring) -> Step {
        // What was sent to the group alone has an id that the group may know: it is to be handled all the same.
        if self.rules.once
            && !self.entries.get(at).routed
            && let Some((message, _)) = self.entries.message(at, ring)
        {
            match self.handled.look(&message.id) {
                Known::New => self.handled.begin(&message.id),
                Known::Begun => {
                    self.handled.wait(&message.id, at);
                    self.entries.get_mut(at).state = State::Twin;
                    return Step::Passed;
                }
                Known::Handled => {
                    self.finish(at);
                    return Step::Passed;
                }
            }
        }
        if !self.tracking {
            return Step::Deliver(at);
        }
        let key = self.find_key(at, ring);
        if key == NO_KEY {
            return Step::Deliver(at);
        }
        if self.is_blocked(key, member) {
            self.entries.get_mut(at).state = State::Waiting;
            self.chain(at);
            return Step::Passed;
        }
        self.keys.lease(key, member);
        Step::Deliver(at)
    }

    /// Whether a later message of `key` must wait.
    fn is_blocked(&self, key: KeyHash, member: u32) -> bool {
        let state = self.keys.get(key);
        state.is_some_and(|state| state.head != NONE || state.held_from(member))
    }
}

/// `after` from `now`; in thirty years where that is beyond the clock.
pub(super) fn later(now: Instant, after: Duration) -> Instant {
    const YEARS: Duration = Duration::from_hours(30 * 365 * 24);
    now.checked_add(after).unwrap_or_else(|| now + YEARS)
}

fn incoming(
    topic: &TopicName,
    message: &Stored,
    position: Option<Position>,
    delivery_count: Option<NonZeroU32>,
) -> Incoming {
    Incoming {
        topic: topic.clone(),
        id: message.id.clone(),
        key: message.key.clone(),
        headers: message.headers.clone(),
        payload: message.payload.clone(),
        published_at: Some(message.published_at),
        position,
        delivery_count,
    }
}
