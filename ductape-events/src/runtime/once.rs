//! `once` where the broker does not keep the ids that a group has handled: the inbox of the store does.

use std::sync::Arc;
use std::time::Duration;

use ductape_providers::Settlement;
use ductape_store::Store;
use ductape_store::inbox::{Begin, Entry};

use super::job::Job;
use super::session::Session;
use crate::backoff::Growing;
use crate::clock;
use crate::consumer::{INBOX_WINDOW, Verdict, inbox_id};
use crate::stats::AttemptResult;
use crate::wiring::Wiring;

/// How much longer than an attempt may take a message is kept from others: for what comes before and after the handler.
const GRACE: Duration = Duration::from_secs(10);
/// How long a message waits that another is handling, at most: that one may end sooner than it must.
const WAIT_MAX: Duration = Duration::from_secs(2);
const WAIT_MIN: Duration = Duration::from_millis(50);
/// How long it waits while the store does not answer.
const STORE_WAIT: Duration = Duration::from_secs(1);

/// Tells what a group has handled.
#[derive(Debug)]
pub(super) struct Once {
    store: Store,
    product: String,
    environment: String,
    event: String,
    group: String,
    lease: Duration,
}

impl Once {
    /// That of a group whose attempts take up to `timeout`; `None` where the program has no store.
    pub(super) fn new(wiring: &Wiring, event: &str, group: &str, timeout: Duration) -> Option<Self> {
        Some(Self {
            store: wiring.store_if_any()?.clone(),
            product: wiring.product.clone(),
            environment: wiring.environment.clone(),
            event: event.to_owned(),
            group: group.to_owned(),
            lease: timeout + GRACE,
        })
    }

    fn entry<'a>(&'a self, id: &'a str) -> Entry<'a> {
        Entry {
            product: &self.product,
            env: &self.environment,
            event: &self.event,
            consumer: &self.group,
            message_id: id,
        }
    }
}

impl Session {
    /// Answers the job if it is to be handled now: not when it was, and not while another handles it or nobody can tell.
    pub(super) async fn admit(self: &Arc<Self>, mut job: Job) -> Option<Job> {
        let Some(once) = &self.consumer.once else {
            return Some(job);
        };
        let (id, now) = (inbox_id(&job.message), clock::wall());
        let begun = once.store.inbox().begin(once.entry(&id), once.lease, now).await;
        match begun {
            Ok(Begin::Handle { epoch }) => {
                job.epoch = Some(epoch);
                return Some(job);
            }
            Ok(Begin::Done) => {
                self.report(&job, AttemptResult::Duplicate, Duration::ZERO);
                self.settle(job, Settlement::Ack);
            }
            Ok(Begin::Busy { until }) => {
                let left = until.duration_since(now).unwrap_or_default();
                self.hold_off(job, left.clamp(WAIT_MIN, WAIT_MAX));
            }
            Err(error) => {
                tracing::warn!(
                    consumer = self.consumer.name, %error,
                    "the store can't tell whether a message was handled; it waits"
                );
                self.hold_off(job, STORE_WAIT);
            }
        }
        None
    }

    /// Writes down what a job that was admitted came to, before anything else is done with it; `None` when that can't be until the
    /// program stops, and the job was given back.
    pub(super) async fn written_down(self: &Arc<Self>, job: Job, verdict: &Verdict) -> Option<Job> {
        let (Some(once), Some(epoch)) = (&self.consumer.once, job.epoch) else {
            return Some(job);
        };
        let id = inbox_id(&job.message);
        let (inbox, entry) = (once.store.inbox(), once.entry(&id));
        if !matches!(verdict, Verdict::Done) {
            if let Err(error) = inbox.release(entry, epoch).await {
                // Its next attempt waits until its time is over.
                tracing::debug!(consumer = self.consumer.name, %error, "a message was not let go in the store");
            }
            return Some(job);
        }
        let mut wait = Growing::new(Duration::from_millis(50), Duration::from_secs(5));
        loop {
            let expires_at = clock::wall() + INBOX_WINDOW;
            match inbox.finish(entry, epoch, expires_at).await {
                // One who has it since then handles it again; or the handler's own transaction said so already.
                Ok(_) => return Some(job),
                Err(error) => {
                    tracing::warn!(
                        consumer = self.consumer.name, %error,
                        "the store does not take that a message was handled; trying again until it does"
                    );
                    if self.stopped_within(wait.next()).await {
                        self.give_back(vec![job]);
                        return None;
                    }
                }
            }
        }
    }
}
