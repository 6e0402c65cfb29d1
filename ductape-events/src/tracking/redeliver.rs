//! Messages given to one group anew: dead letters sent back, and copies of what the store keeps.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use ductape_providers::{GroupName, Headers, MessageId, Outgoing, Route};
use serde_json::Value;

use crate::clock;
use crate::delivery::pace::Pace;
use crate::delivery::redrive::REDRIVES_MAX;
use crate::envelope::header;
use crate::error::{BrokerError, ErrorCode, PublishOutcome};
use crate::produce;
use crate::registry::Messaging;
use crate::runtime::Ductape;
use crate::wiring::{TopicRoute, Wiring};

/// The most dead letters of the broker that are looked through.
pub(super) const LOOK_MAX: usize = 65_535;

/// A message as the store keeps it.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) message_id: String,
    pub(super) payload: Option<Bytes>,
    pub(super) key: Option<String>,
    pub(super) metadata: Value,
    /// How often it was given to the group anew, with this time.
    pub(super) redrive: u32,
}

/// What became of messages that were to be given to their group anew.
#[derive(Debug, Default)]
pub(super) struct Redelivered {
    /// The ids of those that the broker has confirmed.
    pub(super) sent: Vec<String>,
    /// Why others were not sent.
    pub(super) errors: Vec<String>,
    /// Why no more were tried.
    pub(super) stopped: Option<String>,
}

/// Whether what comes behind a message that failed so waits too.
pub(super) fn stops(error: &BrokerError) -> bool {
    error.is_temporary()
        || error.publish_outcome() == Some(PublishOutcome::Indeterminate)
        || error.code() == ErrorCode::ShuttingDown
}

/// Gives messages to `group` anew, and to no other: each as the dead letter that the broker has, which that ends; or, where it has
/// none, as a copy of what the store keeps.
pub(super) async fn redeliver(
    messaging: &Messaging<'_>,
    event: &str,
    group: &str,
    kept: Vec<Kept>,
    pace: &mut Pace,
) -> Result<Redelivered, BrokerError> {
    messaging.ready(event).await?;
    let ductape = messaging.ductape;
    let letters = ductape.dead_letters_of(event, group)?;
    let wanted: HashSet<MessageId> = kept
        .iter()
        .map(|kept| MessageId::from_text(&kept.message_id))
        .collect();
    let mut done = Redelivered::default();
    let looked = letters.reprocess_those(LOOK_MAX, |id| wanted.contains(id), pace);
    match looked.await {
        Ok(report) => done.sent.extend(report.ids.iter().map(ToString::to_string)),
        Err(error) => tracing::debug!(%event, group, %error, "the broker's dead letters can't be sent back"),
    }
    let route = ductape.context().wiring().route_by_name(event)?;
    for kept in kept {
        if done.sent.contains(&kept.message_id) {
            continue;
        }
        pace.turn(1).await;
        match copy(ductape, &route, &letters.group.name, &kept).await {
            Ok(()) => done.sent.push(kept.message_id),
            Err(error) => {
                let text = format!("{}: {error}", kept.message_id);
                done.errors.push(text.clone());
                if stops(&error) {
                    done.stopped = Some(text);
                    break;
                }
            }
        }
    }
    Ok(done)
}

async fn copy(
    ductape: &Ductape,
    route: &TopicRoute,
    group: &GroupName,
    kept: &Kept,
) -> Result<(), BrokerError> {
    if kept.redrive > REDRIVES_MAX {
        let text = format!(
            "it was given to `{group}` anew {REDRIVES_MAX} times already, and failed each time; edit it, or put it aside"
        );
        return Err(BrokerError::new(ErrorCode::ReplayRefused, text));
    }
    let mut message = outgoing(route, group, kept, ductape.context().wiring())?;
    message.id = MessageId::from_text(&kept.message_id);
    message.headers.insert(header::REDRIVE, kept.redrive.to_string());
    produce::untracked(message, route, ductape.context()).await
}

/// What the store keeps, as a message to one group with a new id.
pub(super) fn outgoing(
    route: &TopicRoute,
    group: &GroupName,
    kept: &Kept,
    wiring: &Wiring,
) -> Result<Outgoing, BrokerError> {
    let refused = |text: String| Err(BrokerError::new(ErrorCode::ReplayRefused, text));
    check_route(route)?;
    if wiring
        .recorder()
        .is_some_and(|recorder| recorder.hides(&route.topic, wiring))
    {
        return refused(format!(
            "what is sensitive of message {:?} is not kept, so that the store can't send it; only its broker could",
            kept.message_id
        ));
    }
    let Some(payload) = &kept.payload else {
        return refused(format!(
            "the payload of message {:?} was not kept; its topic's tracking keeps none",
            kept.message_id
        ));
    };
    addressed(route, group, kept, payload.clone())
}

fn check_route(route: &TopicRoute) -> Result<(), BrokerError> {
    if route.capability.route_to_group {
        return Ok(());
    }
    let text = "the topic's broker can't give a message to one group alone";
    Err(BrokerError::new(ErrorCode::Unsupported, text).with("event", route.topic.event()))
}

/// A payload in the place of what the store keeps, as a message to one group with a new id.
pub(super) fn addressed(
    route: &TopicRoute,
    group: &GroupName,
    kept: &Kept,
    payload: Bytes,
) -> Result<Outgoing, BrokerError> {
    check_route(route)?;
    let misfit = match serde_json::from_slice::<Value>(&payload) {
        Ok(value) => route.misfit(&value)?,
        Err(_) => Some("it is not JSON".to_owned()),
    };
    if let Some(misfit) = misfit {
        let text = format!(
            "message {:?} does not fit the schema that `{}` has now: {misfit}",
            kept.message_id,
            route.topic.event()
        );
        return Err(BrokerError::new(ErrorCode::PayloadInvalid, text));
    }
    let mut message = Outgoing::new(route.topic.clone(), payload);
    message.route = Route::Group(group.clone());
    message.key = kept.key.clone().map(Bytes::from);
    message.published_at = clock::wall();
    message.headers = headers(&kept.metadata);
    Ok(message)
}

/// The headers, without those that tell of earlier attempts.
fn headers(metadata: &Value) -> Headers {
    let known: HashMap<&str, &str> = metadata
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
        .filter(|(name, _)| !name.starts_with("ductape-"))
        .collect();
    known
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
