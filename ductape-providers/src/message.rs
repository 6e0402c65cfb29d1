//! What travels: messages on their way to a broker and back, and the names that they carry.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use ductape_schema::{EventName, GroupName};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::headers::Headers;

/// A topic as a provider knows it: the event's name and the version of its contract.
///
/// Versions above 1 are topics of their own on the broker, so that two versions live side by side.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName {
    event: EventName,
    version: NonZeroU32,
}

impl TopicName {
    /// Version `version` of `event`.
    pub const fn new(event: EventName, version: NonZeroU32) -> Self {
        Self { event, version }
    }

    /// The event's name.
    pub const fn event(&self) -> &EventName {
        &self.event
    }

    /// The version of the event's contract, from 1.
    pub const fn version(&self) -> NonZeroU32 {
        self.version
    }

    /// The name on the broker unless the configuration gives another: `broker.topic`, and `broker.topic.vN` from
    /// version 2 on.
    pub fn physical(&self) -> String {
        let (broker, topic) = (self.event.broker(), self.event.topic());
        match self.version.get() {
            1 => format!("{broker}.{topic}"),
            version => format!("{broker}.{topic}.v{version}"),
        }
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version.get() {
            1 => write!(f, "{}", self.event),
            version => write!(f, "{} (version {version})", self.event),
        }
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicName({self})")
    }
}

/// The identity of a message. It stays the same through retries, dead letters and replays.
///
/// Ours are UUIDs of version 7, which sort by time; another producer's may be any text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(Id);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Id {
    Uuid(Uuid),
    Text(Arc<str>),
}

impl MessageId {
    /// A new id that sorts after those made before it on this machine.
    pub fn new() -> Self {
        Self(Id::Uuid(Uuid::now_v7()))
    }

    /// The id that belongs to `name` within `scope`: always the same one, so that producing it again is recognised.
    pub fn derived(scope: &str, name: &str) -> Self {
        let scope = Uuid::new_v5(&Uuid::NAMESPACE_OID, scope.as_bytes());
        Self(Id::Uuid(Uuid::new_v5(&scope, name.as_bytes())))
    }

    /// The id that `text` stands for. Any text is one.
    pub fn from_text(text: &str) -> Self {
        match Uuid::try_parse(text) {
            // Only the usual form: another one must come back as it was written.
            Ok(uuid) if text.len() == 36 && !text.bytes().any(|b| b.is_ascii_uppercase()) => {
                Self(Id::Uuid(uuid))
            }
            _ => Self(Id::Text(text.into())),
        }
    }

    /// The UUID that this is; `None` when it is another producer's text.
    pub const fn as_uuid(&self) -> Option<Uuid> {
        match &self.0 {
            Id::Uuid(uuid) => Some(*uuid),
            Id::Text(_) => None,
        }
    }
}

impl Default for MessageId {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Uuid> for MessageId {
    fn from(uuid: Uuid) -> Self {
        Self(Id::Uuid(uuid))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Id::Uuid(uuid) => uuid.fmt(f),
            Id::Text(text) => text.fmt(f),
        }
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Id::Uuid(uuid) => write!(f, "MessageId({uuid})"),
            Id::Text(text) => write!(f, "MessageId({text:?})"),
        }
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// To every group of the topic.
    Topic,
    /// To one group alone: its retries, replays and reprocessed dead letters.
    Group(GroupName),
    /// To the dead letters of one group.
    DeadLetters(GroupName),
}

/// A message on its way to the broker.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The topic.
    pub topic: TopicName,
    /// To all groups of the topic, to one, or to one's dead letters.
    pub route: Route,
    /// The identity; the same again when the message is published again.
    pub id: MessageId,
    /// Messages with the same key keep their order.
    pub key: Option<Bytes>,
    /// The headers; see [`Headers::check`] for the limits.
    pub headers: Headers,
    /// The payload, as it is on the wire.
    pub payload: Bytes,
    /// When the event was produced: the `time` of CloudEvents.
    pub published_at: SystemTime,
    /// Not delivered before this time; see [`Capability::publish_delay_max`](crate::Capability::publish_delay_max) and
    /// [`Capability::group_delay_max`](crate::Capability::group_delay_max).
    pub not_before: Option<SystemTime>,
}

impl Outgoing {
    /// A message with a new id, without key, headers or delay, to every group of `topic`.
    pub fn new(topic: TopicName, payload: impl Into<Bytes>) -> Self {
        Self {
            topic,
            route: Route::Topic,
            id: MessageId::new(),
            key: None,
            headers: Headers::new(),
            payload: payload.into(),
            published_at: crate::clock::wall(),
            not_before: None,
        }
    }

    /// This message with the key `key`.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// This message by another route.
    #[must_use]
    pub fn with_route(mut self, route: Route) -> Self {
        self.route = route;
        self
    }
}

/// A place in a topic's log, as the provider counts it; larger is later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Position(pub u64);

/// A message as a broker delivered it.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The topic that the subscription is of.
    pub topic: TopicName,
    /// The identity. A message from elsewhere that has none gets one from the provider, the same at each delivery.
    pub id: MessageId,
    /// The key that it was published with.
    pub key: Option<Bytes>,
    /// The headers that it was published with.
    pub headers: Headers,
    /// The payload, as it is on the wire.
    pub payload: Bytes,
    /// When the event was produced.
    pub published_at: Option<SystemTime>,
    /// Where it stands in the topic's log; `None` where the broker has no log.
    pub position: Option<Position>,
    /// How often it was delivered, with this time, from 1; `None` where the broker does not count.
    pub delivery_count: Option<NonZeroU32>,
}

impl Incoming {
    /// This message, to be published again by `route`: same id, key, headers, payload and time.
    pub fn to_outgoing(&self, route: Route) -> Outgoing {
        Outgoing {
            topic: self.topic.clone(),
            route,
            id: self.id.clone(),
            key: self.key.clone(),
            headers: self.headers.clone(),
            payload: self.payload.clone(),
            published_at: self.published_at.unwrap_or_else(crate::clock::wall),
            not_before: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MessageId;

    #[test]
    fn an_id_comes_back_as_it_was_written() {
        let ours = MessageId::new().to_string();
        for text in [
            ours.as_str(),
            "order-7",
            "",
            "67E55044-10B1-426F-9247-BB680E5FE0C8",
            "67e5504410b1426f9247bb680e5fe0c8",
        ] {
            assert_eq!(MessageId::from_text(text).to_string(), text);
        }
    }

    #[test]
    fn a_derived_id_depends_on_scope_and_name() {
        assert_eq!(MessageId::derived("a", "1"), MessageId::derived("a", "1"));
        assert_ne!(MessageId::derived("a", "1"), MessageId::derived("b", "1"));
        assert_ne!(MessageId::derived("a", "1"), MessageId::derived("a", "2"));
    }
}
