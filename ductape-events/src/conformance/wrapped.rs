//! A provider that behaves otherwise than the one below it in ways that a case tells.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ductape_providers::examine::Finding;
use ductape_providers::provider::{Backlog, ProviderInfo};
use ductape_providers::spec::SeekTo;
use ductape_providers::{
    AnyProvider, Capability, Delivery, Error, ErrorKind, GroupName, Outgoing, ProviderDyn, PublishSlot,
    Result, SettlerDyn, SubscriptionDyn, SubscriptionSpec, TopicName, TopicSpec,
};
use futures_util::future::BoxFuture;
use tokio::time::Instant;

type Refuses = dyn Fn(&Outgoing) -> Option<Error> + Send + Sync;

/// The provider.
pub(super) struct Wrapped {
    inner: AnyProvider,
    capability: Capability,
    refuses: Box<Refuses>,
    /// After how many deliveries a subscription ends, and with what.
    ends: Option<(usize, ErrorKind)>,
    /// Of which topic the backlog is counted late.
    late: Option<(TopicName, Duration)>,
    subscribed: Arc<AtomicUsize>,
}

impl Wrapped {
    /// As `inner`.
    pub(super) fn new(inner: &AnyProvider) -> Self {
        Self {
            inner: Arc::clone(inner),
            capability: inner.capability_dyn(),
            refuses: Box::new(|_| None),
            ends: None,
            late: None,
            subscribed: Arc::default(),
        }
    }

    /// Says that it can do otherwise.
    pub(super) fn can(mut self, change: impl FnOnce(&mut Capability)) -> Self {
        change(&mut self.capability);
        self
    }

    /// Answers the publish of some messages with an error.
    pub(super) fn refusing(
        mut self,
        refuses: impl Fn(&Outgoing) -> Option<Error> + Send + Sync + 'static,
    ) -> Self {
        self.refuses = Box::new(refuses);
        self
    }

    /// Answers a receive with an error whenever so many deliveries have come. Not so many receives: a broker may give one
    /// delivery each time.
    pub(super) fn ending(mut self, deliveries: usize, kind: ErrorKind) -> Self {
        self.ends = Some((deliveries, kind));
        self
    }

    /// Takes `time` before it counts what a group has of `topic`.
    pub(super) fn counting_late(mut self, topic: &TopicName, time: Duration) -> Self {
        self.late = Some((topic.clone(), time));
        self
    }

    /// Counts the subscriptions.
    pub(super) fn subscribed(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.subscribed)
    }

    pub(super) fn into_provider(self) -> AnyProvider {
        Arc::new(self)
    }
}

impl fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wrapped({:?})", self.inner)
    }
}

impl ProviderDyn for Wrapped {
    fn info_dyn(&self) -> &ProviderInfo {
        self.inner.info_dyn()
    }

    fn capability_dyn(&self) -> Capability {
        self.capability
    }

    fn declare_dyn<'a>(&'a self, topic: &'a TopicSpec) -> BoxFuture<'a, Result<()>> {
        self.inner.declare_dyn(topic)
    }

    fn publish_dyn<'a>(&'a self, batch: &'a mut [PublishSlot]) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for slot in batch {
                if let Some(error) = (self.refuses)(&slot.message) {
                    slot.outcome = Some(Err(error));
                } else {
                    self.inner.publish_dyn(std::slice::from_mut(slot)).await;
                }
            }
        })
    }

    fn subscribe_dyn<'a>(
        &'a self,
        spec: &'a SubscriptionSpec,
    ) -> BoxFuture<'a, Result<Box<dyn SubscriptionDyn>>> {
        Box::pin(async move {
            let inner = self.inner.subscribe_dyn(spec).await?;
            self.subscribed.fetch_add(1, Ordering::SeqCst);
            let ends = self.ends;
            let came = 0;
            Ok(Box::new(Ending { inner, ends, came }) as Box<dyn SubscriptionDyn>)
        })
    }

    fn seek_dyn<'a>(
        &'a self,
        topic: &'a TopicName,
        group: &'a GroupName,
        to: SeekTo,
    ) -> BoxFuture<'a, Result<()>> {
        self.inner.seek_dyn(topic, group, to)
    }

    fn backlog_dyn<'a>(
        &'a self,
        topic: &'a TopicName,
        group: &'a GroupName,
    ) -> BoxFuture<'a, Result<Backlog>> {
        Box::pin(async move {
            if let Some((late, time)) = &self.late
                && late == topic
            {
                tokio::time::sleep(*time).await;
            }
            self.inner.backlog_dyn(topic, group).await
        })
    }

    fn examine_dyn<'a>(&'a self, topics: &'a [TopicSpec]) -> BoxFuture<'a, Result<Vec<Finding>>> {
        self.inner.examine_dyn(topics)
    }

    fn ping_dyn(&self) -> BoxFuture<'_, Result<()>> {
        self.inner.ping_dyn()
    }

    fn close_dyn(&self, deadline: Instant) -> BoxFuture<'_, Result<()>> {
        self.inner.close_dyn(deadline)
    }
}

#[derive(Debug)]
struct Ending {
    inner: Box<dyn SubscriptionDyn>,
    ends: Option<(usize, ErrorKind)>,
    came: usize,
}

impl SubscriptionDyn for Ending {
    fn settler_dyn(&self) -> Arc<dyn SettlerDyn> {
        self.inner.settler_dyn()
    }

    fn receive_dyn<'a>(
        &'a mut self,
        into: &'a mut Vec<Delivery>,
        max: NonZeroUsize,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match self.ends {
                Some((deliveries, kind)) if self.came >= deliveries => {
                    self.came = 0;
                    // As a broker that goes away: not at once.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    Err(Error::new(kind, "told to end"))
                }
                _ => {
                    let before = into.len();
                    let received = self.inner.receive_dyn(into, max).await;
                    self.came += into.len() - before;
                    received
                }
            }
        })
    }

    fn close_dyn(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        self.inner.close_dyn()
    }
}
