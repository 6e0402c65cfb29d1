//! What is declared on a broker, and what is subscribed to.

use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use ductape_schema::GroupName;

use crate::message::{Position, TopicName};

/// A topic with its groups, as the program wants them to exist.
#[derive(Clone, Debug)]
pub struct TopicSpec {
    /// The topic.
    pub topic: TopicName,
    /// Its name on the broker; [`TopicName::physical`] when `None`.
    pub physical: Option<String>,
    /// The groups that must exist before anything is published.
    pub groups: Vec<GroupSpec>,
    /// Whether messages of the topic have keys, whose order must be kept. A provider that pays for order (with a queue
    /// that one member reads at a time, say) pays only then.
    pub keyed: bool,
}

impl TopicSpec {
    /// `topic` under its usual name, with keys, without groups.
    pub const fn new(topic: TopicName) -> Self {
        Self {
            topic,
            physical: None,
            groups: Vec::new(),
            keyed: true,
        }
    }

    /// This topic with `group` added.
    #[must_use]
    pub fn with_group(mut self, group: GroupSpec) -> Self {
        self.groups.push(group);
        self
    }
}

/// Where a group that does not exist yet begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At what is published from now on.
    #[default]
    Latest,
    /// At the oldest message that the broker still has.
    Earliest,
}

/// Where an existing group is set to by [`Provider::seek`](crate::Provider::seek).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekTo {
    /// The oldest message that the broker still has.
    Earliest,
    /// After the newest message.
    Latest,
    /// The message at this position, which is delivered again.
    Position(Position),
    /// The first message that was published at this time or later.
    Time(SystemTime),
}

/// What a retry does to later messages of the same key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ordering {
    /// They wait until the failed one is settled.
    #[default]
    Strict,
    /// They pass it.
    Relaxed,
}

/// A consumer group of a topic.
#[derive(Clone, Debug)]
pub struct GroupSpec {
    /// Its name.
    pub name: GroupName,
    /// Whether the program chose the name. Where it did not, a name that the broker's configuration gives to the consumers
    /// without one (Kafka's `groupId`, RabbitMQ's `queue`, Pub/Sub's `subscriptionName`) is used on the broker instead.
    pub named: bool,
    /// Where it begins when it does not exist yet.
    pub start: Start,
    /// What a retry does to later messages of the same key.
    pub ordering: Ordering,
    /// Whether a message id that the group has handled is settled by the provider and not delivered again. Only where
    /// [`Capability::once`](crate::Capability::once).
    pub once: bool,
    /// Whether the group lives only as long as its subscription: one process's own, for `broadcast`.
    pub ephemeral: bool,
    /// How long a delivery may stay unsettled before the broker gives it to another; providers without leases ignore it.
    pub lease: Duration,
}

impl GroupSpec {
    /// The lease that a group has unless it says another.
    pub const LEASE_DEFAULT: Duration = Duration::from_secs(30);

    /// A lasting group that begins at the latest, orders strictly, and does not deduplicate.
    pub const fn new(name: GroupName) -> Self {
        Self {
            name,
            named: true,
            start: Start::Latest,
            ordering: Ordering::Strict,
            once: false,
            ephemeral: false,
            lease: Self::LEASE_DEFAULT,
        }
    }
}

/// What a subscription reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The group's messages: the topic's, and those sent to the group alone.
    #[default]
    Messages,
    /// The group's dead letters.
    DeadLetters,
}

/// One consumer's subscription.
#[derive(Clone, Debug)]
pub struct SubscriptionSpec {
    /// The topic.
    pub topic: TopicName,
    /// The group that it is a member of; it must have been declared.
    pub group: GroupSpec,
    /// The group's messages, or its dead letters.
    pub source: Source,
    /// The most deliveries that may be unsettled at one time.
    pub prefetch: NonZeroUsize,
}

impl SubscriptionSpec {
    /// A subscription to the messages of `group`, with a prefetch of 256.
    pub const fn new(topic: TopicName, group: GroupSpec) -> Self {
        let prefetch = NonZeroUsize::MIN.saturating_add(255);
        Self {
            topic,
            group,
            source: Source::Messages,
            prefetch,
        }
    }
}
