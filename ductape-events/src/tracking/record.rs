//! What happened, as the path of a message tells it: what is there already is shared, and made into a record of the store later.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ductape_providers::{GroupName, Headers, Incoming, MessageId, Outgoing};
use ductape_store::tracking::{self, Original, Outcome, Record, TopicPlace};
use serde_json::{Map, Value, json};

use super::mask::Mask;
use super::policy::Tracking;
use crate::clock;
use crate::envelope::header;
use crate::produce;
use crate::stats::AttemptResult;

/// A topic whose messages are recorded.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) place: Arc<TopicPlace>,
    pub(super) tracking: Tracking,
    /// What is hidden of the payloads.
    pub(super) mask: Option<Mask>,
}

impl Tracked {
    /// A payload as it is kept.
    fn kept(&self, payload: Bytes) -> Bytes {
        match &self.mask {
            Some(mask) => mask.hide(&payload),
            None => payload,
        }
    }
}

/// One thing that happened to a message.
#[derive(Debug)]
pub(super) enum Happened {
    /// Perhaps under an idempotency key.
    Produced(Arc<Tracked>, Outgoing, Option<Box<str>>),
    Attempted(Attempted),
    /// It could not be given to a group anew.
    NotGiven(Box<tracking::Attempted>),
}

/// A consumer had a message once.
#[derive(Debug)]
pub(super) struct Attempted {
    tracked: Arc<Tracked>,
    group: GroupName,
    id: MessageId,
    redrive: u32,
    attempt: u32,
    outcome: Outcome,
    ended_at: SystemTime,
    elapsed: Duration,
    produced_at: Option<SystemTime>,
    follow_up: Option<&'static str>,
    original: Option<Box<(Bytes, Option<Bytes>, Headers)>>,
}

impl Attempted {
    pub(super) fn new(
        tracked: Arc<Tracked>,
        group: &GroupName,
        message: &Incoming,
        attempt: u32,
        result: AttemptResult<'_>,
        elapsed: Duration,
    ) -> Self {
        let ended_at = clock::wall();
        let outcome = match result {
            AttemptResult::Handled => Outcome::Success,
            AttemptResult::Duplicate => Outcome::Duplicate,
            AttemptResult::Retried(wait, failure) => Outcome::Retrying {
                error: failure.reason.clone(),
                next_at: ended_at.checked_add(wait).unwrap_or(ended_at),
            },
            AttemptResult::DeadLettered(failure) => Outcome::DeadLettered {
                error: failure.reason.clone(),
            },
        };
        let is_dead = matches!(outcome, Outcome::DeadLettered { .. });
        let redrive = message.headers.get(header::REDRIVE);
        Self {
            tracked,
            group: group.clone(),
            id: message.id.clone(),
            redrive: redrive.and_then(|text| text.parse().ok()).unwrap_or(0),
            attempt,
            outcome,
            ended_at,
            elapsed,
            produced_at: message.published_at,
            follow_up: None,
            original: is_dead.then(|| {
                Box::new((
                    message.payload.clone(),
                    message.key.clone(),
                    message.headers.clone(),
                ))
            }),
        }
    }
}

impl Attempted {
    /// The same, and the event that was produced for its handler.
    pub(super) fn followed_up_by(self, follow_up: Option<&'static str>) -> Self {
        Self { follow_up, ..self }
    }
}

impl Happened {
    pub(super) fn place(&self) -> &Arc<TopicPlace> {
        match self {
            Self::Produced(tracked, ..) => &tracked.place,
            Self::Attempted(attempted) => &attempted.tracked.place,
            Self::NotGiven(attempted) => &attempted.topic,
        }
    }

    /// Whether it tells of something that went wrong.
    pub(super) fn is_failure(&self) -> bool {
        match self {
            Self::Produced(..) => false,
            Self::NotGiven(_) => true,
            Self::Attempted(attempted) => !matches!(attempted.outcome, Outcome::Success | Outcome::Duplicate),
        }
    }

    /// The record of the store. `groups` are those that are to have what was produced.
    pub(super) fn into_record(
        self,
        producer: &Arc<str>,
        groups: impl Fn(&Outgoing) -> Arc<[Arc<str>]>,
    ) -> Record {
        match self {
            Self::Produced(tracked, message, key) => {
                let id = message.id.to_string();
                Record::Produced(Box::new(tracking::Produced {
                    topic: Arc::clone(&tracked.place),
                    producer_tag: Arc::clone(producer),
                    produced_at: message.published_at,
                    groups: groups(&message),
                    key: message.key.as_deref().map(text),
                    idempotency_key: key.map(String::from),
                    metadata: Some(metadata(&message.headers)),
                    process_id: Some(id.clone()),
                    session_tag: session_tag(&message.headers),
                    replay_of: message.headers.get(header::REPLAYED_FROM).map(str::to_owned),
                    payload: tracked.tracking.payloads.then(|| tracked.kept(message.payload)),
                    message_id: id,
                }))
            }
            Self::NotGiven(attempted) => Record::Attempted(attempted),
            Self::Attempted(attempted) => {
                let Attempted {
                    tracked,
                    group,
                    id,
                    redrive,
                    attempt,
                    outcome,
                    ended_at,
                    elapsed,
                    produced_at,
                    follow_up,
                    original,
                } = attempted;
                let message_id = id.to_string();
                Record::Attempted(Box::new(tracking::Attempted {
                    topic: Arc::clone(&tracked.place),
                    response_data: follow_up.map(|event| {
                        let id = produce::follow_up_id(&message_id, group.as_str(), event);
                        json!({ "event": event, "messageId": id.to_string() }).to_string()
                    }),
                    message_id,
                    consumer_tag: group.as_str().into(),
                    redrive,
                    attempt,
                    outcome,
                    started_at: ended_at.checked_sub(elapsed).unwrap_or(ended_at),
                    elapsed,
                    produced_at,
                    original: original
                        .map(|original| *original)
                        .map(|(payload, key, headers)| Original {
                            payload: tracked.kept(payload),
                            key: key.as_deref().map(text),
                            metadata: Some(metadata(&headers)),
                        }),
                }))
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The headers as a JSON object, without what travels for this crate alone.
fn metadata(headers: &Headers) -> String {
    let told = headers.iter().filter(|(name, _)| *name != header::SESSION);
    let object: Map<String, Value> = told
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect();
    Value::Object(object).to_string()
}

fn session_tag(headers: &Headers) -> Option<String> {
    let session: Value = serde_json::from_str(headers.get(header::SESSION)?).ok()?;
    session.get("tag")?.as_str().map(str::to_owned)
}
