//! The workers: each takes a job, calls the handler, and hands on what it decided.

use std::any::Any;
use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::time::timeout;

use super::consumer_run::Call;
use super::lanes::Job;
use super::session::Session;
use crate::clock;
use crate::consumer::{BatchDelivery, Delivery, Failure, Handler, Verdict};
use crate::stats::Counters;

/// Takes jobs one after the other until the subscription stops.
pub(super) async fn work(session: Arc<Session>) {
    let consumer = Arc::clone(&session.consumer);
    match &consumer.call {
        Call::Typed(Handler::Batch(handler)) => work_in_batches(&session, *handler).await,
        Call::Typed(Handler::Single(handler)) => {
            work_singly(&session, |delivery| handler(delivery)).await;
        }
        Call::Json(handler) => {
            let handler = Arc::clone(handler);
            work_singly(&session, |delivery| {
                let handler = Arc::clone(&handler);
                async move {
                    match delivery.event() {
                        Ok(value) => handler(value).await,
                        Err(verdict) => verdict,
                    }
                }
                .boxed()
            })
            .await;
        }
    }
}

async fn work_singly(
    session: &Arc<Session>,
    handler: impl for<'a> Fn(&'a Delivery) -> futures_util::future::BoxFuture<'a, Verdict>,
) {
    let consumer = &session.consumer;
    while let Some(job) = session.lanes.next().await {
        let began = clock::now();
        let (delivery, rest) = job.split(&consumer.scope);
        Counters::add(&consumer.counters.running, 1);
        let verdict = match timeout(
            consumer.timeout,
            AssertUnwindSafe(handler(&delivery)).catch_unwind(),
        )
        .await
        {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(panic)) => panicked(&*panic),
            Err(_) => session.timed_out(),
        };
        consumer
            .counters
            .running
            .fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        session
            .conclude(rest.join(delivery), verdict, began.elapsed())
            .await;
    }
}

async fn work_in_batches(
    session: &Arc<Session>,
    handler: for<'a> fn(&'a BatchDelivery) -> futures_util::future::BoxFuture<'a, Vec<Verdict>>,
) {
    let consumer = &session.consumer;
    let mut jobs: Vec<Job> = Vec::new();
    loop {
        session.lanes.next_batch(consumer.limits.batch, &mut jobs).await;
        if jobs.is_empty() {
            return;
        }
        let began = clock::now();
        let n = jobs.len();
        let (deliveries, rests): (Vec<_>, Vec<_>) = mem::take(&mut jobs)
            .into_iter()
            .map(|job| job.split(&consumer.scope))
            .unzip();
        let batch = BatchDelivery { deliveries };
        Counters::add(&consumer.counters.running, 1);
        let called = timeout(consumer.timeout, AssertUnwindSafe(handler(&batch)).catch_unwind()).await;
        consumer
            .counters
            .running
            .fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        let verdicts = match called {
            Ok(Ok(verdicts)) => verdicts,
            Ok(Err(panic)) => vec![panicked(&*panic); n],
            Err(_) => vec![session.timed_out(); n],
        };
        let elapsed = began.elapsed();
        for ((delivery, rest), verdict) in batch.deliveries.into_iter().zip(rests).zip(verdicts) {
            session.conclude(rest.join(delivery), verdict, elapsed).await;
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Verdict {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let reason = format!(
        "the handler panicked: {}",
        text.unwrap_or("with a value that is not text")
    );
    Verdict::Retry(
        None,
        Failure {
            reason,
            error_type: "panic",
        },
    )
}
