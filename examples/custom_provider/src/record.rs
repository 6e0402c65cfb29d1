//! What a line of a journal says. The state of a topic is what its lines say, one after the other: the same code reads them
//! from the file and takes them when they have just been written, so that a restart finds what was there.

use std::num::NonZeroU32;

use ductape_providers::message::Position;
use ductape_providers::{Bytes, Incoming, MessageId, Outgoing, Route, TopicName, clock};
use serde::{Deserialize, Serialize};

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    /// The first line of a file: whose it is.
    Topic { event: String, version: NonZeroU32 },
    /// A group exists from here on.
    Group { name: String, earliest: bool },
    /// A message was published. Its position is how many came before it.
    Message(Box<Written>),
    /// Messages that never come to this queue again.
    Settled { queue: QueueName, positions: Vec<u64> },
    /// A group was set to a position.
    Sought { group: String, position: u64 },
}

/// A group's messages, or its dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct QueueName {
    pub(crate) group: String,
    pub(crate) dead: bool,
}

/// A message as it is written down.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Written {
    id: String,
    /// The one queue that it is for; all groups of the topic where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) only: Option<QueueName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Blob>,
    headers: Vec<(String, String)>,
    payload: Blob,
    /// Milliseconds since 1970.
    pub(crate) published_at: u64,
}

/// Bytes, written as text where they are text.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Blob {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<&Bytes> for Blob {
    fn from(bytes: &Bytes) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes(bytes.to_vec()),
        }
    }
}

impl From<Blob> for Bytes {
    fn from(blob: Blob) -> Self {
        match blob {
            Blob::Text(text) => text.into(),
            Blob::Bytes(bytes) => bytes.into(),
        }
    }
}

impl From<&Outgoing> for Written {
    fn from(message: &Outgoing) -> Self {
        let queue = |group: &ductape_providers::GroupName, dead| QueueName {
            group: group.as_str().to_owned(),
            dead,
        };
        Self {
            id: message.id.to_string(),
            only: match &message.route {
                Route::Topic => None,
                Route::Group(group) => Some(queue(group, false)),
                Route::DeadLetters(group) => Some(queue(group, true)),
            },
            key: message.key.as_ref().map(Blob::from),
            headers: message
                .headers
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            payload: Blob::from(&message.payload),
            published_at: clock::to_millis(message.published_at),
        }
    }
}

impl Written {
    /// The message as it is delivered. Nothing that was published with it is lost on the way, and nothing is added.
    pub(crate) fn into_incoming(self, topic: &TopicName, position: u64) -> Incoming {
        Incoming {
            topic: topic.clone(),
            id: MessageId::from_text(&self.id),
            key: self.key.map(Bytes::from),
            headers: self.headers.into_iter().collect(),
            payload: self.payload.into(),
            published_at: Some(clock::from_millis(self.published_at)),
            position: Some(Position(position)),
            // The journal does not write down what it delivers, so a count would begin anew with each process.
            delivery_count: None,
        }
    }
}
