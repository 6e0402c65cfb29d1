//! What the author of a provider writes.
//!
//! Publishing, receiving and settling take batches in buffers that the caller owns: no allocation a call once warm, a
//! natural place for the outcome of each message, and a meaning for cancellation. An operation that the broker can't
//! do answers [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported); there are no defaults that quietly do less.
//!
//! A provider's `Clone`s, subscriptions and settlers work from any tokio runtime.

use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::time::Duration;

use ductape_schema::GroupName;
use serde::Serialize;
use tokio::time::Instant;

use crate::capability::Capability;
use crate::error::Result;
use crate::examine::Finding;
use crate::message::{Incoming, Outgoing, Position, TopicName};
use crate::spec::{SeekTo, SubscriptionSpec, TopicSpec};

/// A connected broker.
///
/// It is made from its configuration, which does no I/O; a value of this type is connected.
pub trait Provider: fmt::Debug + Send + Sync + 'static {
    /// What [`subscribe`](Self::subscribe) gives.
    type Subscription: Subscription;

    /// What this is, for people. Never contains a secret.
    fn info(&self) -> &ProviderInfo;

    /// What this broker, as configured, can do. The same for the life of the connection.
    fn capability(&self) -> Capability;

    /// Creates what is missing of the topic and its groups. What exists and fits is success; nothing is altered or
    /// deleted.
    ///
    /// # Errors
    ///
    /// [`TopologyMismatch`](crate::ErrorKind::TopologyMismatch) when something exists that does not fit,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) when a group asks for what the broker can't do.
    fn declare(&self, topic: &TopicSpec) -> impl Future<Output = Result<()>> + Send;

    /// Hands every slot's message to the broker, in order, and fills every slot's outcome.
    ///
    /// `Ok` in a slot means that the broker has taken responsibility for the message, as durably as the receipt says.
    /// A failed slot does not keep the others from being tried. Dropping the future leaves unfilled slots, which means
    /// "unknown".
    ///
    /// # Errors
    ///
    /// In each slot: [`TopicMissing`](crate::ErrorKind::TopicMissing) when the topic was not declared,
    /// [`PayloadTooLarge`](crate::ErrorKind::PayloadTooLarge) and [`HeaderInvalid`](crate::ErrorKind::HeaderInvalid)
    /// before any I/O, [`Closed`](crate::ErrorKind::Closed) after [`close`](Self::close).
    /// [`Error::is_indeterminate`](crate::Error::is_indeterminate) tells "may be stored" from "surely not stored".
    fn publish(&self, batch: &mut [PublishSlot]) -> impl Future<Output = ()> + Send;

    /// Joins a declared group.
    ///
    /// # Errors
    ///
    /// [`TopicMissing`](crate::ErrorKind::TopicMissing) and [`GroupMissing`](crate::ErrorKind::GroupMissing) when it was
    /// not declared, [`Closed`](crate::ErrorKind::Closed) after [`close`](Self::close).
    fn subscribe(&self, spec: &SubscriptionSpec) -> impl Future<Output = Result<Self::Subscription>> + Send;

    /// Sets a group to another position: what stands there and after it is delivered next, what is unsettled is dropped.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported) where the broker keeps no log.
    fn seek(
        &self,
        topic: &TopicName,
        group: &GroupName,
        to: SeekTo,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Counts what a group still has before it.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported) where the broker can't tell.
    fn backlog(&self, topic: &TopicName, group: &GroupName) -> impl Future<Output = Result<Backlog>> + Send;

    /// Looks for what is unsafe or wrong with how the broker, these topics and their groups are set up, and changes
    /// nothing: what exists is compared with what the program asks, whatever [`declare`](Self::declare) would create is not
    /// a finding. Where there is nothing to look at it answers none.
    ///
    /// # Errors
    ///
    /// When the broker can't be asked; what it refuses to tell (a missing permission) is a finding, not an error.
    fn examine(&self, topics: &[TopicSpec]) -> impl Future<Output = Result<Vec<Finding>>> + Send;

    /// Asks the broker whether it is there.
    ///
    /// # Errors
    ///
    /// Within 5 s when it does not answer.
    fn ping(&self) -> impl Future<Output = Result<()>> + Send;

    /// Flushes what is under way and closes, before `deadline`. Later calls, on clones too, answer
    /// [`Closed`](crate::ErrorKind::Closed); closing twice is harmless.
    ///
    /// # Errors
    ///
    /// [`Timeout`](crate::ErrorKind::Timeout) when something could not be flushed in time.
    fn close(&self, deadline: Instant) -> impl Future<Output = Result<()>> + Send;
}

/// A member of a group. Dropping it gives what is unsettled back to the broker.
pub trait Subscription: fmt::Debug + Send + 'static {
    /// What settles its deliveries.
    type Settler: Settler;

    /// A handle that settles while [`receive`](Self::receive) waits.
    fn settler(&self) -> Self::Settler;

    /// Waits for one delivery, then appends at most `max` that are ready now.
    ///
    /// Deliveries of one key come in the order in which they were published, and never to two members at one time,
    /// where [`Capability::order`](crate::Capability::order) says that order is kept.
    ///
    /// Cancel safe: a delivery is either in `into` or still the broker's.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed) when the provider was closed. After an error that
    /// [`is_temporary`](crate::Error::is_temporary) the subscription can be used on; after another it must be made anew.
    fn receive(
        &mut self,
        into: &mut Vec<Delivery>,
        max: NonZeroUsize,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Stops receiving, sends what is being settled, and gives what is unsettled back at once.
    ///
    /// # Errors
    ///
    /// When settlements could not be sent; their deliveries come back.
    fn close(self) -> impl Future<Output = Result<()>> + Send;
}

/// Settles the deliveries of one subscription.
pub trait Settler: fmt::Debug + Send + Sync + 'static {
    /// Settles each slot's delivery and fills its outcome.
    ///
    /// # Errors
    ///
    /// In each slot: [`LeaseLost`](crate::ErrorKind::LeaseLost) when the delivery is no longer this subscription's (it
    /// comes, or has come, to another), [`Unsupported`](crate::ErrorKind::Unsupported) for a settlement that the broker
    /// can't do.
    fn settle(&self, batch: &mut [SettleSlot]) -> impl Future<Output = ()> + Send;

    /// Asks that these deliveries stay this subscription's for `by` from now.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported) where there are no leases, [`LeaseLost`](crate::ErrorKind::LeaseLost)
    /// when one of them has ended; the others are extended.
    fn extend(&self, receipts: &[&Receipt], by: Duration) -> impl Future<Output = Result<()>> + Send;
}

/// What a provider is, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProviderInfo {
    /// The kind of broker: `embedded`, `kafka` …
    pub provider: &'static str,
    /// Where it is, without secrets: `127.0.0.1:9092`, `memory`, a file.
    pub address: String,
}

/// A message to publish, and what became of it.
#[derive(Debug)]
pub struct PublishSlot {
    /// The message.
    pub message: Outgoing,
    /// What became of it; `None` until the provider knows.
    pub outcome: Option<Result<PublishReceipt>>,
}

impl PublishSlot {
    /// A slot without an outcome.
    pub const fn new(message: Outgoing) -> Self {
        Self {
            message,
            outcome: None,
        }
    }
}

/// The broker's confirmation of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishReceipt {
    /// What the confirmation stands for.
    pub durability: Durability,
    /// Where the message stands in the topic's log, where there is one.
    pub position: Option<Position>,
    /// Whether the broker had the message already and dropped this one.
    pub duplicate: bool,
}

/// How safe a confirmed message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// In this process or in a file system's cache.
    Buffered,
    /// In the broker's memory.
    BrokerMemory,
    /// On the broker's disk.
    BrokerDisk,
    /// On several brokers.
    Replicated,
}

/// A received message that is not settled yet.
#[derive(Debug)]
pub struct Delivery {
    /// The message.
    pub message: Incoming,
    /// What settles it.
    pub receipt: Receipt,
}

/// The token of a delivery. Settling consumes it, so that settling twice does not compile.
#[derive(Debug, PartialEq, Eq, Hash)]
#[must_use = "a delivery that is not settled comes back"]
pub struct Receipt(u64);

impl Receipt {
    /// The receipt that a provider knows by `token`.
    pub const fn new(token: u64) -> Self {
        Self(token)
    }

    /// The provider's own number.
    pub const fn token(&self) -> u64 {
        self.0
    }
}

/// A delivery to settle, and what became of it.
#[derive(Debug)]
pub struct SettleSlot {
    /// The delivery.
    pub receipt: Receipt,
    /// What to do with it.
    pub how: Settlement,
    /// What became of it; `None` until the provider knows.
    pub outcome: Option<Result<()>>,
}

impl SettleSlot {
    /// A slot without an outcome.
    pub const fn new(receipt: Receipt, how: Settlement) -> Self {
        Self {
            receipt,
            how,
            outcome: None,
        }
    }
}

/// What to do with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is done: it never comes back.
    Ack,
    /// It was not handled: it comes back at once, and this delivery is not counted where the broker lets us say so.
    Requeue,
    /// It failed: it comes back, counted, not before this time has passed.
    RequeueAfter(Duration),
    /// It is given up: it never comes back. What must be kept was published to the dead letters before.
    Reject,
}

/// What a group still has before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Backlog {
    /// Can be delivered now.
    pub ready: u64,
    /// Wait for their time.
    pub delayed: u64,
    /// Delivered and not settled.
    pub in_flight: u64,
    /// Dead letters.
    pub dead_letters: u64,
}
