//! How messages are given to their groups again, and what came of it.

use std::collections::BTreeMap;

use ductape_providers::MessageId;
use ductape_store::tracking::EventFilter;
use serde::Serialize;

use crate::delivery::pace::Pace;
use crate::error::{BrokerError, ErrorCode};

/// How many ids a report names.
pub(super) const IDS_MAX: usize = 10_000;
/// How many errors it tells.
pub(super) const ERRORS_MAX: usize = 100;
/// The highest rate.
const RATE_MAX: u32 = 1_000_000;

/// How an event is replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayOptions {
    /// Whether a group gets it again that has not failed at it.
    pub force: bool,
    /// The group that gets it, which may be one that never had it; all that failed at it when `None`, with `force` all that had it.
    pub group: Option<String>,
}

/// Which events are replayed together, and how.
#[derive(Clone, Debug)]
pub struct ReplayRange {
    /// Which events. Its limit says how many are read at a time, and its page is to be 1. It ends at the call, at the latest.
    pub filter: EventFilter,
    /// The group that gets them; of each event all that failed at it when `None`, with `force` all that had it.
    pub group: Option<String>,
    /// Whether a group gets again what it has not failed at.
    pub force: bool,
    /// Only says what would be sent, and what would not.
    pub dry_run: bool,
    /// How many copies are sent a second, 1 to 1,000,000; 100 by default.
    pub rate: u32,
    /// At most so many events are sent again; all when `None`.
    pub at_most: Option<u64>,
    /// With `force`: names what is done, for 30 days. Of calls with one token each copy is sent by one. Without it each call sends anew.
    pub token: Option<String>,
}

impl Default for ReplayRange {
    fn default() -> Self {
        Self {
            filter: EventFilter {
                limit: 200,
                ..EventFilter::default()
            },
            group: None,
            force: false,
            dry_run: false,
            rate: 100,
            at_most: None,
            token: None,
        }
    }
}

/// What the replay of a range did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ReplayRangeReport {
    /// Whether it only says what would be done.
    pub dry_run: bool,
    /// How many copies were sent and confirmed, or would be sent.
    pub replayed_count: u64,
    /// How many an earlier replay had sent.
    pub duplicate_count: u64,
    /// How many events had no group to be sent to: none failed at them, or the one that was named did not; and with `force` those that are
    /// copies themselves.
    pub skipped_count: u64,
    /// How many copies were not sent, or would not be.
    pub failed_count: u64,
    /// How many copies were sent, or would be, by topic and group.
    pub by_group: Vec<GroupCount>,
    /// The ids of the events that were sent again, or would be, in order; the first 10,000.
    pub event_ids: Vec<String>,
    /// Why copies were not sent, or would not be; the first 100.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// Why it ended before its end; nothing behind was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

impl ReplayRangeReport {
    /// Whether nothing was looked at.
    pub(super) fn is_empty(&self) -> bool {
        self.replayed_count + self.duplicate_count + self.skipped_count + self.failed_count == 0
    }
}

/// How many, of a topic for a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct GroupCount {
    /// `broker:topic`.
    pub event: String,
    /// The group.
    pub consumer_tag: String,
    /// How many.
    pub count: u64,
}

pub(super) fn counts(of: BTreeMap<(String, String), u64>) -> Vec<GroupCount> {
    let counted = of.into_iter().map(|((event, consumer_tag), count)| GroupCount {
        event,
        consumer_tag,
        count,
    });
    counted.collect()
}

/// The pace of a rate; the broker's own when there is none.
pub(super) fn pace(rate: Option<u32>) -> Result<Pace, BrokerError> {
    match rate {
        None => Ok(Pace::unlimited()),
        Some(rate @ 1..=RATE_MAX) => Ok(Pace::of(rate)),
        Some(rate) => {
            let text = format!("a rate of {rate} messages a second was asked for; it is 1 to {RATE_MAX}");
            Err(BrokerError::new(ErrorCode::ConfigInvalid, text))
        }
    }
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
    /// Whether an earlier replay had sent it.
    pub duplicate: bool,
}

/// How dead letters are reprocessed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReprocessOptions {
    /// Only says what would be sent back.
    pub dry_run: bool,
    /// At most so many are sent back, the first recorded message first: `u64::MAX` for all. As many as the filter's limit says when `None`.
    pub at_most: Option<u64>,
    /// How many are sent back a second, 1 to 1,000,000; as fast as the broker takes them when `None`.
    pub rate: Option<u32>,
    /// Names the call in what it claims. Of two calls, with one token or with two, each dead letter is sent back by one.
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
    /// How many were sent back, or would be, by topic and group.
    pub by_group: Vec<GroupCount>,
    /// The ids of the messages that were sent back, or would be; the first 10,000.
    pub event_ids: Vec<String>,
    /// Why others were not; the first 100.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// Why it ended before its end; nothing behind was sent back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// A dead letter whose place a changed message took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct EditReport {
    /// The id of the message that failed.
    pub message_id: String,
    /// The id of the one that took its place.
    pub new_event_id: MessageId,
    /// The group that got it.
    pub consumer_tag: String,
}
