//! What a broker, as it is configured, can do.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Serialize;

/// What a broker, as it is configured, can do. It stays the same for the life of the connection.
///
/// The runtime reads it to choose how it keeps its promises, and refuses at start-up what can't be kept; the
/// conformance suite reads it to choose its cases, and asserts that what is missing answers
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[allow(clippy::struct_excessive_bools)] // each is an independent fact, named where it is read
pub struct Capability {
    /// What order is kept.
    pub order: Order,
    /// What can be done with a delivery that failed.
    pub requeue: Requeue,
    /// Whether several subscriptions can share one group.
    pub groups: bool,
    /// Whether a group of one process's own exists, for `broadcast`.
    pub ephemeral_groups: bool,
    /// Whether messages can be sent to one group alone.
    pub route_to_group: bool,
    /// Whether a new group can start at the earliest message.
    pub start_earliest: bool,
    /// Whether a group can be set to another position.
    pub seek: bool,
    /// Whether the broker counts deliveries.
    pub delivery_count: bool,
    /// Whether the broker keeps the ids that a group has handled, and settles a repeated one by itself.
    pub once: bool,
    /// Whether messages outlive the process that published them.
    pub persistent: bool,
    /// Whether [`Provider::backlog`](crate::Provider::backlog) can count.
    pub backlog: bool,
    /// The longest delay of a publish to all groups of a topic; `None` where there is no delay.
    pub publish_delay_max: Option<Duration>,
    /// The longest delay of a message that is sent to one group alone, as a retry is; `None` where there is no delay.
    pub group_delay_max: Option<Duration>,
    /// Whether unsettled deliveries come back when their lease ends.
    pub lease: bool,
    /// The longest time that a delivery can stay unsettled, however often its lease is extended; `None` where there is no
    /// end.
    pub unsettled_max: Option<Duration>,
    /// The largest payload, in bytes.
    pub payload_bytes_max: usize,
    /// The most messages in one publish that the provider sends at once; larger batches are split.
    pub publish_batch_max: NonZeroUsize,
    /// The most deliveries that one receive returns.
    pub receive_batch_max: NonZeroUsize,
}

/// What order a broker keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Order {
    /// None.
    None,
    /// Messages of one key.
    PerKey,
    /// All messages of a topic, and so those of one key.
    PerTopic,
}

/// What a broker can do with a delivery that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Requeue {
    /// Nothing: it can only be settled.
    None,
    /// It comes back at once.
    Immediate,
    /// It comes back at once or later.
    Delayed {
        /// The longest delay.
        max: Duration,
        /// Whether later messages of the same key wait for it in a group that orders strictly.
        holds_key: bool,
    },
}

impl Capability {
    /// A broker that can do nothing but carry messages of at most `payload_bytes_max` bytes, one at a time: what a
    /// provider's author starts from.
    ///
    /// ```
    /// use ductape_providers::capability::{Capability, Order};
    ///
    /// let mut capability = Capability::least(1024);
    /// capability.order = Order::PerTopic;
    /// assert!(!capability.groups);
    /// ```
    pub const fn least(payload_bytes_max: usize) -> Self {
        Self {
            order: Order::None,
            requeue: Requeue::None,
            groups: false,
            ephemeral_groups: false,
            route_to_group: false,
            start_earliest: false,
            seek: false,
            delivery_count: false,
            once: false,
            persistent: false,
            backlog: false,
            publish_delay_max: None,
            group_delay_max: None,
            lease: false,
            unsettled_max: None,
            payload_bytes_max,
            publish_batch_max: NonZeroUsize::MIN,
            receive_batch_max: NonZeroUsize::MIN,
        }
    }
}
