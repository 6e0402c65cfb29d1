//! Dead letters.

use std::time::SystemTime;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::tracking::serial::{payload, rfc3339};
use crate::tracking::status::DeadLetterState;

answers! {
    /// A message that a consumer failed at for good, and that is kept for it.
    DeadLetter {
        /// Names it among all dead letters of the store: a message may be one of several consumers.
        id: String,
        /// The message's id.
        message_id: String,
        /// `broker:topic`.
        event: String,
        /// The message as the consumer got it; JSON when written as JSON, if it is.
        #[serde(serialize_with = "payload")]
        original_message: Option<Bytes>,
        /// The key that keeps order.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The headers that the consumer got.
        metadata: Value,
        /// Why it failed last.
        error: String,
        /// When it failed last.
        #[serde(serialize_with = "rfc3339")]
        failed_at: SystemTime,
        /// How often it was tried again.
        retry_count: u32,
        /// The group.
        consumer_tag: String,
        /// Whether it can be given to its group anew: it is open, or who reprocessed it was lost.
        can_retry: bool,
        /// In which state it is.
        state: DeadLetterState,
        /// What its failure has in common with others: the same for one broker, topic, group and error, apart from numbers and ids.
        fingerprint: String,
        /// How often it was given to the group anew before.
        redrive_count: u32,
        /// The id of the message that took its place.
        #[serde(skip_serializing_if = "Option::is_none")]
        superseded_by: Option<String>,
    }

    /// A page of dead letters.
    DeadLetterPage {
        /// The dead letters, newest first.
        dead_letters: Vec<DeadLetter>,
        /// How many there are on all pages.
        total: u64,
        /// Which page it is, from 1.
        page: u32,
        /// How many a page has.
        limit: u32,
        /// Whether there is a later page that is not empty.
        has_more: bool,
        /// To be handed in for the other pages, so that they fit to this one.
        snapshot: String,
    }

    /// Dead letters that failed in the same way.
    DeadLetterGroup {
        /// What they have in common.
        fingerprint: String,
        /// The topic's tag, without the broker.
        topic_tag: String,
        /// The group.
        consumer_tag: String,
        /// The error of the newest.
        error: String,
        /// How many there are.
        count: u64,
        /// When the first failed.
        #[serde(serialize_with = "rfc3339")]
        first_failed_at: SystemTime,
        /// When the last failed.
        #[serde(serialize_with = "rfc3339")]
        last_failed_at: SystemTime,
    }
}
