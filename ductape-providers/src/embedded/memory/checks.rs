//! What is refused, and how it is said.

use std::time::Duration;

use ductape_schema::GroupName;

use crate::capability::{Capability, Requeue};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Outgoing, Route, TopicName};
use crate::provider::Settlement;
use crate::spec::{GroupSpec, Start};

pub(super) fn unsupported(asked: &str, instead: &str) -> Error {
    let message = format!("this broker can't {asked}; {instead}");
    Error::new(ErrorKind::Unsupported, message).with("provider", "memory")
}

pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the in-memory broker is closed; open another")
}

pub(super) fn lease_lost() -> Error {
    let message = "the delivery is not this subscription's any more: it was settled, its lease ended, or it was given back";
    Error::new(ErrorKind::LeaseLost, message)
}

pub(super) fn topic_missing<'a>(topic: &TopicName, known: impl Iterator<Item = &'a TopicName>) -> Error {
    const SHOWN: usize = 10;
    let mut known: Vec<_> = known.map(ToString::to_string).collect();
    known.sort_unstable();
    let more = if known.len() > SHOWN { ", …" } else { "" };
    known.truncate(SHOWN);
    let known = match known.as_slice() {
        [] => "none".to_owned(),
        known => known.join(", ") + more,
    };
    let message = format!("no topic `{topic}`; declare it first (declared: {known})");
    Error::new(ErrorKind::TopicMissing, message)
}

pub(super) fn group_missing<'a>(
    topic: &TopicName,
    group: &GroupName,
    known: impl Iterator<Item = &'a GroupName>,
) -> Error {
    let mut known: Vec<_> = known.map(GroupName::as_str).collect();
    known.sort_unstable();
    known.truncate(10);
    let known = match known.as_slice() {
        [] => "none".to_owned(),
        known => known.join(", "),
    };
    let message = format!("no group `{group}` of topic `{topic}`; declare it first (declared: {known})");
    Error::new(ErrorKind::GroupMissing, message)
}

/// Checks what can be told without the topic.
pub(super) fn outgoing(message: &Outgoing, capability: &Capability) -> Result<()> {
    let (len, max) = (message.payload.len(), capability.payload_bytes_max);
    if len > max {
        let text = format!("payload of {len} bytes; this broker takes at most {max}");
        return Err(Error::new(ErrorKind::PayloadTooLarge, text).with("topic", &message.topic));
    }
    if !message.headers.is_empty() {
        message.headers.check()?;
    }
    if !capability.route_to_group && matches!(message.route, Route::Group(_)) {
        let error = unsupported(
            "send a message to one group alone",
            "publish it to the topic, or requeue the delivery",
        );
        return Err(error.with("topic", &message.topic));
    }
    Ok(())
}

/// Checks how long a publish by `route` is to wait.
pub(super) fn publish_delay(delay: Duration, route: &Route, capability: &Capability) -> Result<()> {
    let max = match route {
        Route::Topic => capability.publish_delay_max,
        Route::Group(_) | Route::DeadLetters(_) => capability.group_delay_max,
    };
    match max {
        None => Err(unsupported("delay a publish", "publish when the time has come")),
        Some(max) if delay > max => Err(unsupported(
            &format!("delay a publish by {delay:?}"),
            &format!("the longest delay is {max:?}"),
        )),
        Some(_) => Ok(()),
    }
}

/// Checks what a new group asks for.
pub(super) fn group(group: &GroupSpec, capability: &Capability) -> Result<()> {
    let refused = if group.ephemeral && !capability.ephemeral_groups {
        unsupported(
            "keep a group that lives as long as its subscription",
            "use a lasting group",
        )
    } else if group.start == Start::Earliest && !capability.start_earliest {
        unsupported(
            "start a group at the earliest message",
            "start it at the latest, before what it needs is published",
        )
    } else if group.once && !capability.once {
        unsupported(
            "keep the ids that a group has handled",
            "deduplicate in the consumer",
        )
    } else {
        return Ok(());
    };
    Err(refused.with("group", &group.name))
}

/// Checks that an existing group is what is asked for.
pub(super) fn group_fits(there: &GroupSpec, asked: &GroupSpec) -> Result<()> {
    let differs = [
        (
            "ordering",
            format!("{:?}", there.ordering),
            format!("{:?}", asked.ordering),
        ),
        ("once", there.once.to_string(), asked.once.to_string()),
        (
            "ephemeral",
            there.ephemeral.to_string(),
            asked.ephemeral.to_string(),
        ),
    ];
    for (what, there, wanted) in differs {
        if there != wanted {
            let message = format!(
                "group `{}` exists with {what} = {there}, not {wanted}; declare it alike, or use another name",
                asked.name
            );
            return Err(Error::new(ErrorKind::TopologyMismatch, message));
        }
    }
    Ok(())
}

/// Checks that the broker can settle so.
pub(super) fn settlement(requeue: Requeue, how: Settlement) -> Result<()> {
    match (how, requeue) {
        (Settlement::Ack | Settlement::Reject, _)
        | (Settlement::Requeue, Requeue::Immediate | Requeue::Delayed { .. }) => Ok(()),
        (Settlement::Requeue, Requeue::None) => {
            Err(unsupported("take a delivery back", "acknowledge or reject it"))
        }
        (Settlement::RequeueAfter(after), Requeue::Delayed { max, .. }) if after <= max => Ok(()),
        (Settlement::RequeueAfter(after), Requeue::Delayed { max, .. }) => Err(unsupported(
            &format!("take a delivery back after {after:?}"),
            &format!("the longest delay is {max:?}"),
        )),
        (Settlement::RequeueAfter(_), _) => Err(unsupported(
            "take a delivery back later",
            "hold it in the process until then",
        )),
    }
}
