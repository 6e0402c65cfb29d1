//! Settling: acknowledgements together where that says no more than is so; copies for what is to come back later.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::future::BoxFuture;
use lapin::options::BasicAckOptions;
use tokio::time::sleep;

use super::config::DELAY_MAX;
use super::error;
use super::publish::publish_copies;
use super::subscription::{Hand, Member};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Incoming, Outgoing};
use crate::provider::{Receipt, SettleSlot, Settlement, Settler};

/// Settles the deliveries of a subscription.
#[derive(Debug)]
pub(super) struct RabbitMqSettler(Arc<Member>);

impl RabbitMqSettler {
    pub(super) const fn new(member: Arc<Member>) -> Self {
        Self(member)
    }
}

/// Acknowledgements that were handed to the client.
type Told<'a> = Vec<BoxFuture<'a, lapin::Result<()>>>;

impl Member {
    /// Hands the acknowledgement of these tags to the client. The hand stays locked meanwhile: they must be sent in the
    /// order in which they were counted.
    fn tell<'a>(&'a self, hand: &mut Hand, tags: &[u64], told: &mut Told<'a>) {
        let mut acks = Vec::new();
        hand.tags.done(tags, &mut acks);
        for ack in acks {
            let options = BasicAckOptions {
                multiple: ack.multiple,
            };
            let mut sent: BoxFuture<'a, lapin::Result<()>> =
                Box::pin(self.channel.basic_ack(ack.tag, options));
            // The first poll queues it; who waits for it is told later.
            if sent
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
            {
                told.push(sent);
            }
        }
    }

    /// Acknowledges deliveries that are not given out.
    pub(super) async fn acknowledge(&self, receipts: &[Receipt]) {
        let mut told = Vec::new();
        {
            let mut hand = self.hand();
            let tags: Vec<u64> = receipts
                .iter()
                .filter_map(|receipt| hand.receipts.take(receipt))
                .map(|held| held.tag)
                .collect();
            self.tell(&mut hand, &tags, &mut told);
        }
        for sent in told {
            // Where it fails the delivery comes back.
            let _ = sent.await;
        }
    }

    /// Sends a message that came before its time on, to wait for the rest.
    pub(super) async fn send_on(self: Arc<Self>, receipt: Receipt, wait: Duration) {
        let copy = {
            let hand = self.hand();
            let held = hand.receipts.get(&receipt);
            held.map(|held| {
                // It was not given out, so this delivery does not count.
                let count = held.message.delivery_count.map_or(1, std::num::NonZero::get);
                (self.copy(&held.message, wait), count - 1)
            })
        };
        let Some(copy) = copy else { return };
        match publish_copies(&self.server, vec![copy]).await.pop() {
            Some(Ok(_)) => self.acknowledge(&[receipt]).await,
            _ => self.wait_here(&receipt, wait, 0),
        }
    }

    /// A copy for the group alone, or for its dead letters where it is one.
    fn copy(&self, message: &Incoming, wait: Duration) -> Outgoing {
        let mut copy = message.to_outgoing(self.route.clone());
        copy.not_before = clock::wall().checked_add(wait);
        copy
    }

    /// Lets a message wait in this process, counted so much further: it comes back by itself if this process ends.
    fn wait_here(self: &Arc<Self>, receipt: &Receipt, wait: Duration, counted: u32) {
        let Some(mut held) = self.hand().receipts.take(receipt) else {
            return;
        };
        let count = held.message.delivery_count;
        held.message.delivery_count = count.map(|count| count.saturating_add(counted));
        let member = Arc::clone(self);
        self.server.consuming.runtime().spawn(async move {
            sleep(wait).await;
            member.give_back(held.tag, held.message);
        });
    }

    fn give_back(&self, tag: u64, message: Incoming) {
        let mut hand = self.hand();
        if !hand.ended {
            hand.again.insert(tag, message);
            drop(hand);
            self.again.notify_one();
        }
    }
}

impl RabbitMqSettler {
    /// What is wrong with this settlement whatever becomes of it.
    fn check(&self, how: Settlement) -> Result<()> {
        let Settlement::RequeueAfter(wait) = how else {
            return Ok(());
        };
        if self.0.server.capability.group_delay_max.is_none() {
            let text = "delays need queues that are made when they are used; set `declare` to `create`";
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        if wait > DELAY_MAX {
            let text = format!("a delay of {wait:?}; at most {DELAY_MAX:?} are kept");
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        Ok(())
    }

    /// Settles what is settled at once, and gives the places of what must be sent first.
    fn at_once<'a>(&'a self, batch: &mut [SettleSlot], told: &mut Told<'a>) -> Vec<usize> {
        let member = &self.0;
        let mut later = Vec::new();
        let mut done = Vec::with_capacity(batch.len());
        let mut again = false;
        let mut hand = member.hand();
        for (at, slot) in batch.iter_mut().enumerate() {
            if hand.receipts.get(&slot.receipt).is_none() {
                slot.outcome = Some(Err(error::lease_lost()));
                continue;
            }
            if let Err(error) = self.check(slot.how) {
                slot.outcome = Some(Err(error));
                continue;
            }
            if let Settlement::RequeueAfter(_) = slot.how {
                later.push(at);
                continue;
            }
            let Some(held) = hand.receipts.take(&slot.receipt) else {
                continue;
            };
            if slot.how == Settlement::Requeue {
                hand.again.insert(held.tag, held.message);
                again = true;
            } else {
                done.push(held.tag);
            }
            slot.outcome = Some(Ok(()));
        }
        if !done.is_empty() {
            member.tell(&mut hand, &done, told);
        }
        drop(hand);
        if again {
            member.again.notify_one();
        }
        later
    }

    /// Sends copies of what is to come back later, and settles what was sent.
    async fn later(&self, batch: &mut [SettleSlot], places: Vec<usize>) {
        let member = &self.0;
        let mut copies = Vec::with_capacity(places.len());
        let mut sent = Vec::with_capacity(places.len());
        {
            let hand = member.hand();
            for at in places {
                let slot = &mut batch[at];
                let wait = match slot.how {
                    Settlement::RequeueAfter(wait) => wait,
                    _ => Duration::ZERO,
                };
                match hand.receipts.get(&slot.receipt) {
                    Some(held) => {
                        let count = held.message.delivery_count.map_or(1, std::num::NonZero::get);
                        copies.push((member.copy(&held.message, wait), count));
                        sent.push((at, wait));
                    }
                    None => slot.outcome = Some(Err(error::lease_lost())),
                }
            }
        }
        let outcomes = publish_copies(&member.server, copies).await;
        let mut told = Vec::new();
        let mut done = Vec::with_capacity(sent.len());
        for ((at, wait), outcome) in sent.into_iter().zip(outcomes) {
            let slot = &mut batch[at];
            slot.outcome = Some(match outcome {
                Ok(_) => {
                    done.push(at);
                    Ok(())
                }
                Err(error) if error.is_temporary() || error.kind() == ErrorKind::Closed => Err(error),
                Err(error) => {
                    tracing::warn!(queue = ?member.queue(), %error, "a message can't wait at the server; it waits in this process");
                    member.wait_here(&slot.receipt, wait, 1);
                    Ok(())
                }
            });
        }
        {
            let mut hand = member.hand();
            let tags: Vec<u64> = done
                .into_iter()
                .filter_map(|at| hand.receipts.take(&batch[at].receipt))
                .map(|held| held.tag)
                .collect();
            member.tell(&mut hand, &tags, &mut told);
        }
        for sent in told {
            let _ = sent.await;
        }
    }
}

impl Settler for RabbitMqSettler {
    async fn settle(&self, batch: &mut [SettleSlot]) {
        if !self.0.channel.status().connected() {
            self.0.end();
        }
        let mut told = Vec::new();
        let later = self.at_once(batch, &mut told);
        let mut lost = false;
        for sent in told {
            lost |= sent.await.is_err();
        }
        if lost {
            // Nobody knows what of it the server read; what it did not comes back.
            for slot in batch.iter_mut() {
                if slot.how != Settlement::Requeue && matches!(slot.outcome, Some(Ok(()))) {
                    slot.outcome = Some(Err(error::lease_lost()));
                }
            }
        }
        if !later.is_empty() {
            self.later(batch, later).await;
        }
    }

    async fn extend(&self, _: &[&Receipt], _: Duration) -> Result<()> {
        let text = "RabbitMQ has no leases: a delivery stays with its channel, up to the server's `consumer_timeout`";
        Err(Error::new(ErrorKind::Unsupported, text))
    }
}
