//! The workers: each takes a job, calls the handler, and hands on what it decided.

use std::any::Any;
use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::task::coop::consume_budget;

use super::consumer_run::Call;
use super::job::Job;
use super::session::Session;
use crate::clock;
use crate::consumer::{BatchDelivery, Delivery, Failure, Handler, Verdict};
use crate::stats::Counters;
use crate::within::within;

/// How often more than its attempts a message may be delivered, since a process that ends takes along what it had not
/// begun; beyond that, it is what ends the process.
const ENDED_DELIVERIES_MAX: u32 = 20;

/// Takes jobs one after the other until the subscription stops.
pub(super) async fn work(session: Arc<Session>) {
    let consumer = Arc::clone(&session.consumer);
    match &consumer.call {
        Call::Typed(Handler::Single(handler)) => work_singly(&session, |delivery| handler(delivery)).await,
        Call::Typed(Handler::Batch(handler)) => work_in_batches(&session, |batch| handler(batch)).await,
        Call::Single(handler) => work_singly(&session, |delivery| handler(delivery)).await,
        Call::Batch(handler) => work_in_batches(&session, |batch| handler(batch)).await,
    }
}

async fn work_singly(
    session: &Arc<Session>,
    handler: impl for<'a> Fn(&'a Delivery) -> BoxFuture<'a, Verdict>,
) {
    let consumer = &session.consumer;
    let mut next = None;
    loop {
        // A worker that always finds something lets others run all the same.
        consume_budget().await;
        let Some(job) = (match next.take() {
            Some(job) => Some(job),
            None => session.lanes.next().await,
        }) else {
            return;
        };
        let Some(job) = session.take_up(job) else {
            continue;
        };
        let Some(job) = session.admit(job).await else {
            continue;
        };
        let began = consumer.is_observed().then(clock::now);
        let (delivery, rest) = job.split(&consumer.scope);
        let running = Running::new(&consumer.counters.running);
        let verdict = guarded(consumer.timeout, async { handler(&delivery).await }).await;
        drop(running);
        let elapsed = began.map_or(Duration::ZERO, |began| began.elapsed());
        let verdict = verdict.unwrap_or_else(Verdict::from);
        if let Some(job) = session.written_down(rest.join(delivery), &verdict).await {
            next = session.conclude_and_take(job, verdict, elapsed);
        }
    }
}

async fn work_in_batches(
    session: &Arc<Session>,
    handler: impl for<'a> Fn(&'a BatchDelivery) -> BoxFuture<'a, Vec<Verdict>>,
) {
    let consumer = &session.consumer;
    let mut jobs: Vec<Job> = Vec::new();
    loop {
        session.lanes.next_batch(consumer.limits.batch, &mut jobs).await;
        if jobs.is_empty() {
            return;
        }
        let mut deliveries = Vec::with_capacity(jobs.len());
        let mut rests = Vec::with_capacity(jobs.len());
        for job in mem::take(&mut jobs) {
            if let Some(job) = session.take_up(job)
                && let Some(job) = session.admit(job).await
            {
                let (delivery, rest) = job.split(&consumer.scope);
                deliveries.push(delivery);
                rests.push(rest);
            }
        }
        if deliveries.is_empty() {
            continue;
        }
        let began = clock::now();
        let batch = BatchDelivery { deliveries };
        let running = Running::new(&consumer.counters.running);
        let called = guarded(consumer.timeout, async { handler(&batch).await }).await;
        drop(running);
        let n = rests.len();
        let verdicts = called.unwrap_or_else(|failure| vec![Verdict::from(failure); n]);
        // A message without a verdict is not lost for that.
        let missing = || Verdict::from(Failed::Answers(n));
        let verdicts = verdicts.into_iter().chain(std::iter::repeat_with(missing));
        let elapsed = began.elapsed();
        for ((delivery, rest), verdict) in batch.deliveries.into_iter().zip(rests).zip(verdicts) {
            if let Some(job) = session.written_down(rest.join(delivery), &verdict).await {
                session.conclude(job, verdict, elapsed);
            }
        }
    }
}

impl Session {
    /// Answers the job to be worked on; `None` when it was given up without another attempt.
    fn take_up(self: &Arc<Self>, job: Job) -> Option<Job> {
        let attempts = self.consumer.policy.attempts;
        if job.attempt <= attempts.saturating_add(ENDED_DELIVERIES_MAX) {
            return Some(job);
        }
        let reason = format!(
            "it was delivered {} times and its {attempts} attempts never ended: its handler ends the process, or takes longer than the lease",
            job.attempt
        );
        let failure = Failure {
            reason,
            error_type: "attempts",
        };
        self.conclude(job, Verdict::DeadLetter(failure), Duration::ZERO);
        None
    }
}

/// Why there is no verdict.
enum Failed {
    /// The handler took longer than this.
    TimedOut(Duration),
    /// It panicked; with this text.
    Panicked(String),
    /// It answered fewer verdicts than these.
    Answers(usize),
}

impl From<Failed> for Verdict {
    fn from(failed: Failed) -> Self {
        let (reason, error_type) = match failed {
            Failed::TimedOut(limit) => (
                format!("the handler took longer than its timeout of {limit:?}"),
                "timeout",
            ),
            Failed::Panicked(text) => (format!("the handler panicked: {text}"), "panic"),
            Failed::Answers(n) => (
                format!("the handler did not answer a verdict for each of its {n} messages"),
                "outcome",
            ),
        };
        Self::Retry(None, Failure { reason, error_type })
    }
}

/// Calls a handler up to `limit`, and catches its panic: also one before its first await, and one while it is cancelled.
async fn guarded<T>(limit: Duration, call: impl Future<Output = T>) -> Result<T, Failed> {
    match AssertUnwindSafe(within(limit, call)).catch_unwind().await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(Failed::TimedOut(limit)),
        Err(panic) => Err(Failed::Panicked(text_of(&*panic))),
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("with a value that is not text").to_owned()
}

/// Counts a handler among the running ones, also when its task is ended.
struct Running<'a>(&'a AtomicU64);

impl<'a> Running<'a> {
    fn new(counter: &'a AtomicU64) -> Self {
        Counters::add(counter, 1);
        Self(counter)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Failed, guarded};

    struct PanicsWhenDropped;

    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("while cancelled");
        }
    }

    async fn text_of<T>(call: impl Future<Output = T>) -> Option<String> {
        match guarded(Duration::from_millis(20), call).await {
            Err(Failed::Panicked(text)) => Some(text),
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_panic_is_caught_wherever_it_happens() {
        assert_eq!(
            text_of(async { panic!("at {}", "once") }).await.unwrap(),
            "at once"
        );
        let later = async {
            tokio::task::yield_now().await;
            panic!("later")
        };
        assert_eq!(text_of(later).await.unwrap(), "later");
        let cancelled = async {
            let _guard = PanicsWhenDropped;
            std::future::pending::<()>().await;
        };
        assert_eq!(text_of(cancelled).await.unwrap(), "while cancelled");
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_is_cancelled_at_its_timeout() {
        let limit = Duration::from_secs(3);
        let slow = guarded(limit, std::future::pending::<()>()).await;
        assert!(matches!(slow, Err(Failed::TimedOut(waited)) if waited == limit));
        assert!(guarded(limit, async { 7 }).await.is_ok_and(|answer| answer == 7));
    }
}
