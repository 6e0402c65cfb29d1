use std::time::SystemTime;

use ductape_providers::message::Position;
use ductape_providers::{EventName, GroupName, Headers, MessageId};

use crate::consumer::Delivery;
use crate::envelope::header;

/// What is known of a message beside its event. An extractor.
///
/// ```
/// use ductape_events::prelude::*;
///
/// #[topic("docs:meta-seen")]
/// struct Seen {
///     n: u32,
/// }
///
/// #[consumer]
/// async fn log(event: Seen, meta: Meta) {
///     println!("{} of {} at attempt {}", event.n, meta.id, meta.attempt);
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Meta {
    /// The message's identity, the same at each attempt.
    pub id: MessageId,
    /// The event's name.
    pub event: EventName,
    /// The version of the contract that it was produced with.
    pub version: u32,
    /// The key, as text.
    pub key: Option<String>,
    /// When it was produced.
    pub published_at: Option<SystemTime>,
    /// Where it stands in the topic's log, where there is one.
    pub position: Option<Position>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The consumer group.
    pub group: GroupName,
    /// All headers.
    pub headers: Headers,
}

impl Meta {
    pub(crate) fn of(delivery: &Delivery) -> Self {
        let message = &delivery.message;
        Self {
            id: message.id.clone(),
            event: message.topic.event().clone(),
            version: message.topic.version().get(),
            key: message
                .key
                .as_ref()
                .map(|key| String::from_utf8_lossy(key).into_owned()),
            published_at: message.published_at,
            position: message.position,
            attempt: delivery.attempt,
            group: delivery.group().clone(),
            headers: message.headers.clone(),
        }
    }

    /// Who produced it: `product/environment/producer`.
    pub fn source(&self) -> Option<&str> {
        self.headers.get(header::SOURCE)
    }

    /// The id that all messages of one conversation share.
    pub fn correlation_id(&self) -> Option<&str> {
        self.headers.get(header::CORRELATION_ID)
    }

    /// The id of the message whose handler produced this one.
    pub fn causation_id(&self) -> Option<&str> {
        self.headers.get(header::CAUSATION_ID)
    }

    /// The W3C trace context.
    pub fn traceparent(&self) -> Option<&str> {
        self.headers.get(header::TRACEPARENT)
    }
}
