//! The messages of a topic that all its groups share.

use std::collections::VecDeque;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::time::Instant;

use crate::headers::Headers;
use crate::message::{MessageId, Outgoing};

/// A message as it is kept.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) id: MessageId,
    pub(super) key: Option<Bytes>,
    pub(super) headers: Headers,
    pub(super) payload: Bytes,
    pub(super) published_at: SystemTime,
    /// Not delivered before.
    pub(super) due: Option<Instant>,
}

impl Stored {
    pub(super) fn new(message: &Outgoing, due: Option<Instant>) -> Self {
        Self {
            id: message.id.clone(),
            key: message.key.clone(),
            headers: message.headers.clone(),
            payload: message.payload.clone(),
            published_at: message.published_at,
            due,
        }
    }
}

/// A log whose oldest messages fall off.
#[derive(Debug, Default)]
pub(super) struct Ring {
    base: u64,
    messages: VecDeque<Stored>,
}

impl Ring {
    /// The position of the oldest message.
    pub(super) const fn base(&self) -> u64 {
        self.base
    }

    /// The position of the next message.
    pub(super) fn end(&self) -> u64 {
        self.base + self.messages.len() as u64
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn get(&self, position: u64) -> Option<&Stored> {
        let at = usize::try_from(position.checked_sub(self.base)?).ok()?;
        self.messages.get(at)
    }

    pub(super) fn push(&mut self, message: Stored) -> u64 {
        let position = self.end();
        self.messages.push_back(message);
        position
    }

    /// Drops messages before `low` until `keep` are left.
    pub(super) fn trim(&mut self, low: u64, keep: usize) {
        while self.base < low && self.messages.len() > keep {
            self.messages.pop_front();
            self.base += 1;
        }
    }

    /// The first message that was published at `time` or later, else the end.
    pub(super) fn since(&self, time: SystemTime) -> u64 {
        let at = self.messages.iter().position(|m| m.published_at >= time);
        self.base + at.unwrap_or(self.messages.len()) as u64
    }

    /// How many messages from `position` on wait for a time after `now`.
    pub(super) fn scheduled(&self, position: u64, now: Instant) -> usize {
        let skip = usize::try_from(position.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let later = |m: &&Stored| m.due.is_some_and(|due| due > now);
        self.messages.iter().skip(skip).filter(later).count()
    }
}
