//! A member of a group: what it has in hand, and how it is received.
//!
//! A task of the connection, the [pump](super::pump), pulls from the server and fills a buffer; `receive` takes from it,
//! so that a `receive` that is dropped loses nothing. It is pulled only while somebody receives, and never more than there
//! is room for.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream::consumer;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::declare::{MEMBERS, dead_config, group_missing, the_consumer};
use super::error;
use super::provider::Nats;
use super::pump;
use super::settle::NatsSettler;
use super::topic::missing;
use super::wire::Place;
use crate::clock;
use crate::config::Declare;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Incoming, TopicName};
use crate::provider::{Delivery, Subscription};
use crate::receipts::Receipts;
use crate::spec::{Source, SubscriptionSpec};

/// The most deliveries that one receive returns.
pub(super) const RECEIVE_MAX: usize = 1_024;
/// How long closing waits until what is unsettled was given back.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// A subscription of one process.
#[derive(Debug)]
pub(super) struct NatsSubscription {
    shared: Arc<Shared>,
}

/// What the subscription, its settlers and its pump share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) nats: Nats,
    pub(super) topic: TopicName,
    pub(super) stream: String,
    pub(super) consumer: String,
    /// How long a delivery stays ours, as the server has it.
    pub(super) lease: Duration,
    pub(super) prefetch: usize,
    /// Whether the server gives to one member at a time.
    pub(super) pinned: bool,
    /// What an ephemeral group is made of, so that it can be made again; it ends with the subscription.
    pub(super) ephemeral: Option<consumer::Config>,
    state: Mutex<State>,
    /// Something is there to be received, or the end.
    pub(super) ready: Notify,
    /// The pump has something to do.
    pub(super) work: Notify,
    pub(super) done: watch::Sender<bool>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) buffer: VecDeque<Got>,
    pub(super) receipts: Receipts<Held>,
    /// How many the last receive had room for, beyond what it got.
    pub(super) wanted: usize,
    /// Whether a receive waits.
    pub(super) waiting: bool,
    /// When a receive was last asked for.
    pub(super) received_at: Instant,
    /// When it is safe that another member takes over, after a lease was lost.
    pub(super) release_at: Instant,
    /// The subscription ends.
    pub(super) stop: bool,
    /// It has ended for this reason.
    pub(super) failed: Option<(ErrorKind, String)>,
    /// What was in hand when it was stopped, to be given back.
    pub(super) returning: Vec<(u64, Subject)>,
    /// The consumer is being made anew elsewhere: what comes is of the old one.
    pub(super) paused: bool,
}

/// A message that came and is not received yet.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) message: Incoming,
    pub(super) reply: Subject,
    pub(super) sequence: u64,
    /// When its lease began.
    pub(super) base: Instant,
}

/// A delivery that is not settled.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) got: Got,
    /// Its lease is renewed until then.
    pub(super) keep_until: Instant,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much earlier than the server a lease is given up: the server began to count before the message came.
    pub(super) fn margin(&self) -> Duration {
        (self.lease / 10).min(Duration::from_millis(500))
    }

    /// When a lease that began at `base` is given up.
    pub(super) fn deadline(&self, base: Instant) -> Instant {
        base + self.lease.saturating_sub(self.margin())
    }

    /// Ends the subscription: what is unsettled is given back by the pump.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.stop, true) {
            state.give_up();
        }
        drop(state);
        self.ready.notify_one();
        self.work.notify_one();
    }

    /// The group stands elsewhere: what is in hand is of before.
    pub(super) fn forget(&self, paused: bool) {
        let mut state = self.state();
        state.receipts.clear();
        state.buffer.clear();
        state.paused = paused;
        drop(state);
        self.work.notify_one();
    }

    /// Ends the subscription for a reason.
    pub(super) fn fail(&self, error: &Error) {
        self.state().failed = Some((error.kind(), error.to_string()));
        self.ready.notify_one();
    }
}

impl State {
    fn new() -> Self {
        let now = clock::now();
        Self {
            buffer: VecDeque::new(),
            receipts: Receipts::default(),
            wanted: 0,
            waiting: false,
            received_at: now,
            release_at: now,
            stop: false,
            failed: None,
            returning: Vec::new(),
            paused: false,
        }
    }

    fn give_up(&mut self) {
        let held = self.receipts.clear().into_iter().map(|held| held.got);
        self.returning = held
            .chain(self.buffer.drain(..))
            .map(|got| (got.sequence, got.reply))
            .collect();
    }

    /// Puts a message back where it belongs by its place in the stream.
    pub(super) fn put_back(&mut self, got: Got) {
        let at = self.buffer.iter().position(|other| other.sequence > got.sequence);
        match at {
            Some(at) => self.buffer.insert(at, got),
            None => self.buffer.push_back(got),
        }
    }

    /// Moves what is there to `into`; says how many.
    fn take(&mut self, shared: &Shared, into: &mut Vec<Delivery>, max: usize) -> usize {
        let room = shared.prefetch.saturating_sub(self.receipts.len());
        let now = clock::now();
        let mut taken = 0;
        while taken < room.min(max) {
            let Some(got) = self.buffer.pop_front() else { break };
            // The server gives it to another, or to us again.
            if now >= shared.deadline(got.base) {
                continue;
            }
            let message = got.message.clone();
            let receipt = self.receipts.insert(Held { got, keep_until: now });
            into.push(Delivery { message, receipt });
            taken += 1;
        }
        taken
    }
}

/// Says that nobody waits any more, when a receive ends or is dropped.
struct WaitingGuard<'a>(&'a Shared);

impl Drop for WaitingGuard<'_> {
    fn drop(&mut self) {
        self.0.state().waiting = false;
    }
}

pub(super) async fn subscribe(nats: &Nats, spec: &SubscriptionSpec) -> Result<NatsSubscription> {
    if nats.is_closed() {
        return Err(error::closed());
    }
    let topic = nats.topic(&spec.topic).await?;
    let in_group = |error: Error| error.with("topic", &spec.topic).with("group", &spec.group.name);
    let name = topic.names.consumer(&spec.group.name);
    let dead = spec.source == Source::DeadLetters;
    let stream = if dead {
        let subject = topic.names.dead(&spec.group.name);
        let found = if nats.declares() == Declare::Off {
            Some(topic.names.dead_stream.clone())
        } else {
            nats.stream_of(&subject).await?
        };
        found.ok_or_else(|| in_group(missing(&spec.topic, &topic.names)))?
    } else {
        topic.stream.clone()
    };
    let mut info = nats.consumer_info(&stream, &name).await.map_err(in_group)?;
    if info.is_none()
        && dead
        && nats.declares() == Declare::Create
        && nats.count(&stream, &topic.names.dead(&spec.group.name)).await? > 0
    {
        // An ephemeral group's dead letters outlive it.
        the_consumer(
            nats,
            &stream,
            &dead_config(&topic.names, &spec.group),
            &spec.group,
        )
        .await
        .map_err(in_group)?;
        info = nats.consumer_info(&stream, &name).await.map_err(in_group)?;
    }
    let Some(info) = info else {
        return Err(in_group(group_missing(&stream, &name)));
    };
    let pinned = info.config.priority_groups.iter().any(|group| group == MEMBERS);
    let shared = Arc::new(Shared {
        nats: nats.clone(),
        topic: spec.topic.clone(),
        stream,
        consumer: name,
        lease: info.config.ack_wait,
        prefetch: spec.prefetch.get(),
        pinned,
        ephemeral: (spec.group.ephemeral && !dead).then_some(info.config),
        state: Mutex::new(State::new()),
        ready: Notify::new(),
        work: Notify::new(),
        done: watch::Sender::new(false),
    });
    pump::start(&shared).await.map_err(in_group)?;
    nats.enlist(&shared);
    Ok(NatsSubscription { shared })
}

impl Subscription for NatsSubscription {
    type Settler = NatsSettler;

    fn settler(&self) -> NatsSettler {
        NatsSettler::new(Arc::clone(&self.shared))
    }

    async fn receive(&mut self, into: &mut Vec<Delivery>, max: NonZeroUsize) -> Result<()> {
        let shared = &*self.shared;
        let max = max.get().min(RECEIVE_MAX);
        let _guard = WaitingGuard(shared);
        loop {
            {
                let mut state = shared.state();
                if state.stop {
                    return Err(error::closed());
                }
                if let Some((kind, text)) = &state.failed {
                    return Err(Error::new(*kind, text.clone()).with_temporary(false));
                }
                state.received_at = clock::now();
                let taken = state.take(shared, into, max);
                state.wanted = max - taken;
                state.waiting = taken == 0;
                let low = state.buffer.len() <= state.wanted / 2;
                drop(state);
                if low {
                    shared.work.notify_one();
                }
                if taken > 0 {
                    return Ok(());
                }
            }
            shared.ready.notified().await;
        }
    }

    async fn close(self) -> Result<()> {
        self.shared.stop();
        let mut done = self.shared.done.subscribe();
        match timeout(CLOSED_WITHIN, done.wait_for(|done| *done)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(
                ErrorKind::Timeout,
                format!("what is unsettled could not be given back within {CLOSED_WITHIN:?}; it comes back when its lease ends"),
            )
            .with("provider", "nats")),
        }
    }
}

impl Drop for NatsSubscription {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Got {
    pub(super) fn new(message: Incoming, reply: Subject, place: Place) -> Self {
        Self {
            message,
            reply,
            sequence: place.sequence,
            base: clock::now(),
        }
    }
}
