//! The erased twins of the traits in [`provider`](crate::provider): what the runtime holds. Written once, for all
//! providers; one boxed future a batch.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use ductape_schema::GroupName;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::capability::Capability;
use crate::error::Result;
use crate::examine::Finding;
use crate::message::TopicName;
use crate::provider::{
    Backlog, Delivery, Provider, ProviderInfo, PublishSlot, Receipt, SettleSlot, Settler, Subscription,
};
use crate::spec::{SeekTo, SubscriptionSpec, TopicSpec};

/// A provider of any kind.
pub type AnyProvider = Arc<dyn ProviderDyn>;

/// The erased twin of [`Provider`]; each method is that of the same name without `_dyn`.
pub trait ProviderDyn: fmt::Debug + Send + Sync + 'static {
    /// See [`Provider::info`].
    fn info_dyn(&self) -> &ProviderInfo;
    /// See [`Provider::capability`].
    fn capability_dyn(&self) -> Capability;
    /// See [`Provider::declare`].
    fn declare_dyn<'a>(&'a self, topic: &'a TopicSpec) -> BoxFuture<'a, Result<()>>;
    /// See [`Provider::publish`].
    fn publish_dyn<'a>(&'a self, batch: &'a mut [PublishSlot]) -> BoxFuture<'a, ()>;
    /// See [`Provider::subscribe`].
    fn subscribe_dyn<'a>(
        &'a self,
        spec: &'a SubscriptionSpec,
    ) -> BoxFuture<'a, Result<Box<dyn SubscriptionDyn>>>;
    /// See [`Provider::seek`].
    fn seek_dyn<'a>(
        &'a self,
        topic: &'a TopicName,
        group: &'a GroupName,
        to: SeekTo,
    ) -> BoxFuture<'a, Result<()>>;
    /// See [`Provider::backlog`].
    fn backlog_dyn<'a>(
        &'a self,
        topic: &'a TopicName,
        group: &'a GroupName,
    ) -> BoxFuture<'a, Result<Backlog>>;
    /// See [`Provider::examine`].
    fn examine_dyn<'a>(&'a self, topics: &'a [TopicSpec]) -> BoxFuture<'a, Result<Vec<Finding>>>;
    /// See [`Provider::ping`].
    fn ping_dyn(&self) -> BoxFuture<'_, Result<()>>;
    /// See [`Provider::close`].
    fn close_dyn(&self, deadline: Instant) -> BoxFuture<'_, Result<()>>;
}

/// The erased twin of [`Subscription`].
pub trait SubscriptionDyn: fmt::Debug + Send + 'static {
    /// See [`Subscription::settler`].
    fn settler_dyn(&self) -> Arc<dyn SettlerDyn>;
    /// See [`Subscription::receive`].
    fn receive_dyn<'a>(
        &'a mut self,
        into: &'a mut Vec<Delivery>,
        max: NonZeroUsize,
    ) -> BoxFuture<'a, Result<()>>;
    /// See [`Subscription::close`].
    fn close_dyn(self: Box<Self>) -> BoxFuture<'static, Result<()>>;
}

/// The erased twin of [`Settler`].
pub trait SettlerDyn: fmt::Debug + Send + Sync + 'static {
    /// See [`Settler::settle`].
    fn settle_dyn<'a>(&'a self, batch: &'a mut [SettleSlot]) -> BoxFuture<'a, ()>;
    /// See [`Settler::extend`].
    fn extend_dyn<'a>(&'a self, receipts: &'a [&'a Receipt], by: Duration) -> BoxFuture<'a, Result<()>>;
}

impl<P: Provider> ProviderDyn for P {
    fn info_dyn(&self) -> &ProviderInfo {
        self.info()
    }

    fn capability_dyn(&self) -> Capability {
        self.capability()
    }

    fn declare_dyn<'a>(&'a self, topic: &'a TopicSpec) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.declare(topic))
    }

    fn publish_dyn<'a>(&'a self, batch: &'a mut [PublishSlot]) -> BoxFuture<'a, ()> {
        Box::pin(self.publish(batch))
    }

    fn subscribe_dyn<'a>(
        &'a self,
        spec: &'a SubscriptionSpec,
    ) -> BoxFuture<'a, Result<Box<dyn SubscriptionDyn>>> {
        Box::pin(async move {
            let subscription = self.subscribe(spec).await?;
            Ok(Box::new(subscription) as Box<dyn SubscriptionDyn>)
        })
    }

    fn seek_dyn<'a>(
        &'a self,
        topic: &'a TopicName,
        group: &'a GroupName,
        to: SeekTo,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.seek(topic, group, to))
    }

    fn backlog_dyn<'a>(
        &'a self,
        topic: &'a TopicName,
        group: &'a GroupName,
    ) -> BoxFuture<'a, Result<Backlog>> {
        Box::pin(self.backlog(topic, group))
    }

    fn examine_dyn<'a>(&'a self, topics: &'a [TopicSpec]) -> BoxFuture<'a, Result<Vec<Finding>>> {
        Box::pin(self.examine(topics))
    }

    fn ping_dyn(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.ping())
    }

    fn close_dyn(&self, deadline: Instant) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.close(deadline))
    }
}

impl<S: Subscription> SubscriptionDyn for S {
    fn settler_dyn(&self) -> Arc<dyn SettlerDyn> {
        Arc::new(self.settler())
    }

    fn receive_dyn<'a>(
        &'a mut self,
        into: &'a mut Vec<Delivery>,
        max: NonZeroUsize,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.receive(into, max))
    }

    fn close_dyn(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin((*self).close())
    }
}

impl<S: Settler> SettlerDyn for S {
    fn settle_dyn<'a>(&'a self, batch: &'a mut [SettleSlot]) -> BoxFuture<'a, ()> {
        Box::pin(self.settle(batch))
    }

    fn extend_dyn<'a>(&'a self, receipts: &'a [&'a Receipt], by: Duration) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.extend(receipts, by))
    }
}

#[cfg(test)]
mod tests {
    use super::{AnyProvider, ProviderDyn, SettlerDyn, SubscriptionDyn};

    // That these compile is the test: the traits are object safe, and what the runtime holds crosses threads.
    fn _object_safe(_: &dyn ProviderDyn, _: &dyn SubscriptionDyn, _: &dyn SettlerDyn) {}
    fn _crosses_threads()
    where
        AnyProvider: Send + Sync,
        Box<dyn SubscriptionDyn>: Send,
    {
    }
}
