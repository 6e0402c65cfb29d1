//! A consumer of a running program: everything that is the same for all of its deliveries.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use ductape_providers::spec::Ordering;
use ductape_providers::{
    AnyProvider, Capability, GroupSpec, MessageId, SubscriptionSpec, TopicName, TopicSpec,
};
use futures_util::future::BoxFuture;

use super::once::Once;
use super::session::Session;
use crate::backoff::RetryPolicy;
use crate::consumer::delivery::Scope;
use crate::consumer::{BatchDelivery, ConsumerOptions, Delivery, Handler, Verdict};
use crate::stats::{AttemptReport, Counters, Observer};

/// A function that is known only at run time.
pub(crate) type SingleHandler = Arc<dyn for<'a> Fn(&'a Delivery) -> BoxFuture<'a, Verdict> + Send + Sync>;

/// The same, for batches.
pub(crate) type BatchHandler =
    Arc<dyn for<'a> Fn(&'a BatchDelivery) -> BoxFuture<'a, Vec<Verdict>> + Send + Sync>;

/// How a consumer's function is called.
#[derive(Clone)]
pub(crate) enum Call {
    Typed(Handler),
    Single(SingleHandler),
    #[cfg_attr(not(feature = "conformance"), expect(dead_code))]
    Batch(BatchHandler),
}

impl Call {
    pub(crate) fn takes_batches(&self) -> bool {
        matches!(self, Self::Typed(Handler::Batch(_)) | Self::Batch(_))
    }
}

/// A consumer of a running program.
pub(crate) struct ConsumerRun {
    pub(super) name: String,
    pub(super) topic: TopicName,
    pub(super) physical: Option<String>,
    pub(super) group: GroupSpec,
    /// Whether the topic's messages have keys, as far as is known.
    pub(super) keyed: bool,
    pub(super) call: Call,
    pub(super) scope: Arc<Scope>,
    pub(super) provider: AnyProvider,
    pub(super) capability: Capability,
    pub(super) policy: RetryPolicy,
    pub(super) timeout: Duration,
    pub(super) limits: Limits,
    pub(super) publish_timeout: Duration,
    pub(super) counters: Counters,
    pub(super) observers: Arc<[Arc<dyn Observer>]>,
    pub(super) first_failures: FirstFailures,
    /// What tells whether a message was handled, where the broker does not.
    pub(super) once: Option<Once>,
    /// The subscription at work.
    pub(super) session: Mutex<Weak<Session>>,
}

/// How much a consumer does at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) concurrency: usize,
    pub(crate) prefetch: NonZeroUsize,
    /// The most events in a batch; 1 for handlers that take one.
    pub(crate) batch: usize,
    /// A wait up to this long is held in the process where the broker can't hold it; a longer one goes to the broker as
    /// a copy, so that it outlives the process.
    pub(crate) hold_max: Duration,
}

impl Limits {
    const CONCURRENCY_DEFAULT: usize = 16;
    const BATCH_DEFAULT: usize = 100;
    /// Few enough that another process of the group gets its share, many enough that a receive is worth its cost.
    const PREFETCH_MIN: usize = 256;
    /// Where the messages of a key go to one process at a time, others would not get them sooner.
    const PREFETCH_MIN_KEYED: usize = 1024;
    const HOLD_MAX: Duration = Duration::from_secs(5);

    /// `keyed` says that messages of one key keep their order.
    pub(crate) fn new(options: &ConsumerOptions, batches: bool, keyed: bool) -> Self {
        let batch = if batches {
            options.batch.unwrap_or(Self::BATCH_DEFAULT)
        } else {
            1
        };
        let concurrency = options
            .concurrency
            .unwrap_or(if batches { 1 } else { Self::CONCURRENCY_DEFAULT });
        let wanted = if batches {
            concurrency * batch * 2
        } else {
            concurrency * 4
        };
        let least = if keyed {
            Self::PREFETCH_MIN_KEYED
        } else {
            Self::PREFETCH_MIN
        };
        let prefetch = options.prefetch.unwrap_or(wanted.clamp(least, 65_535));
        Self {
            concurrency: concurrency.max(1),
            prefetch: NonZeroUsize::new(prefetch).unwrap_or(NonZeroUsize::MIN),
            batch: batch.max(1),
            hold_max: Self::HOLD_MAX,
        }
    }
}

impl ConsumerRun {
    pub(super) fn at_work(&self, session: &Arc<Session>) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(session);
    }

    /// How many messages it has in hand.
    pub(super) fn in_hand(&self) -> usize {
        let session = self
            .session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .upgrade();
        session.map_or(0, |session| session.lanes.in_hand())
    }

    pub(super) fn is_strict(&self) -> bool {
        self.group.ordering == Ordering::Strict
    }

    pub(super) fn topic_spec(&self) -> TopicSpec {
        TopicSpec {
            topic: self.topic.clone(),
            physical: self.physical.clone(),
            groups: vec![self.group.clone()],
            keyed: self.keyed,
        }
    }

    pub(super) fn subscription_spec(&self) -> SubscriptionSpec {
        let mut spec = SubscriptionSpec::new(self.topic.clone(), self.group.clone());
        spec.prefetch = self.limits.prefetch;
        spec
    }

    /// Whether anybody wants to know how long attempts take.
    pub(super) fn is_observed(&self) -> bool {
        #[cfg(feature = "store")]
        if self.scope.context.wiring().recorder().is_some() {
            return true;
        }
        !self.observers.is_empty()
    }

    pub(super) fn report(&self, report: &AttemptReport<'_>) {
        for observer in &*self.observers {
            // An observer that panics must not take the message along.
            let watched = std::panic::catch_unwind(AssertUnwindSafe(|| observer.attempted(report)));
            if watched.is_err() {
                tracing::error!(consumer = self.name, "an observer of attempts panicked");
            }
        }
    }
}

impl fmt::Debug for ConsumerRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerRun")
            .field("name", &self.name)
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// When messages that are tried again first failed. The broker does not keep it; known by this process alone, and for a
/// bounded number.
#[derive(Debug, Default)]
pub(super) struct FirstFailures(Mutex<HashMap<MessageId, u64>>);

impl FirstFailures {
    const MAX: usize = 65_536;

    pub(super) fn note(&self, id: &MessageId, millis: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= Self::MAX {
            // Mostly of messages that another process went on with.
            known.clear();
        }
        known.insert(id.clone(), millis);
    }

    pub(super) fn take(&self, id: &MessageId) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }
}
