//! What a subscription knows of itself, shared by what receives, what settles and what keeps it alive.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::Cmd;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::packed::Shared;
use super::provider::Server;
use super::scripts::Lua;
use super::wire::EntryId;
use crate::clock;
use crate::error::Result;
use crate::message::{Incoming, TopicName};
use crate::provider::Delivery;
use crate::receipts::Receipts;

/// An entry of one of a member's streams, which are numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Entry {
    pub(super) stream: usize,
    pub(super) id: EntryId,
}

impl Entry {
    /// As the scripts name it: they number streams from 1.
    pub(super) fn word(self) -> String {
        format!("{}:{}", self.stream + 1, self.id)
    }
}

/// A delivery that is in somebody's hands.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) entry: Entry,
    /// How often the message was delivered, with this time.
    pub(super) count: u32,
    /// When its lease ends.
    pub(super) until: Instant,
    /// Until when the server gives it to nobody else.
    pub(super) server_until: Instant,
}

/// A delivery that the server assigned and nobody has in hand yet.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) entry: Entry,
    pub(super) count: u32,
    pub(super) message: Incoming,
    pub(super) at: Instant,
}

/// What else than new messages must be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Recover {
    Nothing,
    /// What was assigned to this member by an answer that did not come.
    Own,
    /// What any member left unsettled.
    All,
}

/// A member of a group.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) server: Arc<Server>,
    pub(super) topic: TopicName,
    pub(super) group: String,
    /// Its name as a consumer; no other has it.
    pub(super) name: String,
    /// What it reads: the topic's stream and the group's own, or the group's dead letters.
    pub(super) streams: Vec<String>,
    /// The first of its streams that is the group's own: what is settled of it is deleted.
    pub(super) own_from: usize,
    /// Where what it gives back comes again.
    pub(super) back: String,
    /// The sorted set of what comes again later.
    pub(super) later: String,
    /// Pairs of a sorted set and a stream: what it moves when it is due.
    pub(super) moves: Vec<String>,
    /// The key of the turn, where one member reads at a time.
    pub(super) owner: Option<String>,
    pub(super) ephemeral: bool,
    pub(super) alive: String,
    pub(super) lease: Duration,
    pub(super) prefetch: usize,
    /// The headers that messages of its topic have in common.
    pub(super) shared: Arc<Shared>,
    state: Mutex<State>,
    /// Wakes what receives.
    pub(super) wake: Notify,
    /// Wakes what keeps it alive.
    pub(super) stir: Notify,
    pub(super) ended: watch::Sender<bool>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) held: Receipts<Held>,
    /// Requeued: read again before anything later, with the count that the next delivery has.
    pub(super) again: BTreeMap<Entry, u32>,
    pub(super) arrived: VecDeque<Arrived>,
    pub(super) recover: Recover,
    /// Until when it is this member's turn; without turns, for ever.
    pub(super) turn_until: Option<Instant>,
    /// Changes whenever everything in hand is lost: what was asked for before is no longer wanted.
    pub(super) epoch: u64,
    pub(super) waiting: usize,
    pub(super) polled: Instant,
    /// The reading connection, as the server numbers it.
    pub(super) reader: Option<u64>,
}

/// What a receive does next.
#[derive(Debug)]
pub(super) enum Next {
    /// Deliveries were handed out.
    Took,
    /// There is nothing to do but wait.
    Wait,
    /// Ask the server; either may be empty.
    Ask {
        /// Read these again.
        fetch: Vec<Entry>,
        /// Look for so many that were left unsettled.
        claim: usize,
        /// Wait for so many new ones.
        read: usize,
    },
}

/// The parts of a member that are chosen when it joins.
pub(super) struct Joining {
    pub(super) server: Arc<Server>,
    pub(super) topic: TopicName,
    pub(super) group: String,
    pub(super) streams: Vec<String>,
    pub(super) own_from: usize,
    pub(super) back: String,
    pub(super) later: String,
    pub(super) moves: Vec<String>,
    pub(super) owner: Option<String>,
    pub(super) ephemeral: bool,
    pub(super) alive: String,
    pub(super) lease: Duration,
    pub(super) prefetch: NonZeroUsize,
    pub(super) shared: Arc<Shared>,
}

impl Member {
    pub(super) fn new(joining: Joining) -> Self {
        let name = format!("{}-{}", std::process::id(), uuid::Uuid::now_v7().simple());
        let in_turn = joining.owner.is_some();
        let state = State {
            held: Receipts::default(),
            again: BTreeMap::new(),
            arrived: VecDeque::new(),
            recover: Recover::Nothing,
            turn_until: (!in_turn).then(|| clock::after(Duration::MAX)),
            epoch: 0,
            waiting: 0,
            polled: clock::now(),
            reader: None,
        };
        Self {
            server: joining.server,
            topic: joining.topic,
            group: joining.group,
            name,
            streams: joining.streams,
            own_from: joining.own_from,
            back: joining.back,
            later: joining.later,
            moves: joining.moves,
            owner: joining.owner,
            ephemeral: joining.ephemeral,
            alive: joining.alive,
            lease: joining.lease.max(Duration::from_millis(1)),
            prefetch: joining.prefetch.get(),
            shared: joining.shared,
            state: Mutex::new(state),
            wake: Notify::new(),
            stir: Notify::new(),
            ended: watch::Sender::new(false),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the server waits for new messages before it answers that there are none. The turn outlasts it.
    pub(super) fn block(&self) -> Duration {
        const MOST: Duration = Duration::from_secs(5);
        if self.owner.is_some() {
            (self.lease / 3).clamp(Duration::from_millis(1), MOST)
        } else {
            MOST
        }
    }

    /// For how long a turn lasts unless it is prolonged.
    pub(super) fn turn(&self) -> Duration {
        self.lease + self.lease / 2
    }

    /// The names of its streams.
    pub(super) fn stream_names(&self) -> Vec<&str> {
        self.streams.iter().map(String::as_str).collect()
    }

    /// Runs a script for this member.
    pub(super) async fn run(&self, call: &Cmd) -> Result<redis::Value> {
        Lua::run(&self.server.link, call).await
    }

    /// Decides what a receive of at most `max` does next, given what it has asked for already.
    pub(super) fn next(&self, into: &mut Vec<Delivery>, max: usize, fetching: bool, reading: bool) -> Next {
        let mut state = self.lock();
        let now = clock::now();
        state.polled = now;
        if !state.has_turn(now) {
            return Next::Wait;
        }
        // What was requeued comes before what is later in its stream.
        let first_again = state.again.keys().next().copied();
        let blocked = fetching
            || first_again.is_some_and(|again| state.arrived.front().is_none_or(|front| again < front.entry));
        let room = self.prefetch.saturating_sub(state.held.len()).min(max);
        if room == 0 {
            return Next::Wait;
        }
        if !blocked && !state.arrived.is_empty() {
            self.hand_out(&mut state, into, room, first_again);
            return Next::Took;
        }
        if fetching {
            return Next::Wait;
        }
        if !state.again.is_empty() {
            let fetch = state.again.keys().take(room).copied().collect();
            return Next::Ask {
                fetch,
                claim: 0,
                read: 0,
            };
        }
        if state.recover != Recover::Nothing {
            return Next::Ask {
                fetch: Vec::new(),
                claim: room,
                read: 0,
            };
        }
        if reading {
            return Next::Wait;
        }
        let in_time = self.owner.is_none()
            || state
                .turn_until
                .is_some_and(|until| now + self.block() + self.block() / 4 <= until);
        if !in_time {
            return Next::Wait;
        }
        Next::Ask {
            fetch: Vec::new(),
            claim: 0,
            read: room,
        }
    }

    fn hand_out(&self, state: &mut State, into: &mut Vec<Delivery>, room: usize, before: Option<Entry>) {
        for _ in 0..room {
            let Some(front) = state.arrived.front() else { break };
            if before.is_some_and(|again| again < front.entry) {
                break;
            }
            let Some(arrived) = state.arrived.pop_front() else {
                break;
            };
            let until = arrived.at + self.lease;
            let receipt = state.held.insert(Held {
                entry: arrived.entry,
                count: arrived.count,
                until,
                server_until: until,
            });
            let mut message = arrived.message;
            message.delivery_count = super::wire::counted(arrived.count);
            into.push(Delivery { message, receipt });
        }
    }

    /// Everything that it knows of, as the scripts name it.
    pub(super) fn known(&self) -> Vec<String> {
        let state = self.lock();
        let held = state.held.iter().map(|held| held.entry);
        let arrived = state.arrived.iter().map(|arrived| arrived.entry);
        let all = held.chain(arrived).chain(state.again.keys().copied());
        all.map(Entry::word).collect()
    }

    /// Drops everything in hand: it is somebody else's, or comes again.
    pub(super) fn lose(&self) {
        let mut state = self.lock();
        state.lose();
        drop(state);
        self.wake.notify_one();
    }

    /// After a seek: what is in hand was dropped.
    pub(super) fn sought(&self) {
        let mut state = self.lock();
        let turn = state.turn_until;
        state.lose();
        state.turn_until = turn;
        drop(state);
        self.wake.notify_one();
    }
}

impl State {
    pub(super) fn has_turn(&self, now: Instant) -> bool {
        self.turn_until.is_some_and(|until| now < until)
    }

    fn lose(&mut self) {
        self.held.clear();
        self.again.clear();
        self.arrived.clear();
        self.turn_until = None;
        self.recover = Recover::Nothing;
        self.epoch += 1;
    }

    /// Puts what has come in its place: what was read again before what is later in its stream.
    pub(super) fn arrive(&mut self, arrived: Arrived) {
        self.again.remove(&arrived.entry);
        let later = self.arrived.iter().rposition(|other| other.entry < arrived.entry);
        self.arrived.insert(later.map_or(0, |at| at + 1), arrived);
    }
}
