//! Publishing: a batch is a pipeline, and each of its answers the outcome of a slot.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use redis::{Cmd, Pipeline, Value};
use uuid::Uuid;

use super::config::{DELAY_MAX, PAYLOAD_BYTES_MAX, PUBLISH_BYTES_MAX};
use super::declare::{self, Mode, group_missing, topic_missing};
use super::error;
use super::link::Failed;
use super::packed::Shared;
use super::provider::{Server, Topic};
use super::scripts::{self, DELAY, Lua};
use super::wire::{EntryId, size, write, write_packed};
use crate::clock;
use crate::config::RedisHeaders;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Outgoing, Route, TopicName};
use crate::provider::{PublishReceipt, PublishSlot};

/// How many arguments a command has whose headers are packed, and how many bytes beside the payload, about.
const PACKED_ARGUMENTS: usize = 8;
const PACKED_BYTES: usize = 192;

/// How many commands a pipeline has, and how many pipelines of one batch are under way at a time: while the server works on
/// one, the next is written.
const PART: usize = 256;
const UNDER_WAY_MAX: usize = 4;

/// Publishes every slot that has no outcome, and gives each one.
pub(super) async fn publish(server: &Arc<Server>, batch: &mut [PublishSlot]) {
    let Ok(_busy) = server.busy() else {
        for slot in batch {
            slot.outcome = Some(Err(error::closed()));
        }
        return;
    };
    for slot in &mut *batch {
        slot.outcome = check(&slot.message).err().map(Err);
    }
    let mut under_way = FuturesOrdered::new();
    let mut next = 0;
    loop {
        if under_way.len() < UNDER_WAY_MAX
            && let Some(part) = Part::of(server, batch, &mut next)
        {
            under_way.push_back(send(server, part));
            continue;
        }
        let Some((part, answers)) = under_way.next().await else {
            break;
        };
        if let Err(failed) = &answers {
            // What was lost is published again; what comes after it waits for that, or it would overtake.
            for slot in batch[next..].iter_mut().filter(|slot| slot.outcome.is_none()) {
                slot.outcome = Some(Err(same(failed.error())));
            }
            next = batch.len();
        }
        conclude(server, batch, part, answers).await;
    }
}

/// A part of a batch: the commands, and the slots that they are of.
struct Part {
    pipeline: Pipeline,
    /// `None` is a command that stores headers.
    slots: Vec<Option<usize>>,
    has_delayed: bool,
}

async fn send(server: &Server, part: Part) -> (Part, Result<Vec<Value>, Failed>) {
    let answers = server.link.pipe(&part.pipeline).await;
    (part, answers)
}

impl Part {
    /// The next part, from the slot `next` on.
    fn of(server: &Server, batch: &[PublishSlot], next: &mut usize) -> Option<Self> {
        let most = PART.min(batch.len() - *next);
        let mut part = Self {
            pipeline: Pipeline::with_capacity(most),
            slots: Vec::with_capacity(most),
            has_delayed: false,
        };
        let generation = server.link.generation();
        let mut writer: Option<Writer<'_>> = None;
        let mut bytes = 0;
        while let Some(slot) = batch.get(*next) {
            let (length, arguments) = size(&slot.message);
            if part.slots.len() >= PART || (bytes + length > PUBLISH_BYTES_MAX && !part.slots.is_empty()) {
                break;
            }
            *next += 1;
            if slot.outcome.is_some() {
                continue;
            }
            let writer = match &mut writer {
                Some(writer) if *writer.name == slot.message.topic => writer,
                _ => writer.insert(Writer::new(server, &slot.message.topic, generation)),
            };
            let (command, delayed) = writer.command(&slot.message, length, arguments, |store| {
                part.pipeline.add_command(store);
                part.slots.push(None);
            });
            part.pipeline.add_command(command);
            part.slots.push(Some(*next - 1));
            part.has_delayed |= delayed;
            bytes += length;
        }
        (!part.slots.is_empty()).then_some(part)
    }
}

/// Writes messages of one topic.
struct Writer<'a> {
    name: &'a TopicName,
    topic: Arc<Topic>,
    /// Where headers are packed: those in common.
    shared: Option<Arc<Shared>>,
    generation: u64,
    room: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn new(server: &Server, name: &'a TopicName, generation: u64) -> Self {
        let topic = server.topic(name);
        Self {
            name,
            shared: (server.headers == RedisHeaders::Packed).then(|| server.shared(&topic.keys)),
            topic,
            generation,
            room: Vec::new(),
        }
    }

    /// The command that publishes `message`, and whether it waits for its time; a command that must come before it goes to
    /// `first`.
    fn command(
        &mut self,
        message: &Outgoing,
        length: usize,
        arguments: usize,
        first: impl FnOnce(Cmd),
    ) -> (Cmd, bool) {
        let delay = delay(message);
        let mut command = if delay.is_zero() {
            let mut command = match &self.shared {
                None => Cmd::with_capacity(arguments, length),
                Some(_) => Cmd::with_capacity(PACKED_ARGUMENTS, message.payload.len() + PACKED_BYTES),
            };
            command.arg("XADD");
            match &message.route {
                Route::Topic => command.arg(&self.topic.keys.stream),
                Route::Group(group) => command.arg(self.topic.keys.group(group).retry),
                Route::DeadLetters(group) => command.arg(self.topic.keys.group(group).dead),
            };
            command.arg("NOMKSTREAM").arg("*");
            command
        } else {
            self.later(message, delay)
        };
        match &self.shared {
            None => write(&mut command, message),
            Some(shared) => {
                let stands = message.headers.parts().0.map(|headers| {
                    let (reference, store) = shared.stand_for(headers, self.generation);
                    if let Some(store) = store {
                        first(store);
                    }
                    reference
                });
                write_packed(&mut command, message, stands, &mut self.room);
            }
        }
        (command, !delay.is_zero())
    }

    fn later(&self, message: &Outgoing, delay: Duration) -> Cmd {
        let keys = &self.topic.keys;
        let mut command = match &message.route {
            Route::Topic => DELAY.call(&[&keys.stream, &keys.delayed]),
            Route::Group(group) => {
                let keys = keys.group(group);
                DELAY.call(&[&keys.retry, &keys.delayed])
            }
            Route::DeadLetters(group) => {
                let keys = keys.group(group);
                DELAY.call(&[&keys.dead, &keys.dead_delayed])
            }
        };
        command.arg(millis_ceil(delay)).arg(Uuid::now_v7().as_bytes());
        command
    }
}

/// Gives the slots of a part their outcomes.
async fn conclude(
    server: &Server,
    batch: &mut [PublishSlot],
    part: Part,
    answers: Result<Vec<Value>, Failed>,
) {
    let answers = match answers {
        Ok(answers) => answers,
        Err(failed) => {
            let error = failed.of_publish();
            for at in part.slots.into_iter().flatten() {
                batch[at].outcome = Some(Err(same(&error)));
            }
            return;
        }
    };
    for (at, answer) in part.slots.into_iter().zip(answers) {
        let Some(at) = at else {
            if let Value::ServerError(refused) = answer {
                tracing::error!(error = %error::answered(&refused), "headers that messages have in common can't be stored");
            }
            continue;
        };
        let slot = &mut batch[at];
        let outcome = match outcome(server, &slot.message, answer) {
            Some(outcome) => outcome,
            None => once_more(server, &slot.message).await,
        };
        slot.outcome = Some(outcome);
    }
    if part.has_delayed {
        server.delayed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// What an answer means; `None` where what is missing can be made, and the message is sent once more.
fn outcome(server: &Server, message: &Outgoing, answer: Value) -> Option<Result<PublishReceipt>> {
    let confirmed = |position| {
        Some(Ok(PublishReceipt {
            durability: server.durability,
            position,
            duplicate: false,
        }))
    };
    match answer {
        Value::BulkString(_) | Value::SimpleString(_) => match message.route {
            Route::Topic => confirmed(EntryId::of(&answer).map(EntryId::position)),
            Route::Group(_) | Route::DeadLetters(_) => confirmed(None),
        },
        Value::Int(1) => confirmed(None),
        Value::Nil | Value::Int(0) => {
            if server.declare == Mode::Create && server.is_declared(&message.topic) {
                return None;
            }
            Some(Err(missing(server, message)))
        }
        _ if scripts::is_forgotten(&answer) => None,
        Value::ServerError(refused) => Some(Err(error::answered(&refused).with("topic", &message.topic))),
        _ => Some(Err(error::odd_answer("publish").with_indeterminate())),
    }
}

fn missing(server: &Server, message: &Outgoing) -> Error {
    let topic = server.topic(&message.topic);
    match &message.route {
        Route::Topic => topic_missing(&topic.spec, &topic.keys.stream),
        Route::Group(group) | Route::DeadLetters(group) => group_missing(group, &topic.keys.stream),
    }
}

/// Makes what the server has lost, tells it the scripts, and sends a message again.
async fn once_more(server: &Server, message: &Outgoing) -> Result<PublishReceipt> {
    let topic = server.topic(&message.topic);
    if server.declare == Mode::Create && server.is_declared(&message.topic) {
        tracing::warn!(topic = %message.topic, "the server has lost a topic or a group; making it again");
        declare::restore(server, &topic.spec).await?;
    }
    let (length, arguments) = size(message);
    let mut store = None;
    let mut writer = Writer::new(server, &message.topic, server.link.generation());
    let (command, _) = writer.command(message, length, arguments, |first| store = Some(first));
    if let Some(store) = store {
        server.link.command(&store).await?;
    }
    let answer = Lua::run(&server.link, &command)
        .await
        .map_err(Error::with_indeterminate)?;
    match answer {
        Value::Nil | Value::Int(0) => Err(missing(server, message)),
        answer => outcome(server, message, answer).unwrap_or_else(|| Err(error::odd_answer("publish"))),
    }
}

/// The same error for another slot.
fn same(error: &Error) -> Error {
    let mut copy = Error::new(error.kind(), error.message()).with_temporary(error.is_temporary());
    for (name, value) in error.context() {
        copy = copy.with(name, value);
    }
    if error.is_indeterminate() {
        copy = copy.with_indeterminate();
    }
    copy
}

fn check(message: &Outgoing) -> Result<()> {
    let len = message.payload.len();
    if len > PAYLOAD_BYTES_MAX {
        let text = format!("payload of {len} bytes; this broker takes at most {PAYLOAD_BYTES_MAX}");
        return Err(Error::new(ErrorKind::PayloadTooLarge, text).with("topic", &message.topic));
    }
    message.headers.check()?;
    let delay = delay(message);
    if delay > DELAY_MAX {
        let asked = format!("delay a publish by {delay:?}");
        return Err(error::unsupported(
            &asked,
            &format!("the longest delay is {DELAY_MAX:?}"),
        ));
    }
    Ok(())
}

/// How long a message is to wait from now.
fn delay(message: &Outgoing) -> Duration {
    message.not_before.map_or(Duration::ZERO, |at| {
        at.duration_since(clock::wall()).unwrap_or_default()
    })
}

/// Whole milliseconds, never fewer than asked.
pub(super) fn millis_ceil(delay: Duration) -> u64 {
    u64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
