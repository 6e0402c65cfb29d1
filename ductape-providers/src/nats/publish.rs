//! Publishing: a batch is sent as a whole, and its confirmations are awaited together.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_nats::{HeaderMap, Subject, header};
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::acks::{Answer, Waiting};
use super::error;
use super::link::{LinkState, within};
use super::provider::Nats;
use super::topic::Topic;
use super::wire::{self, Lines};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Outgoing, Position, Route, TopicName};
use crate::provider::{PublishReceipt, PublishSlot};

/// The most messages of one call; the server queues 10,000 a stream.
pub(super) const BATCH_MAX: usize = 4_096;
/// How many messages are sent before it is looked for their confirmations, and how many such parts wait for theirs: while
/// the server stores one part, the next is written.
const PART: usize = 256;
const PARTS_MAX: usize = 4;
/// The longest delay: what a topic's schedule may hold is not bounded by the server.
pub(super) const DELAY_MAX: Duration = Duration::from_hours(365 * 24);
/// How long a publish waits for a lost connection before it is refused.
const UP_WITHIN: Duration = Duration::from_secs(2);
/// How long a confirmation may take.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(10);
/// How long a subject without a stream is tried again while the server says that the stream is there.
const RESPONDERS_WITHIN: Duration = Duration::from_secs(2);

/// A message that is ready to be sent.
struct Ready {
    slot: usize,
    topic: Arc<Topic>,
    subject: Subject,
    lines: Lines,
    payload: Bytes,
}

pub(super) async fn publish(nats: &Nats, batch: &mut [PublishSlot]) {
    // Counted before it is asked whether the provider is closed, so that closing waits for it.
    let _under_way = nats.under_way();
    let lost_before = nats.link().now().lost;
    let mut preparing = Preparing::new(nats);
    let mut under_way = VecDeque::with_capacity(PARTS_MAX);
    let mut unanswered = Vec::new();
    for first in (0..batch.len()).step_by(PART) {
        let part = first..batch.len().min(first + PART);
        if nats.is_closed() {
            refuse(&mut batch[part], error::closed);
            continue;
        }
        if nats.link().now().lost != lost_before {
            // What was lost is published again; what comes after it waits for that, or it would overtake.
            refuse(&mut batch[part], error::down);
            continue;
        }
        let ready = preparing.ready(batch, part).await;
        under_way.extend(send(nats, batch, ready).await);
        if under_way.len() == PARTS_MAX
            && let Some(part) = under_way.pop_front()
        {
            unanswered.append(&mut conclude(nats, batch, part).await);
        }
    }
    for part in under_way {
        unanswered.append(&mut conclude(nats, batch, part).await);
    }
    if !unanswered.is_empty() {
        send_again(nats, batch, unanswered).await;
    }
}

fn refuse(slots: &mut [PublishSlot], why: impl Fn() -> Error) {
    for slot in slots {
        slot.outcome = Some(Err(why()));
    }
}

/// Sends again what no stream takes, or what came before JetStream was up: the server knows which.
#[cold]
async fn send_again(nats: &Nats, slots: &mut [PublishSlot], mut ready: Vec<Ready>) {
    let deadline = within(RESPONDERS_WITHIN);
    while let Some(first) = ready.first().map(|ready| Arc::clone(&ready.topic)) {
        let why = match nats.is_there(&first).await {
            Ok(()) if clock::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                ready = match send(nats, slots, ready).await {
                    Some(part) => conclude(nats, slots, part).await,
                    None => Vec::new(),
                };
                continue;
            }
            Ok(()) => Error::new(
                ErrorKind::Unreachable,
                "NATS has the stream, but nobody takes messages for it yet",
            )
            .with("provider", "nats"),
            Err(error) => error,
        };
        for unanswered in ready {
            slots[unanswered.slot].outcome = Some(Err(again(&why).with("topic", &unanswered.topic.name)));
        }
        return;
    }
}

/// Makes messages of one call ready, which mostly are of one topic.
struct Preparing<'a> {
    nats: &'a Nats,
    now: SystemTime,
    last: Option<(TopicName, Result<Arc<Topic>>)>,
}

impl<'a> Preparing<'a> {
    fn new(nats: &'a Nats) -> Self {
        Self {
            nats,
            now: clock::wall(),
            last: None,
        }
    }

    /// Those of a part that can be sent; the others get their outcomes.
    async fn ready(&mut self, slots: &mut [PublishSlot], part: Range<usize>) -> Vec<Ready> {
        let nats = self.nats;
        let mut ready = Vec::with_capacity(part.len());
        for at in part {
            let message = &slots[at].message;
            let checked = check(nats, message, self.now);
            if checked.is_ok()
                && self
                    .last
                    .as_ref()
                    .is_none_or(|(topic, _)| *topic != message.topic)
            {
                self.last = Some((message.topic.clone(), nats.topic(&message.topic).await));
            }
            let prepared = checked.and_then(|later| match &self.last {
                Some((_, Ok(topic))) => prepare(nats, topic, message, at, later),
                Some((_, Err(error))) => Err(again(error)),
                None => Err(Error::new(ErrorKind::Unexpected, "the topic was not looked for")),
            });
            match prepared {
                Ok(prepared) => ready.push(prepared),
                Err(error) => slots[at].outcome = Some(Err(error)),
            }
        }
        ready
    }
}

/// A message that was sent.
struct Sent {
    slot: usize,
    topic: Arc<Topic>,
    subject: Subject,
}

/// Refuses what can't be sent, before any I/O; says whether the message waits for its time.
fn check(nats: &Nats, message: &Outgoing, now: SystemTime) -> Result<Option<SystemTime>> {
    let capability = nats.capability_now();
    message
        .headers
        .check()
        .map_err(|error| error.with("topic", &message.topic))?;
    if message.payload.len() > capability.payload_bytes_max {
        return Err(too_large(
            message,
            message.payload.len(),
            capability.payload_bytes_max,
        ));
    }
    let Some(at) = message.not_before.filter(|at| *at > now) else {
        return Ok(None);
    };
    let (max, what) = match message.route {
        Route::Topic => (capability.publish_delay_max, "a message"),
        Route::Group(_) => (capability.group_delay_max, "a message to one group"),
        Route::DeadLetters(_) => (None, "a dead letter"),
    };
    let delay = at.duration_since(now).unwrap_or_default();
    match max {
        Some(max) if delay <= max => Ok(Some(at)),
        Some(max) => {
            let text = format!("{what} can wait for {max:?} at most, not for {delay:?}");
            Err(Error::new(ErrorKind::Unsupported, text).with("topic", &message.topic))
        }
        None => {
            let text = format!("{what} can't wait for its time here; NATS has schedules from 2.12 on");
            Err(Error::new(ErrorKind::Unsupported, text).with("topic", &message.topic))
        }
    }
}

fn too_large(message: &Outgoing, len: usize, max: usize) -> Error {
    let text = format!("the payload has {len} bytes; at most {max} are allowed");
    Error::new(ErrorKind::PayloadTooLarge, text).with("topic", &message.topic)
}

fn prepare(
    nats: &Nats,
    topic: &Arc<Topic>,
    message: &Outgoing,
    slot: usize,
    later: Option<SystemTime>,
) -> Result<Ready> {
    let mut lines = Lines::of(message);
    let (subject, group) = match &message.route {
        Route::Topic => {
            // Not for the other routes: a copy, or a second dead letter of one message, is meant.
            lines.put(header::NATS_MESSAGE_ID, wire::id_in(&topic.subject, &message.id));
            (topic.subject.clone(), None)
        }
        Route::Group(group) => (topic.names.of_group(group).into(), Some(group)),
        Route::DeadLetters(group) => (topic.names.dead(group).into(), None),
    };
    let subject = match later {
        Some(at) => {
            lines.put(header::NATS_SCHEDULE, wire::at(at));
            lines.put(header::NATS_SCHEDULE_TARGET, subject.to_string());
            topic.names.later(group, &message.id).into()
        }
        None => subject,
    };
    let max = nats.max_payload();
    if lines.len + message.payload.len() > max {
        let text = format!(
            "the message has {} bytes of headers and {} of payload; the server takes {max} together (`max_payload`)",
            lines.len,
            message.payload.len()
        );
        return Err(Error::new(ErrorKind::PayloadTooLarge, text).with("topic", &message.topic));
    }
    Ok(Ready {
        slot,
        topic: Arc::clone(topic),
        subject,
        lines,
        payload: message.payload.clone(),
    })
}

/// A part of a call that waits for its confirmations.
struct Part<'a> {
    waiting: Waiting<'a>,
    deadline: Instant,
    sent: Vec<Sent>,
    link: watch::Receiver<LinkState>,
    before: LinkState,
}

/// Sends what is ready. `None` where there is nothing, or nothing could be sent and the slots say why.
async fn send<'a>(nats: &'a Nats, slots: &mut [PublishSlot], ready: Vec<Ready>) -> Option<Part<'a>> {
    if ready.is_empty() {
        return None;
    }
    if !nats.link().up_within(UP_WITHIN).await {
        let over = nats.link().now().over;
        for ready in ready {
            let why = if over {
                error::gone(nats.client())
            } else {
                error::down()
            };
            slots[ready.slot].outcome = Some(Err(why.with("topic", &ready.topic.name)));
        }
        return None;
    }
    let waiting = nats.acks().wait_for(ready.len());
    let deadline = within(CONFIRMED_WITHIN);
    let mut link = nats.link().watch();
    let before = *link.borrow_and_update();
    let mut sent = Vec::with_capacity(ready.len());
    let mut stuck = false;
    for (at, ready) in ready.into_iter().enumerate() {
        let subject = ready.subject.clone();
        sent.push(Sent {
            slot: ready.slot,
            topic: ready.topic,
            subject: ready.subject,
        });
        if stuck {
            continue;
        }
        // On the fast path the map is not kept: nobody answering is rare, and it is written again then.
        let (headers, payload) = (ready.lines.map, ready.payload);
        let publish =
            nats.client()
                .publish_with_reply_and_headers(subject, waiting.reply(at), headers, payload);
        if !matches!(timeout_at(deadline, publish).await, Ok(Ok(()))) {
            stuck = true;
        }
    }
    if stuck {
        waiting.batch.lose();
    }
    Some(Part {
        waiting,
        deadline,
        sent,
        link,
        before,
    })
}

/// Waits for the confirmations of a part and fills its slots; gives those back that nobody answered for.
async fn conclude(nats: &Nats, slots: &mut [PublishSlot], part: Part<'_>) -> Vec<Ready> {
    let Part {
        waiting,
        deadline,
        sent,
        link,
        before,
    } = part;
    answered(nats, &waiting, deadline, &sent, link, before).await;
    let mut unanswered = Vec::new();
    for (Sent { slot, topic, subject }, answer) in sent.iter().zip(waiting.batch.take()) {
        let message = &slots[*slot].message;
        let outcome = match answer {
            Some(Answer::NoResponders) => {
                let later = message.not_before.filter(|at| *at > clock::wall());
                match prepare(nats, topic, message, *slot, later) {
                    Ok(again) => {
                        unanswered.push(again);
                        continue;
                    }
                    Err(error) => Err(error),
                }
            }
            answer => outcome(nats, topic, message, subject, answer),
        };
        slots[*slot].outcome = Some(outcome.map_err(|error| error.with("topic", &topic.name)));
    }
    for Sent { subject, .. } in sent {
        nats.link().forget_denied(&subject);
    }
    unanswered
}

fn outcome(
    nats: &Nats,
    topic: &Topic,
    message: &Outgoing,
    subject: &Subject,
    answer: Option<Answer>,
) -> Result<PublishReceipt> {
    match answer {
        Some(Answer::Stored { sequence, duplicate }) => Ok(PublishReceipt {
            durability: topic.durability,
            position: Some(Position(sequence))
                .filter(|_| matches!(message.route, Route::Topic) && *subject == topic.subject),
            duplicate,
        }),
        Some(Answer::Refused {
            code,
            status,
            description,
        }) => Err(error::answered(code, status, &description)),
        Some(Answer::Unreadable(why)) => Err(Error::new(
            ErrorKind::Unexpected,
            "NATS confirmed a message in a way that can't be read",
        )
        .with_source(why)
        .with_indeterminate()),
        Some(Answer::NoResponders | Answer::Lost) | None if nats.link().is_denied(subject) => {
            Err(error::denied(subject))
        }
        Some(Answer::NoResponders | Answer::Lost) if nats.link().now().over => {
            Err(error::gone(nats.client()).with_indeterminate())
        }
        Some(Answer::NoResponders | Answer::Lost) => Err(error::cut()),
        None => Err(Error::new(
            ErrorKind::Timeout,
            format!("NATS did not confirm the message within {CONFIRMED_WITHIN:?}"),
        )
        .with("provider", "nats")
        .with_indeterminate()),
    }
}

/// Waits until all are confirmed, until `deadline`, or until the connection is lost or a subject is forbidden.
async fn answered(
    nats: &Nats,
    waiting: &Waiting<'_>,
    deadline: Instant,
    kept: &[Sent],
    mut link: watch::Receiver<LinkState>,
    before: LinkState,
) {
    loop {
        tokio::select! {
            biased;
            () = waiting.batch.complete() => return,
            changed = link.changed() => {
                let now = *link.borrow_and_update();
                if changed.is_err() || now.over || now.lost != before.lost {
                    waiting.batch.lose();
                } else if now.denied != before.denied {
                    for (at, kept) in kept.iter().enumerate() {
                        if nats.link().is_denied(&kept.subject) {
                            waiting.batch.set(at, Answer::Lost);
                        }
                    }
                }
            }
            () = tokio::time::sleep_until(deadline) => return,
        }
    }
}

/// The same error once more, for another slot of the batch.
fn again(error: &Error) -> Error {
    let again = Error::new(error.kind(), error.message()).with_temporary(error.is_temporary());
    error
        .context()
        .filter(|(name, _)| *name != "topic")
        .fold(again, |again, (name, value)| again.with(name, value))
}

/// The mark that a topic was declared, as its message has it.
pub(super) fn mark(name: &TopicName) -> (HeaderMap, Bytes) {
    let payload = serde_json::json!({"topic": name.event().to_string(), "version": name.version()});
    let mut headers = HeaderMap::new();
    headers.insert(header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
    (headers, Bytes::from(payload.to_string()))
}
