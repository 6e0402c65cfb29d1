//! Messages under way to the server: handed over in order, many at a time, and confirmed one after the other.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use lapin::message::BasicReturnMessage;
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::time::{Instant, timeout_at};

use super::channels::{Alone, Confirming};
use super::config::{CONFIRM_TIMEOUT, PUBLISH_BATCH_MAX, PUBLISH_BYTES_MAX};
use super::error;
use crate::clock;
use crate::error::{Error, ErrorKind};

/// A message to send.
#[derive(Debug)]
pub(super) struct Letter {
    /// Which of its batch it is.
    pub(super) at: usize,
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    /// Whether the server gives it back when no queue takes it.
    pub(super) mandatory: bool,
    pub(super) properties: BasicProperties,
    pub(super) payload: Bytes,
}

/// What became of a letter.
#[derive(Debug)]
pub(super) enum Fate {
    /// The server has it.
    Taken,
    /// The server has it, and gave one back: this one, or another of the same channel.
    Returned(Box<BasicReturnMessage>),
    /// It is not known to be taken, for this reason.
    Failed(Error),
}

/// What is known of a letter that is under way.
struct Envelope {
    at: usize,
    exchange: ShortString,
    size: usize,
    late: Instant,
}

type Sending = BoxFuture<'static, lapin::Result<Confirmation>>;

/// What is under way. What is left of it when it is dropped is awaited all the same: the client keeps what nobody awaits.
struct UnderWay {
    channel: Arc<Confirming>,
    letters: VecDeque<(Envelope, Sending)>,
    bytes: usize,
    /// Keeps others off the channel until nothing is under way.
    alone: Option<Alone>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.letters.is_empty() {
            return;
        }
        let (left, alone) = (std::mem::take(&mut self.letters), self.alone.take());
        self.channel.runtime.spawn(async move {
            for (_, sending) in left {
                let _ = sending.await;
            }
            drop(alone);
        });
    }
}

/// What is to be sent, and who is told what became of it.
pub(super) trait Outbox: Send {
    /// The next letter.
    fn next(&mut self) -> Option<Letter>;
    /// What became of the letter that was given out as `at`.
    fn conclude(&mut self, at: usize, fate: Fate);
}

/// Sends what `outbox` has, in order, and tells it what became of each.
pub(super) async fn send(channel: &Arc<Confirming>, alone: Option<Alone>, outbox: &mut impl Outbox) {
    let mut under_way = UnderWay {
        channel: Arc::clone(channel),
        letters: VecDeque::new(),
        bytes: 0,
        alone,
    };
    let mut more = true;
    loop {
        // When half of what may be under way is confirmed the other half follows, not one by one.
        if more && under_way.letters.len() <= PUBLISH_BATCH_MAX / 2 {
            more = hand_over(&mut under_way, outbox);
        }
        let Some((envelope, sending)) = under_way.letters.front_mut() else {
            if more {
                continue;
            }
            return;
        };
        let (at, late) = (envelope.at, envelope.late);
        let fate = match timeout_at(late, sending).await {
            Ok(Ok(confirmation)) => confirmed(confirmation),
            Ok(Err(failed)) => Fate::Failed(lost(envelope, &failed)),
            Err(_) => {
                give_up(&under_way, outbox);
                return;
            }
        };
        if let Some((envelope, _)) = under_way.letters.pop_front() {
            under_way.bytes -= envelope.size;
        }
        outbox.conclude(at, fate);
    }
}

/// Tells of all that is left that the server does not answer. It is awaited in the background: a channel answers in order.
fn give_up(under_way: &UnderWay, outbox: &mut impl Outbox) {
    let why = || match under_way.channel.open.blocked() {
        Some(reason) => error::blocked(&reason),
        None => error::timeout("publish"),
    };
    for (envelope, _) in &under_way.letters {
        outbox.conclude(envelope.at, Fate::Failed(why().with_indeterminate()));
    }
    while let Some(letter) = outbox.next() {
        outbox.conclude(letter.at, Fate::Failed(why()));
    }
}

/// Hands letters to the client until enough are under way; says whether there may be more.
fn hand_over(under_way: &mut UnderWay, outbox: &mut impl Outbox) -> bool {
    let channel = Arc::clone(&under_way.channel);
    let late = clock::now() + CONFIRM_TIMEOUT;
    let _order = channel.order.lock().unwrap_or_else(PoisonError::into_inner);
    while under_way.letters.len() < PUBLISH_BATCH_MAX && under_way.bytes < PUBLISH_BYTES_MAX {
        let Some(letter) = outbox.next() else {
            return false;
        };
        let envelope = Envelope {
            at: letter.at,
            exchange: letter.exchange.clone(),
            size: letter.payload.len(),
            late,
        };
        let mut sending = sending(Arc::clone(&channel.channel), letter);
        // The first poll queues it; nobody need wake for what it does until it is the first that is awaited.
        match sending.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => {
                under_way.bytes += envelope.size;
                under_way.letters.push_back((envelope, sending));
            }
            Poll::Ready(Ok(confirmation)) => outbox.conclude(envelope.at, confirmed(confirmation)),
            Poll::Ready(Err(failed)) => outbox.conclude(envelope.at, Fate::Failed(error::client(&failed))),
        }
    }
    true
}

fn sending(channel: Arc<Channel>, letter: Letter) -> Sending {
    Box::pin(async move {
        let options = BasicPublishOptions {
            mandatory: letter.mandatory,
            ..BasicPublishOptions::default()
        };
        let Letter {
            exchange,
            routing_key,
            properties,
            payload,
            ..
        } = letter;
        let confirm = channel.basic_publish(exchange, routing_key, options, &payload, properties);
        confirm.await?.await
    })
}

fn confirmed(confirmation: Confirmation) -> Fate {
    match confirmation {
        Confirmation::Ack(None) => Fate::Taken,
        Confirmation::Ack(Some(returned)) => Fate::Returned(Box::new(returned)),
        Confirmation::Nack(_) => {
            let text =
                "a queue refused the message: it is full, or its node failed; other queues may have it";
            Fate::Failed(Error::new(ErrorKind::Throttled, text).with_indeterminate())
        }
        Confirmation::NotRequested => {
            let text = "the channel does not confirm what is published";
            Fate::Failed(Error::new(ErrorKind::Unexpected, text).with_indeterminate())
        }
    }
}

/// The error of a letter whose channel ended while it was under way. Where the letter itself ended it, that is surely not
/// stored; of the others nobody knows.
fn lost(envelope: &Envelope, failed: &lapin::Error) -> Error {
    let own = error::answer(failed).is_some_and(|(code, text)| match code {
        403 | 404 => text.contains(&format!("exchange '{}'", envelope.exchange)),
        406 | 311 => text.contains(&format!("message size {} ", envelope.size)),
        _ => false,
    });
    let error = error::client(failed);
    if own {
        return error;
    }
    let text = "the channel ended before the message was confirmed";
    Error::new(ErrorKind::Unreachable, text)
        .with_source(error.to_string())
        .with_indeterminate()
}
