//! What becomes of a delivery after an attempt: settled, tried again, or a dead letter.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use ductape_providers::capability::Requeue;
use ductape_providers::provider::PublishSlot;
use ductape_providers::{Headers, Outgoing, Route, Settlement};

use super::lanes::Job;
use super::session::Session;
use crate::clock;
use crate::consumer::{Failure, Verdict};
use crate::delivery::dead_letter;
use crate::envelope::header;
use crate::produce::publish_until;
use crate::stats::{AttemptReport, AttemptResult, Counters};

/// A wait up to this long is held in the process where the broker can't hold it; a longer one goes to the broker as a copy.
const HOLD_MAX: Duration = Duration::from_secs(5);
/// How long a message whose dead letter the broker refuses waits before it is tried again.
const REFUSED_WAIT: Duration = Duration::from_secs(30);

/// How a message is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// The broker brings the delivery back.
    Broker,
    /// It stays in hand; its key waits behind it, its lease is extended.
    Hold,
    /// A copy goes to the group, then the delivery is settled.
    Copy,
}

impl Session {
    /// Concludes an attempt.
    pub(super) async fn conclude(self: &Arc<Self>, job: Job, verdict: Verdict, elapsed: Duration) {
        match verdict {
            Verdict::Done => {
                Counters::add(&self.consumer.counters.handled, 1);
                if job.attempt > 1 {
                    self.consumer.first_failures.take(&job.message.id);
                }
                self.report(&job, AttemptResult::Handled, elapsed);
                self.settle(job, Settlement::Ack);
            }
            Verdict::Retry(after, failure) => {
                if job.attempt >= self.consumer.policy.attempts {
                    self.dead_letter(job, failure, elapsed).await;
                } else {
                    self.try_again(job, after, failure, elapsed).await;
                }
            }
            Verdict::DeadLetter(failure) => self.dead_letter(job, failure, elapsed).await,
        }
    }

    /// The verdict of a handler that took too long.
    pub(super) fn timed_out(&self) -> Verdict {
        let reason = format!(
            "the handler took longer than its timeout of {:?}",
            self.consumer.timeout
        );
        Verdict::Retry(
            None,
            Failure {
                reason,
                error_type: "timeout",
            },
        )
    }

    fn report(&self, job: &Job, result: AttemptResult<'_>, elapsed: Duration) {
        self.consumer.report(&AttemptReport {
            event: self.consumer.topic.event().as_str(),
            group: &self.consumer.group.name,
            id: &job.message.id,
            attempt: job.attempt,
            result,
            elapsed,
        });
    }

    /// Settles a job that is done with, and lets the next message of its key run.
    pub(super) fn settle(&self, job: Job, how: Settlement) {
        self.lanes.finish(&job);
        self.settles.push(job.receipt, how);
    }

    /// Gives jobs back that were not begun.
    pub(super) fn give_back(&self, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        for job in &jobs {
            self.lanes.let_go(job);
        }
        self.settles.extend(
            jobs.into_iter().map(|job| (job.receipt, Settlement::Requeue)),
            None,
        );
    }

    async fn try_again(
        self: &Arc<Self>,
        mut job: Job,
        after: Option<Duration>,
        failure: Failure,
        elapsed: Duration,
    ) {
        let consumer = &self.consumer;
        let wait = after.unwrap_or_else(|| consumer.policy.wait(job.attempt, chance()));
        self.note_failure(&mut job);
        Counters::add(&consumer.counters.retried, 1);
        self.report(&job, AttemptResult::Retried(wait, &failure), elapsed);
        tracing::debug!(
            consumer = consumer.name, id = %job.message.id, attempt = job.attempt, ?wait, reason = ?failure.reason,
            "a handler failed; its message is tried again"
        );
        match self.plan(&job, wait) {
            Plan::Broker => self.requeue(job, wait),
            Plan::Hold => self.hold(job, wait),
            Plan::Copy => self.send_copy(job, wait).await,
        }
    }

    fn note_failure(&self, job: &mut Job) {
        let known = job
            .first_failed_at
            .or_else(|| self.consumer.first_failures.take(&job.message.id));
        job.first_failed_at = Some(known.unwrap_or_else(|| clock::to_millis(clock::wall())));
    }

    fn plan(&self, job: &Job, wait: Duration) -> Plan {
        let capability = &self.consumer.capability;
        let strict = self.consumer.is_strict() && job.message.key.is_some();
        if let Requeue::Delayed { max, holds_key } = capability.requeue
            // A broker that does not count would lose the number of the attempt.
            && capability.delivery_count
            && job.message.delivery_count.is_some_and(|count| count.get() == job.attempt)
            && wait <= max
            && (!strict || holds_key)
        {
            return Plan::Broker;
        }
        let can_copy =
            capability.route_to_group && capability.publish_delay_max.is_some_and(|max| wait <= max);
        if strict || wait <= HOLD_MAX || !can_copy {
            Plan::Hold
        } else {
            Plan::Copy
        }
    }

    fn requeue(&self, job: Job, wait: Duration) {
        if let Some(millis) = job.first_failed_at {
            self.consumer.first_failures.note(&job.message.id, millis);
        }
        let key = job
            .message
            .key
            .clone()
            .filter(|_| self.consumer.is_strict() && self.consumer.keeps_keys());
        let Some(key) = key else {
            self.settle(job, Settlement::RequeueAfter(wait));
            return;
        };
        // What waits behind it in this process goes back with it, or it would overtake.
        let followers = self.lanes.give_back_key(&key, &job.message.id);
        self.lanes.let_go(&job);
        for follower in &followers {
            self.lanes.let_go(follower);
        }
        let first = (job.receipt, Settlement::RequeueAfter(wait));
        let rest = followers
            .into_iter()
            .map(|job| (job.receipt, Settlement::Requeue));
        self.settles.extend(std::iter::once(first).chain(rest), Some(key));
    }

    fn hold(self: &Arc<Self>, mut job: Job, wait: Duration) {
        job.attempt += 1;
        let session = Arc::clone(self);
        tokio::spawn(async move {
            let mut stop = session.stop.clone();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stop.wait_for(|stopped| *stopped) => {}
            }
            if let Some(job) = session.lanes.resume(job) {
                session.give_back(vec![job]);
            }
        });
    }

    async fn send_copy(self: &Arc<Self>, job: Job, wait: Duration) {
        let mut copy = job
            .message
            .to_outgoing(Route::Group(self.consumer.group.name.clone()));
        copy.not_before = clock::wall().checked_add(wait);
        copy.headers
            .insert(header::ATTEMPT, (job.attempt + 1).to_string());
        if let Some(millis) = job.first_failed_at {
            copy.headers.insert(header::FIRST_FAILED_AT, millis.to_string());
        }
        if self.publish_surely(copy).await {
            self.settle(job, Settlement::Ack);
        } else {
            self.hold(job, wait);
        }
    }

    async fn dead_letter(self: &Arc<Self>, mut job: Job, failure: Failure, elapsed: Duration) {
        self.note_failure(&mut job);
        let group = &self.consumer.group.name;
        let mut letter = job.message.to_outgoing(Route::DeadLetters(group.clone()));
        let facts = dead_letter::Facts {
            failure: &failure,
            group,
            consumer: &self.consumer.name,
            topic: &self.consumer.topic,
            attempts: job.attempt,
            first_failed_at: job.first_failed_at,
        };
        letter.headers = dead_letter::headers(&letter.headers, &facts);
        if !self.publish_surely(letter).await {
            // The message is still the broker's: it comes back, and is never dropped.
            self.hold(job, REFUSED_WAIT);
            return;
        }
        Counters::add(&self.consumer.counters.dead_lettered, 1);
        self.report(&job, AttemptResult::DeadLettered(&failure), elapsed);
        tracing::warn!(
            consumer = self.consumer.name, id = %job.message.id, attempts = job.attempt, reason = ?failure.reason,
            "a message became a dead letter"
        );
        self.settle(job, Settlement::Ack);
    }

    /// Publishes until the broker confirms; `false` when it refuses for good, or the program stops first.
    async fn publish_surely(&self, message: Outgoing) -> bool {
        let id = message.id.clone();
        let mut slots = [PublishSlot::new(message)];
        loop {
            publish_until(
                &self.consumer.provider,
                &mut slots,
                clock::now() + self.consumer.publish_timeout,
            )
            .await;
            match slots[0].outcome.take() {
                Some(Ok(_)) => return true,
                Some(Err(error)) if !error.is_temporary() => {
                    tracing::error!(consumer = self.consumer.name, %id, %error, "the broker refuses a retry or a dead letter");
                    return false;
                }
                outcome => {
                    let error = outcome.and_then(Result::err);
                    tracing::warn!(consumer = self.consumer.name, %id, ?error, "a retry or a dead letter waits for the broker");
                }
            }
            if *self.stop.borrow() {
                return false;
            }
        }
    }
}

/// A number from 0 to 255 by chance.
fn chance() -> u8 {
    RandomState::new().build_hasher().finish().to_le_bytes()[0]
}

/// What a message carries of earlier attempts, where a copy brought it.
pub(super) fn earlier(headers: &Headers) -> (u32, Option<u64>) {
    let attempt = headers
        .get(header::ATTEMPT)
        .and_then(|text| text.parse().ok())
        .unwrap_or(1);
    (
        attempt,
        headers
            .get(header::FIRST_FAILED_AT)
            .and_then(|text| text.parse().ok()),
    )
}
