//! What a case's handlers were called with.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ductape_providers::conformance::Failure as CaseFailure;
use ductape_providers::{Headers, MessageId};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::clock;
use crate::consumer::{BatchDelivery, Delivery, Failure, Verdict};
use crate::context::Context;
use crate::runtime::{BatchHandler, Call, SingleHandler};

/// One call of a handler for one message.
#[derive(Clone, Debug)]
pub(super) struct Called {
    /// The payload.
    pub(super) text: String,
    pub(super) event: String,
    pub(super) id: MessageId,
    pub(super) key: Option<String>,
    pub(super) attempt: u32,
    pub(super) headers: Headers,
    pub(super) context: Context,
    pub(super) at: Instant,
}

impl Called {
    fn of(delivery: &Delivery) -> Self {
        let message = delivery.message();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            text: text(&message.payload),
            event: message.topic.event().to_string(),
            id: message.id.clone(),
            key: message.key.as_deref().map(text),
            attempt: delivery.attempt(),
            headers: message.headers.clone(),
            context: delivery.context(),
            at: clock::now(),
        }
    }
}

/// All calls of a case's handlers, in the order in which they began.
#[derive(Clone, Debug, Default)]
pub(super) struct Log(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    calls: Mutex<Vec<Called>>,
    changed: Notify,
}

impl Log {
    /// A handler that notes each call and then decides.
    pub(super) fn handler<F, Fut>(&self, decide: F) -> Call
    where
        F: Fn(Called) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Verdict> + Send + 'static,
    {
        let log = self.clone();
        let handler: SingleHandler = Arc::new(move |delivery| {
            let decided = decide(log.note(delivery));
            Box::pin(decided)
        });
        Call::Single(handler)
    }

    /// A handler that notes each call, and is always done.
    pub(super) fn done(&self) -> Call {
        self.handler(|_| async { Verdict::Done })
    }

    /// A handler that notes each call and then decides at once.
    pub(super) fn decides(&self, decide: impl Fn(&Called) -> Verdict + Send + Sync + 'static) -> Call {
        self.handler(move |called| {
            let verdict = decide(&called);
            async move { verdict }
        })
    }

    /// A handler of batches that notes each message and then decides for each.
    pub(super) fn batches(&self, decide: impl Fn(&[Called]) -> Vec<Verdict> + Send + Sync + 'static) -> Call {
        let log = self.clone();
        let handler: BatchHandler = Arc::new(move |batch: &BatchDelivery| {
            let called: Vec<Called> = batch
                .deliveries
                .iter()
                .map(|delivery| log.note(delivery))
                .collect();
            let verdicts = decide(&called);
            Box::pin(async move { verdicts })
        });
        Call::Batch(handler)
    }

    /// Notes a call.
    pub(super) fn note(&self, delivery: &Delivery) -> Called {
        let called = Called::of(delivery);
        self.0
            .calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(called.clone());
        self.0.changed.notify_waiters();
        called
    }

    /// The calls so far.
    pub(super) fn calls(&self) -> Vec<Called> {
        self.0
            .calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn len(&self) -> usize {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The payloads of the calls so far.
    pub(super) fn texts(&self) -> Vec<String> {
        self.calls().into_iter().map(|called| called.text).collect()
    }

    /// Waits for `count` calls, and answers those so far.
    pub(super) async fn until(&self, count: usize, patience: Duration) -> Result<Vec<Called>, CaseFailure> {
        let deadline = clock::now() + patience;
        loop {
            let changed = self.0.changed.notified();
            if self.len() >= count {
                return Ok(self.calls());
            }
            if timeout_at(deadline, changed).await.is_err() && self.len() < count {
                return Err(CaseFailure::new(format!(
                    "{} of {count} calls of the handler came within {patience:?}: {:?}",
                    self.len(),
                    self.texts().into_iter().take(20).collect::<Vec<_>>()
                )));
            }
        }
    }
}

/// A handler's failure for the reason `reason`.
pub(super) fn fails(reason: &str) -> Verdict {
    Verdict::Retry(None, failure(reason))
}

/// The failure itself.
pub(super) fn failure(reason: &str) -> Failure {
    Failure {
        reason: reason.to_owned(),
        error_type: "told",
    }
}
