//! A topic: its ring, its groups, and the lock around them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ductape_schema::GroupName;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::capability::Capability;
use crate::clock;
use crate::embedded::memory::queue::{Queue, Rules};
use crate::embedded::memory::queue_pick::later;
use crate::embedded::memory::ring::{Ring, Stored};
use crate::embedded::memory::{MemoryConfig, checks};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Position, Route, TopicName};
use crate::provider::{Backlog, Durability, PublishReceipt, PublishSlot};
use crate::spec::{GroupSpec, SeekTo, Source, Start};

/// A topic, shared by its publishers and subscriptions.
#[derive(Debug)]
pub(super) struct Topic {
    state: Mutex<TopicState>,
    /// Wakes the publishers that wait for room.
    pub(super) room: Notify,
}

impl Topic {
    pub(super) fn new(name: TopicName, config: MemoryConfig, capability: Capability) -> Self {
        let state = TopicState {
            name,
            config,
            capability,
            ring: Ring::default(),
            queues: Vec::new(),
            queues_ever: 0,
            groups: HashMap::new(),
            room_awaited: false,
        };
        Self {
            state: Mutex::new(state),
            room: Notify::new(),
        }
    }

    /// The lock. A panic while it was held can't leave a half-done step behind that another would trip over.
    pub(super) fn lock(&self) -> MutexGuard<'_, TopicState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unlocks, and wakes whom the change concerns.
    pub(super) fn release(&self, mut state: MutexGuard<'_, TopicState>) {
        let room = state.take_room();
        let wake = state.take_wake();
        drop(state);
        if room {
            self.room.notify_waiters();
        }
        wake.notify();
    }

    /// Unlocks after a publish, which makes no room.
    pub(super) fn unlock_published(mut state: MutexGuard<'_, TopicState>) {
        let wake = state.take_wake();
        drop(state);
        wake.notify();
    }

    /// Unlocks after a receive, which makes room only where repeated ids were settled; when `waits`, the member is woken
    /// when there is something for it.
    pub(super) fn unlock_received(
        &self,
        mut state: MutexGuard<'_, TopicState>,
        at: QueueAt,
        member: u32,
        waits: bool,
    ) {
        let wake = state.take_wake();
        let mut room = false;
        if let Some((queue, _)) = state.queue(at) {
            queue.awaited |= waits && queue.members.iter().any(|m| m.id == member && !m.full);
            if queue.rules.once {
                state.trim();
                room = state.take_room();
            }
        }
        drop(state);
        if room {
            self.room.notify_waiters();
        }
        wake.notify();
    }

    /// Gives back what the subscriptions of a closed connection have, and wakes whoever waits, to look whether it is
    /// closed.
    pub(super) fn disconnect(&self, connection: u64) {
        let mut state = self.lock();
        let members: Vec<_> = (0..state.queues.len())
            .flat_map(|at| state.members_of(at, connection))
            .collect();
        for (at, member) in members {
            state.leave(at, member);
        }
        let waiting: Vec<_> = state
            .queues
            .iter()
            .flatten()
            .map(|q| Arc::clone(&q.notify))
            .collect();
        self.release(state);
        self.room.notify_waiters();
        for notify in waiting {
            notify.notify_waiters();
        }
    }
}

#[derive(Debug)]
struct Group {
    spec: GroupSpec,
    messages: usize,
    dead_letters: usize,
}

/// What is behind a topic's lock.
#[derive(Debug)]
pub(super) struct TopicState {
    name: TopicName,
    config: MemoryConfig,
    capability: Capability,
    pub(super) ring: Ring,
    queues: Vec<Option<Queue>>,
    queues_ever: u64,
    groups: HashMap<GroupName, Group>,
    room_awaited: bool,
}

/// Where a subscription finds its queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueAt {
    at: usize,
    id: u64,
}

/// What became of a part of a batch.
pub(super) enum Published {
    /// The first slots are done.
    Some(usize),
    /// The first slots are done, and the next waits for room.
    Full(usize),
}

/// Whom to wake once the lock is free. Most often nobody, else one.
#[derive(Default)]
pub(super) struct Wake {
    first: Option<Arc<Notify>>,
    more: Vec<Arc<Notify>>,
}

impl Wake {
    fn notify(self) {
        for notify in self.first.into_iter().chain(self.more) {
            notify.notify_waiters();
        }
    }
}

impl TopicState {
    /// Makes the group if it is missing.
    pub(super) fn declare(&mut self, spec: &GroupSpec) -> Result<()> {
        checks::group(spec, &self.capability).map_err(|error| error.with("topic", &self.name))?;
        if let Some(group) = self.groups.get(&spec.name) {
            return checks::group_fits(&group.spec, spec).map_err(|error| error.with("topic", &self.name));
        }
        let cursor = match spec.start {
            Start::Latest => self.ring.end(),
            Start::Earliest => self.ring.base(),
        };
        let rules = Rules::new(spec, &self.capability);
        // A dead letter that was put there again is a new one, also with an id that was handled.
        let dead = Rules { once: false, ..rules };
        let group = Group {
            spec: spec.clone(),
            messages: self.add_queue(rules, Some(cursor)),
            dead_letters: self.add_queue(dead, None),
        };
        self.groups.insert(spec.name.clone(), group);
        Ok(())
    }

    fn add_queue(&mut self, rules: Rules, cursor: Option<u64>) -> usize {
        self.queues_ever += 1;
        let queue = Some(Queue::new(self.queues_ever, rules, cursor));
        if let Some(at) = self.queues.iter().position(Option::is_none) {
            self.queues[at] = queue;
            return at;
        }
        self.queues.push(queue);
        self.queues.len() - 1
    }

    fn group(&self, name: &GroupName) -> Result<&Group> {
        let missing = || checks::group_missing(&self.name, name, self.groups.keys());
        self.groups.get(name).ok_or_else(missing)
    }

    fn members_of(&self, at: usize, connection: u64) -> Vec<(QueueAt, u32)> {
        let queue = self.queues[at].as_ref();
        let place = queue.map(|queue| QueueAt { at, id: queue.id });
        let members = queue.map(|queue| queue.members.iter().filter(|m| m.connection == connection));
        let members = members.into_iter().flatten().map(|m| m.id);
        place
            .into_iter()
            .flat_map(|place| members.clone().map(move |id| (place, id)))
            .collect()
    }

    /// Joins a group, and says where its queue is, the member's number, and what wakes it.
    pub(super) fn join(
        &mut self,
        connection: u64,
        spec: &GroupSpec,
        source: Source,
    ) -> Result<(QueueAt, u32, Arc<Notify>)> {
        if spec.ephemeral && !self.groups.contains_key(&spec.name) {
            self.declare(spec)?;
        }
        let group = self.group(&spec.name)?;
        let at = match source {
            Source::Messages => group.messages,
            Source::DeadLetters => group.dead_letters,
        };
        let groups = self.capability.groups;
        let Some(queue) = self.queues[at].as_mut() else {
            return Err(checks::closed());
        };
        if !groups && !queue.members.is_empty() {
            let error = checks::unsupported("share a group among subscriptions", "use one subscription");
            return Err(error.with("group", &spec.name).with("topic", &self.name));
        }
        let member = queue.join(connection, &self.ring);
        Ok((QueueAt { at, id: queue.id }, member, Arc::clone(&queue.notify)))
    }

    /// Leaves a group, which goes too if it is ephemeral and this was its last member.
    pub(super) fn leave(&mut self, at: QueueAt, member: u32) {
        let Some((queue, ring)) = self.queue(at) else {
            return;
        };
        queue.leave(member, ring);
        if !queue.members.is_empty() {
            return;
        }
        let ephemeral = |group: &Group| group.spec.ephemeral && group.messages == at.at;
        if let Some(name) = self
            .groups
            .iter()
            .find(|(_, g)| ephemeral(g))
            .map(|(name, _)| name.clone())
            && let Some(group) = self.groups.remove(&name)
        {
            self.queues[group.messages] = None;
            self.queues[group.dead_letters] = None;
        }
        self.trim();
    }

    /// A queue with the ring that it reads.
    pub(super) fn queue(&mut self, at: QueueAt) -> Option<(&mut Queue, &Ring)> {
        let queue = self.queues.get_mut(at.at)?.as_mut()?;
        (queue.id == at.id).then_some((queue, &self.ring))
    }

    /// Takes the slots in order as far as they are this topic's and there is room.
    pub(super) fn publish(&mut self, batch: &mut [PublishSlot]) -> Published {
        let full = self
            .queues
            .iter()
            .flatten()
            .map(|q| q.unsettled(self.ring.end()))
            .max();
        let mut room = full.map_or(usize::MAX, |full| self.config.capacity.saturating_sub(full));
        let mut done = 0;
        let mut waits = false;
        let mut pushed = false;
        for slot in batch {
            if slot.message.topic != self.name {
                break;
            }
            if slot.outcome.is_none() {
                let due = match self.due(slot) {
                    Ok(due) => due,
                    Err(error) => {
                        slot.outcome = Some(Err(error));
                        done += 1;
                        continue;
                    }
                };
                let position = match &slot.message.route {
                    Route::Topic if room == 0 => {
                        waits = true;
                        break;
                    }
                    Route::Topic => {
                        room -= 1;
                        pushed = true;
                        Ok(Some(self.ring.push(Stored::new(&slot.message, due))))
                    }
                    route => match self.publish_routed(route, slot, due) {
                        Ok(true) => Ok(None),
                        Ok(false) => {
                            waits = true;
                            break;
                        }
                        Err(error) => Err(error),
                    },
                };
                slot.outcome = Some(position.map(|position| self.receipt(position)));
            }
            done += 1;
        }
        if pushed {
            for queue in self.queues.iter_mut().flatten() {
                queue.stirred |= queue.reads_ring;
            }
            self.trim();
        }
        self.room_awaited |= waits;
        if waits {
            Published::Full(done)
        } else {
            Published::Some(done)
        }
    }

    fn receipt(&self, position: Option<u64>) -> PublishReceipt {
        PublishReceipt {
            durability: Durability::Buffered,
            position: position.filter(|_| self.capability.seek).map(Position),
            duplicate: false,
        }
    }

    fn due(&self, slot: &PublishSlot) -> Result<Option<Instant>> {
        let Some(not_before) = slot.message.not_before else {
            return Ok(None);
        };
        let Ok(delay) = not_before.duration_since(clock::wall()) else {
            return Ok(None);
        };
        if delay.is_zero() {
            return Ok(None);
        }
        checks::publish_delay(delay, &slot.message.route, &self.capability)
            .map_err(|error| error.with("topic", &self.name))?;
        Ok(Some(later(clock::now(), delay)))
    }

    /// Says `false` when there is no room.
    fn publish_routed(&mut self, route: &Route, slot: &PublishSlot, due: Option<Instant>) -> Result<bool> {
        let (at, waits) = match route {
            Route::DeadLetters(group) => (self.group(group)?.dead_letters, false),
            Route::Group(group) => (self.group(group)?.messages, true),
            Route::Topic => return Ok(true),
        };
        let (end, capacity) = (self.ring.end(), self.config.capacity);
        let Some(queue) = self.queues[at].as_mut() else {
            return Err(checks::closed());
        };
        if queue.routed >= capacity {
            if waits {
                return Ok(false);
            }
            let message = format!(
                "the group has {capacity} dead letters, which is all it may hold; reprocess or discard some"
            );
            return Err(Error::new(ErrorKind::Throttled, message).with("topic", &self.name));
        }
        queue.push_routed(Stored::new(&slot.message, due), end, clock::now());
        Ok(true)
    }

    /// Drops what no group needs any more.
    pub(super) fn trim(&mut self) {
        self.trim_to_low();
        // What waits long at the front must not keep what was settled behind it.
        let most = self.config.capacity.saturating_add(self.config.retention);
        while self.ring.len() > most {
            let base = self.ring.base();
            for queue in self
                .queues
                .iter_mut()
                .flatten()
                .filter(|queue| queue.low() == base)
            {
                queue.take_out_first(&self.ring);
            }
            self.trim_to_low();
            if self.ring.base() == base {
                return;
            }
        }
    }

    fn trim_to_low(&mut self) {
        let low = self.queues.iter().flatten().map(Queue::low).min();
        self.ring.trim(low.unwrap_or(u64::MAX), self.config.retention);
    }

    pub(super) fn seek(&mut self, group: &GroupName, to: SeekTo) -> Result<()> {
        let at = self.group(group)?.messages;
        let (base, end) = (self.ring.base(), self.ring.end());
        let position = match to {
            SeekTo::Earliest => base,
            SeekTo::Latest => end,
            SeekTo::Position(Position(position)) => position.clamp(base, end),
            SeekTo::Time(time) => self.ring.since(time),
        };
        if let Some(queue) = self.queues[at].as_mut() {
            queue.seek(position);
        }
        self.trim();
        Ok(())
    }

    pub(super) fn backlog(&mut self, group: &GroupName) -> Result<Backlog> {
        let now = clock::now();
        let (messages, dead) = self.group(group).map(|g| (g.messages, g.dead_letters))?;
        let ring = &self.ring;
        let mut count = |at: usize| self.queues[at].as_mut().map(|q| q.backlog(ring, now));
        let dead = count(dead).unwrap_or_default();
        let mut backlog = count(messages).unwrap_or_default();
        backlog.dead_letters = dead.ready + dead.delayed + dead.in_flight;
        Ok(backlog)
    }

    /// Whether publishers that wait have room now.
    fn take_room(&mut self) -> bool {
        self.room_awaited && std::mem::take(&mut self.room_awaited)
    }

    fn take_wake(&mut self) -> Wake {
        let mut wake = Wake::default();
        for queue in self.queues.iter_mut().flatten() {
            if queue.take_wake() {
                let notify = Arc::clone(&queue.notify);
                match wake.first {
                    None => wake.first = Some(notify),
                    Some(_) => wake.more.push(notify),
                }
            }
        }
        wake
    }
}
