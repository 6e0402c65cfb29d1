//! The work in hand of one subscription: what is ready, and what waits behind an earlier message of its key.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ductape_providers::{Incoming, MessageId, Receipt};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::consumer::Delivery;
use crate::consumer::delivery::Scope;

/// A delivery on its way through the runtime.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) message: Incoming,
    pub(super) receipt: Receipt,
    pub(super) attempt: u32,
    /// In milliseconds since 1970.
    pub(super) first_failed_at: Option<u64>,
    /// Where its receipt stands among those whose lease is extended.
    held: usize,
}

/// What is left of a job while its message is with the handler.
#[derive(Debug)]
pub(super) struct JobRest {
    receipt: Receipt,
    first_failed_at: Option<u64>,
    held: usize,
}

impl Job {
    /// Lends the message to the handler.
    pub(super) fn split(self, scope: &Arc<Scope>) -> (Delivery, JobRest) {
        let Self {
            message,
            receipt,
            attempt,
            first_failed_at,
            held,
        } = self;
        (
            Delivery {
                message,
                attempt,
                scope: Arc::clone(scope),
            },
            JobRest {
                receipt,
                first_failed_at,
                held,
            },
        )
    }
}

impl JobRest {
    /// The job again.
    pub(super) fn join(self, delivery: Delivery) -> Job {
        let Self {
            receipt,
            first_failed_at,
            held,
        } = self;
        Job {
            message: delivery.message,
            receipt,
            attempt: delivery.attempt,
            first_failed_at,
            held,
        }
    }
}

/// The work in hand of one subscription.
#[derive(Debug)]
pub(super) struct Lanes {
    state: Mutex<State>,
    work: Notify,
    room: Notify,
    ordered: bool,
    prefetch: usize,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Job>,
    /// The keys that are taken: one of their messages is ready, runs, or waits to run again.
    lanes: HashMap<Bytes, Lane>,
    /// Deliveries that are not settled yet, with those whose settlement is on its way.
    in_hand: usize,
    idle_workers: usize,
    stopped: bool,
    receipts: HeldReceipts,
    /// How many receives have been begun: tells what was received before a key was given back.
    receives: u64,
    returning: usize,
}

#[derive(Debug)]
enum Lane {
    /// Later messages of the key wait here.
    Taken(VecDeque<Job>),
    /// The key was given back to the broker with this message at its head. What was received before the broker knew is
    /// given back too.
    Returning {
        head: MessageId,
        known_at_receive: Option<u64>,
    },
}

/// The receipts in hand, for extending their leases.
#[derive(Debug, Default)]
struct HeldReceipts {
    tokens: Vec<Option<u64>>,
    free: Vec<usize>,
}

impl HeldReceipts {
    fn add(&mut self, receipt: &Receipt) -> usize {
        let token = Some(receipt.token());
        if let Some(at) = self.free.pop() {
            self.tokens[at] = token;
            return at;
        }
        self.tokens.push(token);
        self.tokens.len() - 1
    }

    fn remove(&mut self, at: usize) {
        self.tokens[at] = None;
        self.free.push(at);
    }
}

impl Lanes {
    /// `ordered` says whether messages of one key wait for each other; `prefetch` is the most that is in hand.
    pub(super) fn new(ordered: bool, prefetch: usize) -> Self {
        Self {
            state: Mutex::default(),
            work: Notify::new(),
            room: Notify::new(),
            ordered,
            prefetch,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room, and says how much.
    pub(super) async fn room(&self) -> usize {
        loop {
            let notified = self.room.notified();
            {
                let mut state = self.lock();
                let room = self.prefetch.saturating_sub(state.in_hand);
                if room > 0 {
                    state.receives += 1;
                    return room;
                }
            }
            notified.await;
        }
    }

    /// Takes what was received, each with the number of its attempt. Answers what must be given back at once.
    pub(super) fn push(
        &self,
        received: impl Iterator<Item = (Incoming, Receipt, u32, Option<u64>)>,
    ) -> Vec<Job> {
        let mut give_back = Vec::new();
        let mut wake = 0;
        {
            let mut state = self.lock();
            for (message, receipt, attempt, first_failed_at) in received {
                let held = state.receipts.add(&receipt);
                state.in_hand += 1;
                let job = Job {
                    message,
                    receipt,
                    attempt,
                    first_failed_at,
                    held,
                };
                let ready_before = state.ready.len();
                self.place(&mut state, job, &mut give_back);
                wake += state.ready.len() - ready_before;
            }
            wake = wake.min(state.idle_workers);
            if state.stopped {
                give_back.extend(state.ready.drain(..));
            }
        }
        for _ in 0..wake {
            self.work.notify_one();
        }
        give_back
    }

    fn place(&self, state: &mut State, job: Job, give_back: &mut Vec<Job>) {
        let key = if self.ordered {
            job.message.key.clone()
        } else {
            None
        };
        let Some(key) = key else {
            state.ready.push_back(job);
            return;
        };
        let receives = state.receives;
        match state.lanes.get_mut(&key) {
            Some(Lane::Taken(waiting)) => waiting.push_back(job),
            Some(Lane::Returning {
                head,
                known_at_receive,
            }) => {
                let came_before = known_at_receive.is_none_or(|known| receives <= known);
                if came_before && *head != job.message.id {
                    give_back.push(job);
                    return;
                }
                state.returning -= 1;
                state.lanes.insert(key, Lane::Taken(VecDeque::new()));
                state.ready.push_back(job);
            }
            None => {
                state.lanes.insert(key, Lane::Taken(VecDeque::new()));
                state.ready.push_back(job);
            }
        }
    }

    /// Waits for a job. `None` when the subscription stops.
    pub(super) async fn next(&self) -> Option<Job> {
        loop {
            {
                let mut state = self.lock();
                if state.stopped {
                    return None;
                }
                if let Some(job) = state.ready.pop_front() {
                    return Some(job);
                }
            }
            self.wait_for_work().await;
        }
    }

    /// Waits for a job, then takes up to `max` that are ready; those of one key in order. Leaves `into` empty when the
    /// subscription stops.
    pub(super) async fn next_batch(&self, max: usize, into: &mut Vec<Job>) {
        loop {
            {
                let mut state = self.lock();
                if state.stopped {
                    return;
                }
                let State { ready, lanes, .. } = &mut *state;
                while into.len() < max
                    && let Some(job) = ready.pop_front()
                {
                    let waiting = job.message.key.as_ref().and_then(|key| lanes.get_mut(key));
                    let room = max - into.len() - 1;
                    into.push(job);
                    if let Some(Lane::Taken(waiting)) = waiting {
                        into.extend(waiting.drain(..waiting.len().min(room)));
                    }
                }
                if !into.is_empty() {
                    return;
                }
            }
            self.wait_for_work().await;
        }
    }

    async fn wait_for_work(&self) {
        let notified = self.work.notified();
        tokio::pin!(notified);
        // Registered before the last look, so that each push wakes as many workers as it brought jobs.
        notified.as_mut().enable();
        {
            let mut state = self.lock();
            if state.stopped || !state.ready.is_empty() {
                return;
            }
            state.idle_workers += 1;
        }
        notified.await;
        self.lock().idle_workers -= 1;
    }

    /// Notes that a job is done with: its lease is no longer extended, and the next message of its key can run.
    pub(super) fn finish(&self, job: &Job) {
        let mut state = self.lock();
        state.receipts.remove(job.held);
        let Some(key) = job.message.key.as_ref().filter(|_| self.ordered) else {
            return;
        };
        let Some(Lane::Taken(waiting)) = state.lanes.get_mut(key) else {
            return;
        };
        if waiting.is_empty() {
            state.lanes.remove(key);
        } else if !state.stopped
            && let Some(State { lanes, ready, .. }) = Some(&mut *state)
            && let Some(Lane::Taken(waiting)) = lanes.get_mut(key)
            && let Some(job) = waiting.pop_front()
        {
            ready.push_back(job);
            let wake = state.idle_workers > 0;
            drop(state);
            if wake {
                self.work.notify_one();
            }
        }
    }

    /// Gives a key back to the broker with `head`: answers what waited behind it, which must be given back too.
    pub(super) fn give_back_key(&self, key: &Bytes, head: &MessageId) -> Vec<Job> {
        let mut state = self.lock();
        state.returning += 1;
        let returning = Lane::Returning {
            head: head.clone(),
            known_at_receive: None,
        };
        match state.lanes.insert(key.clone(), returning) {
            Some(Lane::Taken(waiting)) => waiting.into(),
            _ => Vec::new(),
        }
    }

    /// Puts a job whose time has come back at the head of the work.
    pub(super) fn resume(&self, job: Job) -> Option<Job> {
        let mut state = self.lock();
        if state.stopped {
            return Some(job);
        }
        state.ready.push_front(job);
        drop(state);
        self.work.notify_one();
        None
    }

    /// Notes that `n` deliveries are settled, and that the broker knows of the keys that were given back with them.
    pub(super) fn settled(&self, n: usize, keys_given_back: &[Bytes]) {
        let mut state = self.lock();
        state.in_hand -= n;
        if !keys_given_back.is_empty() {
            let receives = state.receives;
            for key in keys_given_back {
                if let Some(Lane::Returning { known_at_receive, .. }) = state.lanes.get_mut(key) {
                    *known_at_receive = Some(receives);
                }
            }
        }
        drop(state);
        self.room.notify_one();
    }

    /// Forgets keys that were given back and whose stale deliveries have all come: called at each receive.
    pub(super) fn forget_returned(&self) {
        let mut state = self.lock();
        if state.returning == 0 {
            return;
        }
        let receives = state.receives;
        state.lanes.retain(|_, lane| match lane {
            Lane::Returning {
                known_at_receive: Some(known),
                ..
            } => receives <= *known,
            _ => true,
        });
        state.returning = state
            .lanes
            .values()
            .filter(|lane| matches!(lane, Lane::Returning { .. }))
            .count();
    }

    /// Notes that the lease of a job that is given back is no longer extended.
    pub(super) fn let_go(&self, job: &Job) {
        self.lock().receipts.remove(job.held);
    }

    /// The receipts in hand.
    pub(super) fn held(&self) -> Vec<Receipt> {
        self.lock()
            .receipts
            .tokens
            .iter()
            .flatten()
            .map(|token| Receipt::new(*token))
            .collect()
    }

    /// How much is in hand.
    pub(super) fn in_hand(&self) -> usize {
        self.lock().in_hand
    }

    /// Hands out no more work, and answers what has not begun.
    pub(super) fn stop(&self) -> Vec<Job> {
        let mut state = self.lock();
        state.stopped = true;
        let mut rest: Vec<Job> = mem::take(&mut state.ready).into();
        for lane in state.lanes.values_mut() {
            if let Lane::Taken(waiting) = lane {
                rest.extend(waiting.drain(..));
            }
        }
        drop(state);
        self.work.notify_waiters();
        self.room.notify_waiters();
        rest
    }

    /// Waits until nothing is in hand, or until `deadline`; says whether nothing is.
    pub(super) async fn drained(&self, deadline: Instant) -> bool {
        loop {
            let notified = self.room.notified();
            if self.in_hand() == 0 {
                return true;
            }
            if tokio::time::timeout_at(deadline, notified).await.is_err() {
                return self.in_hand() == 0;
            }
        }
    }
}
