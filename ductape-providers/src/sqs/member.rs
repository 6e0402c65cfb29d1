//! What a subscription, its settlers and its polls share.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry;
use futures_util::StreamExt as _;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connect::{BATCH_MAX, Inner};
use super::topology::GroupPlace;
use super::wire::Arrival;
use super::{error, uncounted};
use crate::error::{Error, Result};
use crate::message::{Incoming, TopicName};
use crate::provider::Delivery;
use crate::receipts::Receipts;
use crate::spec::GroupSpec;

/// How much earlier than SQS this side takes a lease for ended, at most a quarter of it: SQS counts from when it answered,
/// which is before the answer came, and a deletion after the end is confirmed though it deletes nothing.
const LEASE_MARGIN: Duration = Duration::from_secs(1);
/// How many requests one settlement sends side by side.
pub(super) const SIDE_BY_SIDE: usize = 8;

/// What a subscription, its settlers and its polls share.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) inner: Arc<Inner>,
    pub(super) topic: TopicName,
    pub(super) group: GroupSpec,
    pub(super) place: Arc<GroupPlace>,
    /// The queues that it reads: the group's, and that of its retries where it has one; or that of its dead letters.
    pub(super) queues: Vec<Queue>,
    /// How long what is received stays its own.
    pub(super) lease_seconds: i32,
    pub(super) prefetch: usize,
    state: Mutex<State>,
    /// Told when something arrived, was settled, or went wrong, or when a poll ended.
    pub(super) changed: Notify,
}

/// A queue that a subscription reads.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) url: String,
    pub(super) fifo: bool,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// What was handed out and is not settled.
    pub(super) held: Receipts<Held>,
    /// What arrived for a receive that was dropped.
    pub(super) ready: VecDeque<(Held, Incoming)>,
    /// How many messages the polls that are under way may bring.
    pub(super) asked: usize,
    /// How the polls of each queue go.
    pub(super) polls: Vec<Polls>,
    /// Whether a receive waits.
    pub(super) awaited: bool,
    /// What went wrong with a poll, for the receive that waits.
    pub(super) failed: Option<Error>,
    pub(super) closed: bool,
    received: u64,
}

/// How the polls of a queue go.
#[derive(Debug)]
pub(super) struct Polls {
    pub(super) running: usize,
    /// How many may run: more while the queue has a backlog.
    pub(super) most: usize,
    /// How long the next may wait: longer while nothing comes.
    pub(super) wait_seconds: i32,
    pub(super) failures: u32,
    pub(super) began: Option<Instant>,
}

/// What settles a delivery.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) queue: usize,
    pub(super) handle: String,
    /// The message group, of a FIFO queue.
    pub(super) group: Option<String>,
    pub(super) sqs_id: String,
    /// When it was received; from then on SQS counts the twelve hours.
    pub(super) received: Instant,
    /// When its lease ends.
    pub(super) until: Instant,
    /// Its number among all that this subscription received.
    pub(super) number: u64,
    /// The message itself, where a retry sends a copy of it.
    pub(super) copy: Option<Incoming>,
}

impl Member {
    pub(super) fn new(
        inner: Arc<Inner>,
        topic: TopicName,
        group: GroupSpec,
        place: Arc<GroupPlace>,
        queues: Vec<Queue>,
        prefetch: usize,
    ) -> Self {
        let polls = queues.iter().map(|_| Polls::new()).collect();
        Self {
            lease_seconds: super::subscription::lease_seconds(group.lease),
            inner,
            topic,
            group,
            place,
            queues,
            prefetch,
            state: Mutex::new(State {
                polls,
                ..State::default()
            }),
            changed: Notify::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lease(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.lease_seconds).unwrap_or_default())
    }

    /// Whether a retry sends a copy past the later messages of its key.
    pub(super) fn copies_retries(&self, queue: usize) -> bool {
        self.place.retry.is_some()
            && self.group.ordering == crate::spec::Ordering::Relaxed
            && self.queues.get(queue).is_some_and(|queue| queue.fifo)
    }

    /// Gives deliveries back to SQS in the order in which they are to come again: some stand-ins put what comes back to a
    /// FIFO queue in front, so that there the last received goes first.
    pub(super) async fn give_back(&self, mut all: Vec<Held>) -> Result<()> {
        all.sort_by_key(|held| held.number);
        for held in &all {
            uncounted::note(&held.sqs_id);
        }
        let mut answer = Ok(());
        for at in 0..self.queues.len() {
            let mut of_queue: Vec<(usize, String, i32)> = all
                .iter()
                .enumerate()
                .filter(|(_, held)| held.queue == at)
                .map(|(number, held)| (number, held.handle.clone(), 0))
                .collect();
            if self.queues[at].fifo {
                of_queue.reverse();
            }
            for (_, outcome) in self.change_visibility(at, of_queue).await {
                if let Err(error) = outcome
                    && error.kind() != crate::error::ErrorKind::LeaseLost
                {
                    answer = Err(error);
                }
            }
        }
        answer
    }

    /// Sets how long messages stay invisible from now on: ten in a request, and in a FIFO queue one request after the other.
    /// Each answer comes with the number that its entry had.
    pub(super) async fn change_visibility(
        &self,
        queue: usize,
        entries: Vec<(usize, String, i32)>,
    ) -> Vec<(usize, Result<()>)> {
        let Some(queue) = self.queues.get(queue) else {
            return Vec::new();
        };
        let side_by_side = if queue.fifo { 1 } else { SIDE_BY_SIDE };
        // In a loop: the compiler can't tell that a closure over borrowed chunks may move to another thread.
        let mut requests = Vec::with_capacity(entries.len().div_ceil(BATCH_MAX));
        for chunk in entries.chunks(BATCH_MAX) {
            requests.push(self.change_ten(&queue.url, chunk));
        }
        let answers: Vec<Vec<(usize, Result<()>)>> = futures_util::stream::iter(requests)
            .buffered(side_by_side)
            .collect()
            .await;
        answers.into_iter().flatten().collect()
    }

    async fn change_ten(&self, url: &str, chunk: &[(usize, String, i32)]) -> Vec<(usize, Result<()>)> {
        let build = |(at, (_, handle, seconds)): (usize, &(usize, String, i32))| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(at.to_string())
                .receipt_handle(handle)
                .visibility_timeout(*seconds)
                .build()
                .ok()
        };
        let entries = chunk.iter().enumerate().filter_map(build).collect();
        let request = self
            .inner
            .clients
            .sqs
            .change_message_visibility_batch()
            .queue_url(url);
        match request.set_entries(Some(entries)).send().await {
            Ok(answer) => {
                let failed = answer.failed().iter().map(|entry| (entry.id(), entry));
                let failed: std::collections::HashMap<_, _> = failed.collect();
                outcomes(chunk, |at| match failed.get(at) {
                    Some(entry) => Err(error::of_entry("change visibility", entry)),
                    None => Ok(()),
                })
            }
            Err(error) => {
                let error = error::of("change visibility", error);
                outcomes(chunk, |_| Err(copied(&error)))
            }
        }
    }

    /// Waits until no poll is under way, or until `deadline`.
    pub(super) async fn quiet(&self, deadline: Instant) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.state().asked == 0 {
                return;
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return;
            }
        }
    }
}

fn outcomes<T>(
    chunk: &[(usize, String, T)],
    outcome: impl Fn(&str) -> Result<()>,
) -> Vec<(usize, Result<()>)> {
    let all = chunk.iter().enumerate();
    all.map(|(at, (number, _, _))| (*number, outcome(&at.to_string())))
        .collect()
}

/// The same error once more: each slot has its own.
pub(super) fn copied(error: &Error) -> Error {
    let mut copy = Error::new(error.kind(), error.message());
    for (name, value) in error.context() {
        copy = copy.with(name, value);
    }
    copy = copy.with_temporary(error.is_temporary());
    if error.is_indeterminate() {
        copy.with_indeterminate()
    } else {
        copy
    }
}

impl State {
    /// How many more messages may be asked for.
    pub(super) fn free(&self, prefetch: usize) -> usize {
        prefetch.saturating_sub(self.held.len() + self.ready.len() + self.asked)
    }

    /// Takes on what a poll brought.
    pub(super) fn arrived(
        &mut self,
        queue: usize,
        arrivals: Vec<Arrival>,
        now: Instant,
        lease: Duration,
        copies: bool,
    ) {
        for arrival in arrivals {
            self.received += 1;
            let held = Held {
                queue,
                handle: arrival.handle,
                group: arrival.group,
                sqs_id: arrival.sqs_id,
                received: now,
                until: now + lease.saturating_sub(LEASE_MARGIN.min(lease / 4)),
                number: self.received,
                copy: copies.then(|| arrival.message.clone()),
            };
            self.ready.push_back((held, arrival.message));
        }
    }

    /// Hands out at most `max` of what is ready, and gives what is ready too long to be handled in its lease to the caller.
    pub(super) fn hand_out(
        &mut self,
        into: &mut Vec<Delivery>,
        max: usize,
        now: Instant,
        lease: Duration,
    ) -> Vec<Held> {
        let mut stale = Vec::new();
        let mut count = 0;
        while count < max {
            let Some((held, message)) = self.ready.pop_front() else {
                break;
            };
            if held.until.saturating_duration_since(now) < lease / 2 {
                stale.push(held);
                continue;
            }
            let receipt = self.held.insert(held);
            into.push(Delivery { message, receipt });
            count += 1;
        }
        stale
    }

    /// Takes what is ready of a message group: an earlier one of it failed.
    pub(super) fn take_ready(&mut self, queue: usize, group: &str) -> Vec<Held> {
        let mut taken = Vec::new();
        let all = std::mem::take(&mut self.ready);
        for (held, message) in all {
            if held.queue == queue && held.group.as_deref() == Some(group) {
                taken.push(held);
            } else {
                self.ready.push_back((held, message));
            }
        }
        taken
    }
}

impl Polls {
    const fn new() -> Self {
        Self {
            running: 0,
            most: 1,
            wait_seconds: 1,
            failures: 0,
            began: None,
        }
    }
}
