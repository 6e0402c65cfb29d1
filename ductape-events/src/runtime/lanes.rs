//! The work in hand of one subscription: what is ready, and what waits behind an earlier message of its key.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ductape_providers::{Incoming, MessageId, Receipt};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::job::{HeldReceipts, Job};

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
    lanes: HashMap<Bytes, Lane, foldhash::fast::RandomState>,
    /// Deliveries that are not settled yet, with those whose settlement is on its way.
    in_hand: usize,
    idle_workers: usize,
    /// Whether there is some room, and whoever receives waits for more: until the last that is ready is taken.
    wants_work: bool,
    stopped: bool,
    receipts: HeldReceipts,
    /// How many receives have been begun: tells what was received before a key was given back.
    receives: u64,
    returning: usize,
}

#[derive(Debug)]
enum Lane {
    /// Later messages of the key wait behind the `out` that are ready, run, or wait to run again. `out` is above one
    /// only while a batch has several messages of the key.
    Taken { out: usize, waiting: VecDeque<Job> },
    /// The key was given back to the broker with this message at its head. What was received before the broker knew is
    /// given back too.
    Returning {
        head: MessageId,
        known_at_receive: Option<u64>,
        out: usize,
    },
}

impl Lane {
    fn taken(out: usize) -> Self {
        Self::Taken {
            out,
            waiting: VecDeque::new(),
        }
    }
}

impl State {
    /// Takes what is ready first; says as well whether whoever receives waits for that.
    fn take_ready(&mut self) -> (Option<Job>, bool) {
        let job = self.ready.pop_front();
        let wake = self.ready.is_empty() && mem::take(&mut self.wants_work);
        (job, wake)
    }

    /// Counts a delivery in, and makes a job of it.
    fn add(
        &mut self,
        (message, receipt, attempt, first_failed_at): (Incoming, Receipt, u32, Option<u64>),
    ) -> Job {
        self.in_hand += 1;
        Job {
            held: self.receipts.add(&receipt),
            message,
            receipt,
            attempt,
            first_failed_at,
            epoch: None,
            passed: false,
            #[cfg(feature = "store")]
            follow_up: None,
        }
    }

    /// Notes that one of the messages of `key` that were out is not any more. Says whether that made another ready.
    fn leave(&mut self, key: &Bytes) -> bool {
        match self.lanes.get_mut(key) {
            Some(Lane::Taken { out, waiting }) => {
                *out = out.saturating_sub(1);
                if *out > 0 {
                    return false;
                }
                if let Some(next) = waiting.pop_front() {
                    *out = 1;
                    self.ready.push_back(next);
                    return true;
                }
                self.lanes.remove(key);
                false
            }
            Some(Lane::Returning { out, .. }) => {
                *out = out.saturating_sub(1);
                false
            }
            None => false,
        }
    }

    /// Makes a received job ready, or puts it behind those of its key; or answers that it must be given back.
    fn place(&mut self, key: Option<Bytes>, job: Job) -> Option<Job> {
        let Some(key) = key else {
            self.ready.push_back(job);
            return None;
        };
        let receives = self.receives;
        let out = match self.lanes.get_mut(&key) {
            Some(Lane::Taken { waiting, .. }) => {
                waiting.push_back(job);
                return None;
            }
            Some(Lane::Returning {
                head,
                known_at_receive,
                out,
            }) => {
                let came_before = known_at_receive.is_none_or(|known| receives <= known);
                if came_before && *head != job.message.id {
                    return Some(job);
                }
                self.returning -= 1;
                *out + 1
            }
            None => 1,
        };
        self.lanes.insert(key, Lane::taken(out));
        self.ready.push_back(job);
        None
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

    /// The key of a job, where messages of one key wait for each other.
    fn key<'a>(&self, job: &'a Job) -> Option<&'a Bytes> {
        job.message.key.as_ref().filter(|_| self.ordered)
    }

    /// Waits until there is room for a quarter of what may be in hand, so that a receive is worth its cost, or until
    /// nothing is ready; says how much room there is.
    pub(super) async fn room(&self) -> usize {
        loop {
            let notified = self.room.notified();
            {
                let mut state = self.lock();
                let room = self.prefetch.saturating_sub(state.in_hand);
                if room > 0 && (room >= self.prefetch / 4 || state.ready.is_empty()) {
                    state.receives += 1;
                    state.wants_work = false;
                    return room;
                }
                state.wants_work = room > 0;
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
        let wake = {
            let mut state = self.lock();
            let ready_before = state.ready.len();
            for received in received {
                let job = state.add(received);
                if state.stopped {
                    give_back.push(job);
                    continue;
                }
                let key = self.key(&job).cloned();
                give_back.extend(state.place(key, job));
            }
            (state.ready.len() - ready_before).min(state.idle_workers)
        };
        for _ in 0..wake {
            self.work.notify_one();
        }
        give_back
    }

    /// Waits for a job. `None` when the subscription stops.
    pub(super) async fn next(&self) -> Option<Job> {
        loop {
            let (job, wake) = {
                let mut state = self.lock();
                if state.stopped {
                    return None;
                }
                state.take_ready()
            };
            if wake {
                self.room.notify_one();
            }
            if job.is_some() {
                return job;
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
                    let lane = self.key(&job).and_then(|key| lanes.get_mut(key));
                    let room = max - into.len() - 1;
                    into.push(job);
                    if let Some(Lane::Taken { out, waiting }) = lane {
                        let more = waiting.len().min(room);
                        *out += more;
                        into.extend(waiting.drain(..more));
                    }
                }
                if !into.is_empty() {
                    let wake = state.ready.is_empty() && mem::take(&mut state.wants_work);
                    drop(state);
                    if wake {
                        self.room.notify_one();
                    }
                    return;
                }
            }
            self.wait_for_work().await;
        }
    }

    async fn wait_for_work(&self) {
        let notified = self.work.notified();
        tokio::pin!(notified);
        // Registered before the last look: a job that comes after that look wakes this worker, since it is counted idle.
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
        self.leave(state, job);
    }

    /// Like [`finish`](Self::finish), and takes the next job if one is ready: one lock for both.
    pub(super) fn finish_and_take(&self, job: &Job) -> Option<Job> {
        let mut state = self.lock();
        state.receipts.remove(job.held);
        if !job.passed
            && let Some(key) = self.key(job)
        {
            // What this makes ready needs no other worker: this one takes one instead.
            state.leave(key);
        }
        if state.stopped {
            return None;
        }
        let (job, wake) = state.take_ready();
        drop(state);
        if wake {
            self.room.notify_one();
        }
        job
    }

    /// Lets the next message of a job's key run, while the job itself waits to run again.
    pub(super) fn let_pass(&self, job: &mut Job) {
        self.leave(self.lock(), job);
        job.passed = true;
    }

    fn leave(&self, mut state: MutexGuard<'_, State>, job: &Job) {
        if !job.passed
            && let Some(key) = self.key(job)
            && state.leave(key)
        {
            let wake = state.idle_workers > 0;
            drop(state);
            if wake {
                self.work.notify_one();
            }
        }
    }

    /// Gives a key back to the broker with `head`, which is out: answers what waited behind it, which must be given back
    /// too.
    pub(super) fn give_back_key(&self, key: &Bytes, head: &MessageId) -> Vec<Job> {
        let mut state = self.lock();
        let (out, waiting) = match state.lanes.remove(key) {
            Some(Lane::Taken { out, waiting }) => (out.saturating_sub(1), waiting),
            Some(Lane::Returning {
                head,
                known_at_receive,
                out,
            }) => {
                // An earlier message of the same batch gave the key back; that one stays at its head.
                let lane = Lane::Returning {
                    head,
                    known_at_receive,
                    out: out.saturating_sub(1),
                };
                state.lanes.insert(key.clone(), lane);
                return Vec::new();
            }
            None => (0, VecDeque::new()),
        };
        state.returning += 1;
        let lane = Lane::Returning {
            head: head.clone(),
            known_at_receive: None,
            out,
        };
        state.lanes.insert(key.clone(), lane);
        waiting.into()
    }

    /// Puts a job whose time has come back at the head of the work, or of its key where others [pass](Self::let_pass) it.
    /// Answers the job when the subscription stops.
    pub(super) fn resume(&self, mut job: Job) -> Option<Job> {
        let mut state = self.lock();
        if state.stopped {
            return Some(job);
        }
        if mem::take(&mut job.passed)
            && let Some(key) = self.key(&job).cloned()
        {
            match state.lanes.get_mut(&key) {
                Some(Lane::Taken { waiting, .. }) => {
                    waiting.push_front(job);
                    return None;
                }
                Some(Lane::Returning { out, .. }) => *out += 1,
                None => {
                    state.lanes.insert(key, Lane::taken(1));
                }
            }
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
                out,
                ..
            } => receives <= *known || *out > 0,
            _ => true,
        });
        state.returning = state
            .lanes
            .values()
            .filter(|lane| matches!(lane, Lane::Returning { .. }))
            .count();
    }

    /// Notes that the leases of jobs that are given back are no longer extended.
    pub(super) fn let_go<'a>(&self, jobs: impl IntoIterator<Item = &'a Job>) {
        let mut state = self.lock();
        for job in jobs {
            state.receipts.remove(job.held);
        }
    }

    /// The receipts in hand.
    pub(super) fn held(&self) -> Vec<Receipt> {
        self.lock().receipts.all()
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
            if let Lane::Taken { waiting, .. } = lane {
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
