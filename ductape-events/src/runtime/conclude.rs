//! What becomes of a delivery after an attempt: settled, tried again, or a dead letter.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use ductape_providers::capability::Requeue;
use ductape_providers::provider::PublishSlot;
use ductape_providers::{Capability, Headers, Outgoing, Route, Settlement};

use super::job::Job;
use super::session::Session;
use crate::backoff::Growing;
use crate::clock;
use crate::consumer::{Failure, Verdict};
use crate::delivery::dead_letter;
use crate::envelope::header;
use crate::produce::publish_until;
use crate::stats::{AttemptReport, AttemptResult, Counters};

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
    pub(super) fn conclude(self: &Arc<Self>, job: Job, verdict: Verdict, elapsed: Duration) {
        match verdict {
            Verdict::Done => {
                self.note_handled(&job, elapsed);
                self.settle(job, Settlement::Ack);
            }
            Verdict::Retry(after, failure) => {
                if job.attempt >= self.consumer.policy.attempts {
                    self.dead_letter(job, failure, elapsed);
                } else {
                    self.try_again(job, after, &failure, elapsed);
                }
            }
            Verdict::DeadLetter(failure) => self.dead_letter(job, failure, elapsed),
        }
    }

    /// Concludes an attempt, and answers the next job if one is ready by then.
    pub(super) fn conclude_and_take(
        self: &Arc<Self>,
        job: Job,
        verdict: Verdict,
        elapsed: Duration,
    ) -> Option<Job> {
        let Verdict::Done = verdict else {
            self.conclude(job, verdict, elapsed);
            return None;
        };
        self.note_handled(&job, elapsed);
        let next = self.lanes.finish_and_take(&job);
        self.settles.push(job.receipt, Settlement::Ack);
        next
    }

    fn note_handled(&self, job: &Job, elapsed: Duration) {
        Counters::add(&self.consumer.counters.handled, 1);
        if job.attempt > 1 {
            self.consumer.first_failures.take(&job.message.id);
        }
        self.report(job, AttemptResult::Handled, elapsed);
    }

    pub(super) fn report(&self, job: &Job, result: AttemptResult<'_>, elapsed: Duration) {
        #[cfg(feature = "store")]
        let wiring = self.consumer.scope.context.wiring();
        #[cfg(feature = "store")]
        if let Some(recorder) = wiring.recorder() {
            let (topic, group) = (&self.consumer.topic, &self.consumer.group.name);
            let message = (&job.message, job.follow_up);
            recorder.attempted((topic, wiring), group, message, job.attempt, result, elapsed);
        }
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
        self.lanes.let_go(&jobs);
        self.settles.extend(
            jobs.into_iter().map(|job| (job.receipt, Settlement::Requeue)),
            None,
        );
    }

    fn try_again(
        self: &Arc<Self>,
        mut job: Job,
        after: Option<Duration>,
        failure: &Failure,
        elapsed: Duration,
    ) {
        let consumer = &self.consumer;
        let wait = after.unwrap_or_else(|| consumer.policy.wait(job.attempt, chance()));
        self.note_failure(&mut job);
        Counters::add(&consumer.counters.retried, 1);
        self.report(&job, AttemptResult::Retried(wait, failure), elapsed);
        tracing::debug!(
            consumer = consumer.name, id = %job.message.id, attempt = job.attempt, ?wait, reason = ?failure.reason,
            "a handler failed; its message is tried again"
        );
        match self.plan(&job, wait) {
            Plan::Broker => self.requeue(job, wait),
            Plan::Hold => self.hold(job, wait),
            Plan::Copy => self.send_copy(job, wait),
        }
    }

    fn note_failure(&self, job: &mut Job) {
        let known = job
            .first_failed_at
            .or_else(|| self.consumer.first_failures.take(&job.message.id));
        job.first_failed_at = Some(known.unwrap_or_else(|| clock::to_millis(clock::wall())));
    }

    fn plan(&self, job: &Job, wait: Duration) -> Plan {
        let strict = self.consumer.is_strict() && job.message.key.is_some();
        let counted = job
            .message
            .delivery_count
            .is_some_and(|count| count.get() == job.attempt);
        plan(
            &self.consumer.capability,
            strict,
            counted,
            wait,
            self.consumer.limits.hold_max,
        )
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
        self.lanes.let_go(std::iter::once(&job).chain(&followers));
        let first = (job.receipt, Settlement::RequeueAfter(wait));
        let rest = followers
            .into_iter()
            .map(|job| (job.receipt, Settlement::Requeue));
        self.settles.extend(std::iter::once(first).chain(rest), Some(key));
    }

    /// Keeps a job in hand until its time has come; its lease is extended meanwhile. Given back when the subscription
    /// ends first.
    fn hold(self: &Arc<Self>, mut job: Job, wait: Duration) {
        job.attempt += 1;
        self.hold_off(job, wait);
    }

    /// The same for a job that was not begun: this was no attempt.
    pub(super) fn hold_off(self: &Arc<Self>, mut job: Job, wait: Duration) {
        self.let_pass(&mut job);
        let session = Arc::clone(self);
        tokio::spawn(async move {
            session.stopped_within(wait).await;
            if let Some(job) = session.lanes.resume(job) {
                session.give_back(vec![job]);
            }
        });
    }

    /// Lets later messages of a key pass one that waits, where that is allowed.
    fn let_pass(&self, job: &mut Job) {
        if !self.consumer.is_strict() {
            self.lanes.let_pass(job);
        }
    }

    pub(super) async fn stopped_within(&self, wait: Duration) -> bool {
        let mut stop = self.stop.clone();
        let stopped = stop.wait_for(|stopped| *stopped);
        tokio::time::timeout(wait, stopped).await.is_ok()
    }

    fn send_copy(self: &Arc<Self>, job: Job, wait: Duration) {
        let mut copy = job
            .message
            .to_outgoing(Route::Group(self.consumer.group.name.clone()));
        copy.not_before = clock::wall().checked_add(wait);
        copy.headers
            .insert(header::ATTEMPT, (job.attempt + 1).to_string());
        if let Some(millis) = job.first_failed_at {
            copy.headers.insert(header::FIRST_FAILED_AT, millis.to_string());
        }
        let session = Arc::clone(self);
        tokio::spawn(async move {
            if session.publish_surely(copy).await {
                session.settle(job, Settlement::Ack);
            } else {
                session.hold(job, wait);
            }
        });
    }

    fn dead_letter(self: &Arc<Self>, mut job: Job, failure: Failure, elapsed: Duration) {
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
        self.let_pass(&mut job);
        let session = Arc::clone(self);
        // The message is still the broker's: it is tried again until its dead letter is taken, and is never dropped. The
        // worker is not kept from others meanwhile; what is in hand is bounded by the prefetch.
        tokio::spawn(async move {
            let mut wait = Growing::new(Duration::from_millis(500), Duration::from_secs(30));
            while !session.publish_surely(letter.clone()).await {
                if session.stopped_within(wait.next()).await {
                    session.give_back(vec![job]);
                    return;
                }
            }
            session.buried(job, &failure, elapsed);
        });
    }

    /// Concludes a message whose dead letter is confirmed.
    fn buried(&self, job: Job, failure: &Failure, elapsed: Duration) {
        Counters::add(&self.consumer.counters.dead_lettered, 1);
        self.report(&job, AttemptResult::DeadLettered(failure), elapsed);
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
                clock::after(self.consumer.publish_timeout),
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

/// How a message is tried again after `wait`. `strict` says that later messages of its key must wait for it, `counted` that
/// the broker's count is the number of the attempt: it would be lost otherwise.
fn plan(capability: &Capability, strict: bool, counted: bool, wait: Duration, hold_max: Duration) -> Plan {
    if let Requeue::Delayed { max, holds_key } = capability.requeue
        && capability.delivery_count
        && counted
        && wait <= max
        && (!strict || holds_key)
    {
        return Plan::Broker;
    }
    let can_copy = capability.route_to_group && capability.group_delay_max.is_some_and(|max| wait <= max);
    if strict || wait <= hold_max || !can_copy {
        Plan::Hold
    } else {
        Plan::Copy
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ductape_providers::Capability;
    use ductape_providers::capability::Requeue;

    use super::{Plan, chance, plan};

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_mins(1);
    const HOUR: Duration = Duration::from_hours(1);

    fn broker(holds_key: bool) -> Capability {
        let mut capability = Capability::least(1024);
        capability.requeue = Requeue::Delayed { max: HOUR, holds_key };
        capability.delivery_count = true;
        capability
    }

    fn weak(route_to_group: bool, group_delay_max: Option<Duration>) -> Capability {
        let mut capability = Capability::least(1024);
        capability.route_to_group = route_to_group;
        capability.group_delay_max = group_delay_max;
        capability
    }

    fn of(capability: Capability, strict: bool, counted: bool, wait: Duration) -> Plan {
        plan(&capability, strict, counted, wait, 5 * SECOND)
    }

    #[test]
    fn a_broker_that_can_hold_a_message_does() {
        assert_eq!(of(broker(true), true, true, MINUTE), Plan::Broker);
        assert_eq!(of(broker(false), false, true, SECOND), Plan::Broker);
    }

    #[test]
    fn a_broker_that_would_break_a_promise_is_not_asked() {
        assert_eq!(
            of(broker(false), true, true, SECOND),
            Plan::Hold,
            "the key would pass"
        );
        assert_eq!(
            of(broker(true), true, false, SECOND),
            Plan::Hold,
            "the count would be lost"
        );
        assert_eq!(
            of(broker(true), false, true, 2 * HOUR),
            Plan::Hold,
            "longer than it can"
        );
        let mut uncounted = broker(true);
        uncounted.delivery_count = false;
        assert_eq!(of(uncounted, false, true, SECOND), Plan::Hold);
    }

    #[test]
    fn a_long_wait_goes_as_a_copy_where_order_allows_it() {
        let can = weak(true, Some(HOUR));
        assert_eq!(of(can, false, false, MINUTE), Plan::Copy);
        assert_eq!(of(can, false, false, 5 * SECOND), Plan::Hold, "short");
        assert_eq!(of(can, true, false, MINUTE), Plan::Hold, "its key would pass");
        assert_eq!(of(can, false, false, 2 * HOUR), Plan::Hold, "longer than it can");
        assert_eq!(of(weak(false, Some(HOUR)), false, false, MINUTE), Plan::Hold);
        assert_eq!(of(weak(true, None), false, false, MINUTE), Plan::Hold);
    }

    #[test]
    fn chance_differs() {
        let first = chance();
        assert!((0..100).any(|_| chance() != first));
    }
}
