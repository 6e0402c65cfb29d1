//! A member of a group: one channel with one consumer.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::config::RECEIVE_BATCH_MAX;
use super::error;
use super::link::{Open, answered};
use super::names::{Topic, group_missing, topic_missing};
use super::provider::Server;
use super::queue;
use super::settle::RabbitMqSettler;
use super::tags::Tags;
use super::wire::{self, Received};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Incoming, Route};
use crate::provider::{Delivery, Receipt, Subscription};
use crate::receipts::Receipts;
use crate::spec::{Source, SubscriptionSpec};

/// How long a subscription may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long dead letters that were looked at may take to be back, and how often they are asked for.
const RETURNED_TIMEOUT: Duration = Duration::from_secs(1);
const RETURNED_EVERY: Duration = Duration::from_millis(5);
/// A message that is due this soon is due.
const DUE_WITHIN: Duration = Duration::from_millis(1);

/// A member of a group.
#[derive(Debug)]
pub(super) struct RabbitMqSubscription {
    member: Arc<Member>,
    consumer: Consumer,
    closing: watch::Receiver<bool>,
}

/// What a subscription shares with its settlers.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) server: Arc<Server>,
    pub(super) topic: Arc<Topic>,
    /// Where what failed goes when its time has come.
    pub(super) route: Route,
    queue: ShortString,
    pub(super) channel: Channel,
    /// The connection must not end before the channel.
    open: Arc<Open>,
    hand: Mutex<Hand>,
    /// Wakes the reader for what was requeued.
    pub(super) again: Notify,
}

/// What is in hand.
#[derive(Debug, Default)]
pub(super) struct Hand {
    pub(super) receipts: Receipts<Held>,
    pub(super) tags: Tags,
    /// Deliveries that were given back here, by their tags: they are given out again, before what comes later. The server
    /// need not know, so that it does not count them, and their order is kept.
    pub(super) again: BTreeMap<u64, Incoming>,
    /// Whether the channel is gone, and everything in hand with it.
    pub(super) ended: bool,
}

/// A delivery in hand.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) tag: u64,
    pub(super) message: Incoming,
}

impl Member {
    /// How many deliveries of this queue are in hand.
    pub(super) fn in_hand(&self, queue: &ShortString) -> usize {
        if self.queue != *queue {
            return 0;
        }
        let hand = self.hand();
        hand.receipts.len() + hand.again.len()
    }

    pub(super) const fn queue(&self) -> &ShortString {
        &self.queue
    }

    pub(super) fn hand(&self) -> MutexGuard<'_, Hand> {
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of everything: the server delivers it again.
    pub(super) fn end(&self) {
        let mut hand = self.hand();
        hand.ended = true;
        hand.receipts.clear();
        hand.again.clear();
    }

    /// The delivery's receipt.
    fn take_in(hand: &mut Hand, tag: u64, message: Incoming) -> Delivery {
        let receipt = hand.receipts.insert(Held {
            tag,
            message: message.clone(),
        });
        Delivery { message, receipt }
    }

    /// What a delivery is: to be given out, or none of ours.
    fn receive(self: &Arc<Self>, delivery: lapin::message::Delivery, into: &mut Vec<Delivery>) {
        let tag = delivery.delivery_tag;
        let Received {
            message,
            not_before,
            topic,
        } = wire::read(delivery, &self.topic.spec.topic);
        let other = self.topic.shared && topic.is_some_and(|topic| topic != self.topic.physical);
        let wait = not_before.and_then(|due| due.duration_since(clock::wall()).ok());
        let wait = wait.filter(|wait| *wait > DUE_WITHIN && matches!(self.route, Route::Group(_)));
        let mut hand = self.hand();
        hand.tags.arrived(tag);
        if other {
            // Another topic with the same routing key; its groups have queues of their own.
            let receipt = Self::take_in(&mut hand, tag, message).receipt;
            drop(hand);
            self.settle_alone(receipt, None);
        } else if let Some(wait) = wait {
            let receipt = Self::take_in(&mut hand, tag, message).receipt;
            drop(hand);
            self.settle_alone(receipt, Some(wait));
        } else {
            into.push(Self::take_in(&mut hand, tag, message));
        }
    }

    /// Settles a delivery that is not given out: acknowledges it, or sends it on to wait for the rest of its time.
    fn settle_alone(self: &Arc<Self>, receipt: Receipt, wait: Option<Duration>) {
        let member = Arc::clone(self);
        self.server.consuming.runtime().spawn(async move {
            match wait {
                Some(wait) => member.send_on(receipt, wait).await,
                None => member.acknowledge(&[receipt]).await,
            }
        });
    }
}

impl RabbitMqSubscription {
    /// Joins a group.
    pub(super) async fn join(server: Arc<Server>, spec: &SubscriptionSpec) -> Result<Self> {
        let topic = server.topic(&spec.topic)?;
        let group = &spec.group;
        let queues = server.queues(&topic, &group.name, Some(group))?;
        let (queue, route) = match spec.source {
            Source::Messages => (queues.queue, Route::Group(group.name.clone())),
            Source::DeadLetters => (queues.dead, Route::DeadLetters(group.name.clone())),
        };
        let open = server.consuming.get().await?;
        let channel = open.channel().await?;
        let prefetch = u16::try_from(spec.prefetch.get()).unwrap_or(u16::MAX);
        answered(
            "basic.qos",
            channel.basic_qos(prefetch, BasicQosOptions::default()),
        )
        .await?;
        let consuming = channel.basic_consume(
            queue.clone(),
            ShortString::default(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let consumer = match answered("basic.consume", consuming).await {
            Ok(consumer) => consumer,
            Err(error) if error.kind() == ErrorKind::GroupMissing && !topic.declared => {
                return Err(topic_missing(&spec.topic).with("queue", &queue));
            }
            Err(error) if error.kind() == ErrorKind::GroupMissing => {
                return Err(group_missing(&spec.topic, &group.name).with("queue", &queue));
            }
            Err(error) => return Err(error.with("topic", &spec.topic).with("queue", &queue)),
        };
        let closing = server.closing();
        let member = Arc::new(Member {
            server,
            topic,
            route,
            queue,
            channel,
            open,
            hand: Mutex::default(),
            again: Notify::new(),
        });
        member.server.join(&member);
        Ok(Self {
            member,
            consumer,
            closing,
        })
    }

    /// Appends what is here: what was given back first, then what the server has sent.
    fn take_ready(&mut self, into: &mut Vec<Delivery>, max: usize) -> Option<Error> {
        let before = into.len();
        {
            let mut hand = self.member.hand();
            while into.len() - before < max
                && let Some((tag, message)) = hand.again.pop_first()
            {
                into.push(Member::take_in(&mut hand, tag, message));
            }
        }
        while into.len() - before < max {
            match self.consumer.next().now_or_never() {
                Some(Some(Ok(delivery))) => self.member.receive(delivery, into),
                Some(ended) => {
                    let error = self.ended(ended.and_then(Result::err));
                    return (into.len() == before).then_some(error);
                }
                None => break,
            }
        }
        None
    }

    /// The subscription is over: it must be made anew.
    fn ended(&self, error: Option<lapin::Error>) -> Error {
        self.member.end();
        if self.member.server.check().is_err() {
            return error::closed();
        }
        let error = match error {
            Some(error) => error::client(&error),
            None if self.member.channel.status().connected() => Error::new(
                ErrorKind::GroupMissing,
                "the server ended the consumer: its queue was deleted, or the queue's node is down",
            ),
            None => Error::new(ErrorKind::Unreachable, "the connection is lost"),
        };
        error.with_temporary(false).with("queue", &self.member.queue)
    }
}

impl RabbitMqSubscription {
    /// Waits until dead letters that were looked at are back. A quorum queue takes a moment after its reader has gone, and who
    /// looks again would find none.
    async fn returned(&self) {
        let back = async {
            while let Ok(Some(0)) = queue::ready(&self.member.open, &self.member.queue).await {
                sleep(RETURNED_EVERY).await;
            }
        };
        // Somebody else may have them.
        let _ = timeout(RETURNED_TIMEOUT, back).await;
    }
}

impl Subscription for RabbitMqSubscription {
    type Settler = RabbitMqSettler;

    fn settler(&self) -> RabbitMqSettler {
        RabbitMqSettler::new(Arc::clone(&self.member))
    }

    async fn receive(&mut self, into: &mut Vec<Delivery>, max: NonZeroUsize) -> Result<()> {
        let (before, max) = (into.len(), max.get().min(RECEIVE_BATCH_MAX));
        loop {
            self.member.server.check()?;
            if self.member.hand().ended {
                return Err(self.ended(None));
            }
            let room = max - (into.len() - before).min(max);
            if let Some(error) = self.take_ready(into, room) {
                return Err(error);
            }
            if into.len() > before {
                return Ok(());
            }
            let first = tokio::select! {
                biased;
                _ = self.closing.wait_for(|closed| *closed) => continue,
                () = self.member.again.notified() => continue,
                first = self.consumer.next() => first,
            };
            match first {
                Some(Ok(delivery)) => self.member.receive(delivery, into),
                ended => return Err(self.ended(ended.and_then(Result::err))),
            }
        }
    }

    async fn close(self) -> Result<()> {
        let kept = self.member.in_hand(&self.member.queue) > 0;
        self.member.end();
        if !self.member.channel.status().connected() {
            return Ok(());
        }
        // What was settled was sent before, on the same channel; the server gives the rest to others.
        match timeout(CLOSE_TIMEOUT, self.member.channel.close(200, "OK".into())).await {
            Ok(Ok(())) => {
                if kept && matches!(self.member.route, Route::DeadLetters(_)) {
                    self.returned().await;
                }
                Ok(())
            }
            Ok(Err(_)) if !self.member.channel.status().connected() => Ok(()),
            Ok(Err(error)) => Err(error::client(&error)),
            Err(_) => Err(error::timeout("close")),
        }
    }
}

impl Drop for RabbitMqSubscription {
    fn drop(&mut self) {
        self.member.end();
        if !self.member.channel.status().connected() {
            return;
        }
        // A settler may keep the channel.
        let member = Arc::clone(&self.member);
        self.member.server.consuming.runtime().spawn(async move {
            let _ = timeout(CLOSE_TIMEOUT, member.channel.close(200, "OK".into())).await;
        });
    }
}
