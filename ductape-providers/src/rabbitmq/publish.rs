//! Publishing: which message goes by which way, and what its confirmation means.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lapin::message::BasicReturnMessage;
use lapin::types::ShortString;

use super::channels::Confirming;
use super::config::{DELAY_MAX, PAYLOAD_BYTES_MAX};
use super::error;
use super::hold::{self, Home, Step};
use super::names::{Topic, group_missing, topic_missing};
use super::provider::Server;
use super::sent::{Fate, Letter, Outbox, send};
use super::wire::{Extra, properties};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Outgoing, Route};
use crate::provider::{Durability, PublishReceipt, PublishSlot};

/// Publishes every slot.
pub(super) async fn publish(server: &Arc<Server>, batch: &mut [PublishSlot]) {
    let Ok(_busy) = server.busy() else {
        for slot in batch {
            slot.outcome = Some(Err(error::closed()));
        }
        return;
    };
    let mut ways = Vec::with_capacity(batch.len());
    let mut alone = false;
    let mut last: Option<Arc<Topic>> = None;
    for slot in &mut *batch {
        match way(server, &slot.message, 0, &mut last).await {
            Ok(way) => {
                alone |= way.alone;
                slot.outcome = None;
                ways.push(Some(way));
            }
            Err(error) => {
                slot.outcome = Some(Err(error));
                ways.push(None);
            }
        }
    }
    send_shared(server, &mut ways, batch).await;
    if alone {
        send_alone(server, &mut ways, batch).await;
    }
}

/// Sends copies of messages to their group, which were delivered so many times; each outcome is put into its place.
pub(super) async fn publish_copies(
    server: &Arc<Server>,
    copies: Vec<(Outgoing, u32)>,
) -> Vec<Result<PublishReceipt>> {
    let (mut slots, mut ways) = (Vec::with_capacity(copies.len()), Vec::with_capacity(copies.len()));
    let busy = server.busy();
    let mut last = None;
    for (message, deliveries) in copies {
        let mut slot = PublishSlot::new(message);
        let way = match &busy {
            Ok(_) => way(server, &slot.message, deliveries, &mut last).await,
            Err(_) => Err(error::closed()),
        };
        match way {
            Ok(way) => ways.push(Some(way)),
            Err(error) => {
                slot.outcome = Some(Err(error));
                ways.push(None);
            }
        }
        slots.push(slot);
    }
    send_alone(server, &mut ways, &mut slots).await;
    let unfilled = || Err(Error::new(ErrorKind::Unexpected, "a copy was not sent"));
    slots
        .into_iter()
        .map(|slot| slot.outcome.unwrap_or_else(unfilled))
        .collect()
}

/// How a message goes.
#[derive(Debug)]
struct Way {
    topic: Arc<Topic>,
    /// By a channel on which nothing else is under way, so that what is given back is surely told.
    alone: bool,
    exchange: ShortString,
    routing_key: ShortString,
    mandatory: bool,
    waits: bool,
    deliveries: u32,
    not_before: Option<SystemTime>,
}

impl Way {
    fn letter(self, at: usize, message: &Outgoing) -> Letter {
        let extra = Extra {
            deliveries: self.deliveries,
            not_before: self.not_before,
            topic: self.topic.shared.then_some(self.topic.physical.as_str()),
        };
        Letter {
            at,
            exchange: self.exchange,
            routing_key: self.routing_key,
            mandatory: self.mandatory,
            properties: properties(message, &extra),
            payload: message.payload.clone(),
        }
    }
}

/// What is wrong with a message whatever the server thinks of it.
fn check(message: &Outgoing) -> Result<()> {
    message.headers.check()?;
    if message.payload.len() > PAYLOAD_BYTES_MAX {
        let text = format!(
            "the payload has {} bytes; RabbitMQ takes at most {PAYLOAD_BYTES_MAX}",
            message.payload.len()
        );
        return Err(Error::new(ErrorKind::PayloadTooLarge, text).with("topic", &message.topic));
    }
    Ok(())
}

/// How long the message is to wait.
fn wait(server: &Server, message: &Outgoing) -> Result<Duration> {
    let Some(until) = message.not_before else {
        return Ok(Duration::ZERO);
    };
    let wait = until.duration_since(clock::wall()).unwrap_or_default();
    if wait > DELAY_MAX || (!wait.is_zero() && server.capability.group_delay_max.is_none()) {
        let text = match server.capability.group_delay_max {
            Some(max) => format!("a delay of {wait:?}; at most {max:?} are kept"),
            None => {
                "delays need queues that are made when they are used; set `declare` to `create`".to_owned()
            }
        };
        return Err(Error::new(ErrorKind::Unsupported, text).with("topic", &message.topic));
    }
    Ok(wait)
}

async fn way(
    server: &Server,
    message: &Outgoing,
    deliveries: u32,
    last: &mut Option<Arc<Topic>>,
) -> Result<Way> {
    check(message)?;
    let wait = wait(server, message)?;
    let topic = match last {
        Some(topic) if topic.spec.topic == message.topic => Arc::clone(topic),
        _ => Arc::clone(last.insert(server.topic(&message.topic)?)),
    };
    let mut way = match &message.route {
        Route::Topic => {
            if !topic.is_seen() {
                see(server, &topic).await?;
            }
            Way {
                alone: !topic.declared,
                exchange: topic.exchange.clone(),
                routing_key: topic.routing_key.clone(),
                // Where nobody is to read it yet there is nobody to miss it.
                mandatory: !topic.declared || topic.spec.groups.iter().any(|group| !group.ephemeral),
                waits: false,
                deliveries,
                not_before: None,
                topic,
            }
        }
        Route::Group(group) | Route::DeadLetters(group) => {
            let queues = server.queues(&topic, group, None)?;
            let is_dead = matches!(message.route, Route::DeadLetters(_));
            Way {
                alone: true,
                exchange: ShortString::default(),
                routing_key: if is_dead { queues.dead } else { queues.queue },
                mandatory: true,
                waits: false,
                deliveries,
                not_before: None,
                topic,
            }
        }
    };
    if !wait.is_zero() {
        way_by_hold(server, message, wait, &mut way).await?;
    }
    Ok(way)
}

/// Asks whether the topic's exchange is there: a publish to one that is not would end the channel, with all that is under
/// way on it.
async fn see(server: &Server, topic: &Topic) -> Result<()> {
    let open = server.publishing.get().await?;
    if !open.has_exchange(&topic.exchange).await? {
        return Err(topic_missing(&topic.spec.topic).with("exchange", &topic.exchange));
    }
    server.see(topic);
    Ok(())
}

async fn way_by_hold(server: &Server, message: &Outgoing, wait: Duration, way: &mut Way) -> Result<()> {
    let step = Step::of(wait);
    let (prefix, ephemeral) = match &message.route {
        Route::Topic if !way.topic.declared => return Err(topic_missing(&message.topic)),
        Route::Topic => (way.topic.physical.as_str(), false),
        Route::Group(group) | Route::DeadLetters(group) => (
            way.routing_key.as_str(),
            server.is_ephemeral(&message.topic, group),
        ),
    };
    let home = Home {
        prefix,
        exchange: &way.exchange,
        routing_key: &way.routing_key,
        ephemeral,
    };
    let link = if ephemeral {
        &server.consuming
    } else {
        &server.publishing
    };
    let open = link.get().await?;
    let queue = server.holds.queue(&open, &home, step).await?;
    way.alone = true;
    way.mandatory = true;
    way.waits = true;
    way.not_before = message.not_before.filter(|_| !step.last);
    way.exchange = ShortString::default();
    way.routing_key = queue;
    Ok(())
}

const TAKEN: PublishReceipt = PublishReceipt {
    durability: Durability::BrokerDisk,
    position: None,
    duplicate: false,
};

/// Sends what goes by the channel that all share.
async fn send_shared(server: &Server, ways: &mut [Option<Way>], batch: &mut [PublishSlot]) {
    if !ways.iter().flatten().any(|way| !way.alone) {
        return;
    }
    let channel = server.channels.shared(&server.publishing).await;
    let channel = match channel.and_then(|channel| ready(&channel).map(|()| channel)) {
        Ok(channel) => channel,
        Err(error) => return fail(ways, batch, false, &error),
    };
    let mut slots = Slots {
        ways,
        batch,
        next: 0,
        ended: false,
    };
    send(&channel, None, &mut slots).await;
    if slots.ended {
        server.unsee();
    }
}

/// Sends what goes by a channel of its own.
async fn send_alone(server: &Server, ways: &mut [Option<Way>], batch: &mut [PublishSlot]) {
    if !ways.iter().flatten().any(|way| way.alone) {
        return;
    }
    let alone = server.channels.alone(&server.publishing).await;
    let alone = match alone.and_then(|alone| ready(alone.channel()).map(|()| alone)) {
        Ok(alone) => alone,
        Err(error) => return fail(ways, batch, true, &error),
    };
    let channel = Arc::clone(alone.channel());
    let mut sent = SentAlone {
        ways,
        batch,
        next: 0,
        addresses: Vec::new(),
        returned: HashSet::new(),
    };
    send(&channel, Some(alone), &mut sent).await;
    sent.finish(server);
}

/// Whether the server takes publishes on this channel now.
fn ready(channel: &Confirming) -> Result<()> {
    match channel.open.blocked() {
        Some(reason) => Err(error::blocked(&reason)),
        None => Ok(()),
    }
}

/// Nothing was sent.
fn fail(ways: &mut [Option<Way>], batch: &mut [PublishSlot], alone: bool, error: &Error) {
    for (way, slot) in ways.iter_mut().zip(batch) {
        if way.take_if(|way| way.alone == alone).is_some() {
            let again = Error::new(error.kind(), error.to_string()).with_temporary(error.is_temporary());
            slot.outcome = Some(Err(again));
        }
    }
}

/// The next way of this sort, with its place.
fn next_way(ways: &mut [Option<Way>], next: &mut usize, alone: bool) -> Option<(usize, Way)> {
    while let Some(way) = ways.get_mut(*next) {
        *next += 1;
        if let Some(way) = way.take_if(|way| way.alone == alone) {
            return Some((*next - 1, way));
        }
    }
    None
}

/// The slots of a batch that go by the shared channel.
struct Slots<'a> {
    ways: &'a mut [Option<Way>],
    batch: &'a mut [PublishSlot],
    next: usize,
    /// Whether the channel ended meanwhile: an exchange may be gone.
    ended: bool,
}

impl Outbox for Slots<'_> {
    fn next(&mut self) -> Option<Letter> {
        let (at, way) = next_way(self.ways, &mut self.next, false)?;
        Some(way.letter(at, &self.batch[at].message))
    }

    fn conclude(&mut self, at: usize, fate: Fate) {
        let slot = &mut self.batch[at];
        slot.outcome = Some(match fate {
            Fate::Taken => Ok(TAKEN),
            Fate::Returned(returned) if is_of(&returned, &slot.message) => Err(unread(&slot.message)),
            Fate::Returned(returned) => {
                // The client gave it to the wrong confirmation; whose it was can't be told any more.
                tracing::error!(
                    routing_key = ?returned.routing_key, exchange = ?returned.exchange,
                    "a message was published that no queue takes: the queues of its topic's groups were deleted"
                );
                Ok(TAKEN)
            }
            Fate::Failed(error) => {
                self.ended |= matches!(error.kind(), ErrorKind::TopicMissing | ErrorKind::Unreachable);
                Err(error)
            }
        });
    }
}

fn is_of(returned: &BasicReturnMessage, message: &Outgoing) -> bool {
    let id = returned.properties.message_id().as_ref();
    id.is_some_and(|id| id.as_str() == message.id.to_string())
}

/// The error of a message to a topic whose groups' queues are gone.
fn unread(message: &Outgoing) -> Error {
    let text =
        "no queue takes the message: the queues of the topic's groups were deleted; declare them again";
    Error::new(ErrorKind::TopologyMismatch, text).with("topic", &message.topic)
}

/// What tells one message from another where it comes back: its id, and where it went.
type Address = (Option<ShortString>, ShortString, ShortString);

/// The slots of a batch that go by a channel of their own: which of them came back is known when all are confirmed.
struct SentAlone<'a> {
    ways: &'a mut [Option<Way>],
    batch: &'a mut [PublishSlot],
    next: usize,
    addresses: Vec<(usize, Address, bool)>,
    returned: HashSet<Address>,
}

impl Outbox for SentAlone<'_> {
    fn next(&mut self) -> Option<Letter> {
        let (at, way) = next_way(self.ways, &mut self.next, true)?;
        let waits = way.waits;
        let letter = way.letter(at, &self.batch[at].message);
        let id = letter.properties.message_id().clone();
        let address = (id, letter.exchange.clone(), letter.routing_key.clone());
        self.addresses.push((at, address, waits));
        Some(letter)
    }

    fn conclude(&mut self, at: usize, fate: Fate) {
        match fate {
            Fate::Taken => {}
            Fate::Returned(returned) => {
                let id = returned.properties.message_id().clone();
                self.returned
                    .insert((id, returned.exchange.clone(), returned.routing_key.clone()));
            }
            Fate::Failed(error) => self.batch[at].outcome = Some(Err(error)),
        }
    }
}

impl SentAlone<'_> {
    fn finish(self, server: &Server) {
        for (at, address, waits) in self.addresses {
            let slot = &mut self.batch[at];
            if slot.outcome.is_some() {
                continue;
            }
            slot.outcome = Some(if self.returned.contains(&address) {
                if waits {
                    server.holds.forget(&address.2);
                }
                Err(returned(&slot.message, &address.2, waits))
            } else {
                Ok(TAKEN)
            });
        }
    }
}

/// The error of a message that came back.
fn returned(message: &Outgoing, routing_key: &ShortString, waits: bool) -> Error {
    if waits {
        return hold::gone(routing_key);
    }
    match &message.route {
        Route::Topic => topic_missing(&message.topic),
        Route::Group(group) | Route::DeadLetters(group) => {
            group_missing(&message.topic, group).with("queue", routing_key)
        }
    }
}
