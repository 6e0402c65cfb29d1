//! What the consumers of a program did, counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ductape_providers::{GroupName, MessageId};
use serde::Serialize;

use crate::consumer::Failure;

/// What one consumer did since the program started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConsumerStats {
    /// The event's name.
    pub event: String,
    /// The consumer group.
    pub group: String,
    /// Messages that were handled.
    pub handled: u64,
    /// Attempts that failed and were, or will be, tried again.
    pub retried: u64,
    /// Messages that became dead letters.
    pub dead_lettered: u64,
    /// Handlers running now.
    pub running: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) handled: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) dead_lettered: AtomicU64,
    pub(crate) running: AtomicU64,
    pub(crate) received: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    /// How many messages are done with.
    pub(crate) fn concluded(&self) -> u64 {
        self.handled.load(Ordering::Relaxed) + self.dead_lettered.load(Ordering::Relaxed)
    }

    /// A number that changes with everything that comes or is done with.
    pub(crate) fn activity(&self) -> u64 {
        self.concluded() + self.received.load(Ordering::Relaxed) + self.retried.load(Ordering::Relaxed)
    }

    pub(crate) fn snapshot(&self, event: &str, group: &GroupName) -> ConsumerStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ConsumerStats {
            event: event.to_owned(),
            group: group.to_string(),
            handled: read(&self.handled),
            retried: read(&self.retried),
            dead_lettered: read(&self.dead_lettered),
            running: read(&self.running),
        }
    }
}

/// What became of one attempt.
#[derive(Debug)]
#[non_exhaustive]
pub struct AttemptReport<'a> {
    /// The event's name.
    pub event: &'a str,
    /// The consumer group.
    pub group: &'a GroupName,
    /// The message.
    pub id: &'a MessageId,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// What became of it.
    pub result: AttemptResult<'a>,
    /// How long the handler took.
    pub elapsed: Duration,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug)]
pub enum AttemptResult<'a> {
    /// The message was handled.
    Handled,
    /// The group had handled it before, so that a consumer with `once` did nothing.
    Duplicate,
    /// It failed and is tried again after this time.
    Retried(Duration, &'a Failure),
    /// It became a dead letter; reported when that is confirmed.
    DeadLettered(&'a Failure),
}

/// Watches what consumers do. Called on the tasks that run the handlers, so it must be quick and must not block.
pub trait Observer: Send + Sync + 'static {
    /// After each attempt.
    fn attempted(&self, report: &AttemptReport<'_>);
}

impl<F: Fn(&AttemptReport<'_>) + Send + Sync + 'static> Observer for F {
    fn attempted(&self, report: &AttemptReport<'_>) {
        self(report);
    }
}
