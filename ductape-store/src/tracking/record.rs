//! What is recorded: what a runtime tells the store about messages on their way.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

/// One thing that happened to a message.
///
/// Records may come in any order, from several processes, and more than once: what is told again changes nothing.
#[derive(Clone, Debug)]
pub enum Record {
    /// A message was produced, and its broker has confirmed it.
    Produced(Box<Produced>),
    /// A consumer had a message once.
    Attempted(Box<Attempted>),
    /// Messages whose detail was left out, and which are counted only.
    LeftOut(LeftOut),
}

/// Where messages belong. Shared by all of a topic's records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicPlace {
    /// The product's tag.
    pub product: Arc<str>,
    /// The environment's slug.
    pub env: Arc<str>,
    /// The broker's tag.
    pub broker_tag: Arc<str>,
    /// The topic's tag, without the broker.
    pub topic_tag: Arc<str>,
}

/// A message that was produced.
#[derive(Clone, Debug)]
pub struct Produced {
    /// The topic.
    pub topic: Arc<TopicPlace>,
    /// The message's id, of its topic alone.
    pub message_id: String,
    /// Who produced it.
    pub producer_tag: Arc<str>,
    /// When, as its envelope says.
    pub produced_at: SystemTime,
    /// Its bytes, sealed at rest when the store has keys; `None` when the topic's policy keeps none.
    pub payload: Option<Bytes>,
    /// The key that keeps order.
    pub key: Option<String>,
    /// The key that it was produced once under.
    pub idempotency_key: Option<String>,
    /// Its headers, as a JSON object.
    pub metadata: Option<String>,
    /// What produced it, as its receipt says.
    pub process_id: Option<String>,
    /// The session that it was produced in: its tag.
    pub session_tag: Option<String>,
    /// The id of the message that it is a copy of.
    pub replay_of: Option<String>,
    /// The groups that are to have it; shared by all of a topic's records.
    pub groups: Arc<[Arc<str>]>,
}

/// A consumer had a message once.
#[derive(Clone, Debug)]
pub struct Attempted {
    /// The topic.
    pub topic: Arc<TopicPlace>,
    /// The message's id.
    pub message_id: String,
    /// The group.
    pub consumer_tag: Arc<str>,
    /// How often the message was given to the group anew after it had been dead-lettered or failed: 0 at first.
    pub redrive: u32,
    /// Which attempt it is, from 1; begins anew with each redrive.
    pub attempt: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// When it began.
    pub started_at: SystemTime,
    /// How long it took.
    pub elapsed: Duration,
    /// When the message was produced, as its envelope says. The produce's own record, if there is one, has the last word.
    pub produced_at: Option<SystemTime>,
    /// What the consumer answered, as JSON.
    pub response_data: Option<String>,
    /// The message as it was received, when it is dead-lettered.
    pub original: Option<Original>,
}

/// A message as it was received.
#[derive(Clone, Debug)]
pub struct Original {
    /// Its bytes.
    pub payload: Bytes,
    /// The key that keeps order.
    pub key: Option<String>,
    /// Its headers, as a JSON object.
    pub metadata: Option<String>,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was handled.
    Success,
    /// It failed, and is to be tried again.
    Retrying {
        /// Why.
        error: String,
        /// Not before this time.
        next_at: SystemTime,
    },
    /// It failed for good, and there is no dead letter of it.
    Failed {
        /// Why.
        error: String,
    },
    /// It failed for good, and its dead letter is kept.
    DeadLettered {
        /// Why.
        error: String,
    },
    /// The group had handled it before, so that it was not handled again.
    Duplicate,
}

/// How many records of a topic were left out of the detail, by overload or by policy.
#[derive(Clone, Debug)]
pub struct LeftOut {
    /// The topic.
    pub topic: Arc<TopicPlace>,
    /// Names this count among all, so that one told twice counts once.
    pub id: String,
    /// When the counting ended.
    pub at: SystemTime,
    /// How many were left out.
    pub count: u64,
}
