//! How messages are given to their groups again, and what came of it.

use ductape_providers::MessageId;
use serde::Serialize;

/// How an event is replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayOptions {
    /// Whether a group gets it again that has handled it.
    pub force: bool,
    /// The group that gets it; all that failed at it when `None`, with `force` all that had it.
    pub group: Option<String>,
}

/// What a replay did.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ReplayReport {
    /// Whether every copy was confirmed; an error says so otherwise.
    pub success: bool,
    /// The id of the first copy.
    pub new_event_id: MessageId,
    /// The same, under the name that receipts have for it.
    pub process_id: MessageId,
    /// The copies: which group each went to.
    pub copies: Vec<ReplayedCopy>,
}

/// A copy that a replay sent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ReplayedCopy {
    /// The group.
    pub consumer_tag: String,
    /// Its id.
    pub event_id: MessageId,
}

/// How dead letters are reprocessed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReprocessOptions {
    /// Only says what would be sent back.
    pub dry_run: bool,
    /// Names the call: two calls with one token are one, and of two with different tokens each dead letter is sent back by one. A new
    /// one for each call when `None`.
    pub token: Option<String>,
}

/// What became of dead letters that were to be reprocessed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DlqReport {
    /// How many were sent back, or would be.
    pub reprocessed_count: usize,
    /// How many were not.
    pub failed_count: usize,
    /// The ids of the messages that were sent back, or would be.
    pub event_ids: Vec<String>,
    /// Why others were not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}
