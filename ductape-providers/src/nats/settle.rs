//! Settling: each is a message to the delivery's reply subject.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use bytes::Bytes;
use tokio::time::timeout_at;

use super::error;
use super::link::within;
use super::subscription::Shared;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::provider::{Receipt, SettleSlot, Settlement, Settler};

/// The longest wait before a failed delivery comes again.
pub(super) const REQUEUE_MAX: Duration = Duration::from_hours(24);
/// How long the client may take to accept a settlement.
const SENT_WITHIN: Duration = Duration::from_secs(10);

/// It is done; the server takes an empty message for it.
const ACK: &[u8] = b"";
/// It comes back.
pub(super) const NAK: &[u8] = b"-NAK";
/// It is given up.
const TERM: &[u8] = b"+TERM";
/// It takes longer.
pub(super) const PROGRESS: &[u8] = b"+WPI";

/// Settles the deliveries of one subscription.
#[derive(Debug)]
pub(super) struct NatsSettler {
    shared: Arc<Shared>,
}

impl NatsSettler {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn lost(&self) -> Error {
        Error::new(
            ErrorKind::LeaseLost,
            "the delivery is no longer this subscription's; it comes, or has come, to another",
        )
        .with("topic", &self.shared.topic)
        .with("provider", "nats")
    }

    /// Takes a delivery out of hand; says what to send, if it is still ours.
    fn take(&self, slot: &SettleSlot) -> Result<(Subject, Bytes, bool)> {
        if let Settlement::RequeueAfter(wait) = slot.how
            && wait > REQUEUE_MAX
        {
            let text = format!("a delivery can come again after {REQUEUE_MAX:?} at most, not after {wait:?}");
            return Err(Error::new(ErrorKind::Unsupported, text).with("topic", &self.shared.topic));
        }
        let mut state = self.shared.state();
        let held = state.receipts.take(&slot.receipt);
        let mut held = held
            .filter(|held| clock::now() < self.shared.deadline(held.got.base))
            .ok_or_else(|| self.lost())?;
        let reply = held.got.reply.clone();
        Ok(match slot.how {
            Settlement::Ack => (reply, Bytes::from_static(ACK), false),
            Settlement::Reject => (reply, Bytes::from_static(TERM), false),
            Settlement::RequeueAfter(wait) => {
                let nak = format!("-NAK {{\"delay\":{}}}", wait.as_nanos());
                (reply, Bytes::from(nak), false)
            }
            Settlement::Requeue => {
                // It stays this member's, where it comes before what follows it, and is not counted.
                held.got.base = clock::now();
                state.put_back(held.got);
                (reply, Bytes::from_static(PROGRESS), true)
            }
        })
    }
}

impl Settler for NatsSettler {
    async fn settle(&self, batch: &mut [SettleSlot]) {
        let client = self.shared.nats.client();
        let deadline = within(SENT_WITHIN);
        let (mut room, mut back) = (false, false);
        for slot in batch {
            let outcome = match self.take(slot) {
                Ok((reply, payload, requeued)) => {
                    room = true;
                    back |= requeued;
                    match timeout_at(deadline, client.publish(reply, payload)).await {
                        Ok(Ok(())) => Ok(()),
                        Ok(Err(_)) => Err(error::gone(client)),
                        Err(_) => Err(error::down()),
                    }
                }
                Err(error) => Err(error),
            };
            slot.outcome = Some(outcome);
        }
        if back {
            self.shared.ready.notify_one();
        }
        if room && self.shared.state().waiting {
            // The prefetch may have been full.
            self.shared.ready.notify_one();
            self.shared.work.notify_one();
        }
    }

    async fn extend(&self, receipts: &[&Receipt], by: Duration) -> Result<()> {
        let mut replies = Vec::with_capacity(receipts.len());
        let mut lost = false;
        {
            let now = clock::now();
            let mut state = self.shared.state();
            for receipt in receipts {
                match state.receipts.get_mut(receipt) {
                    Some(held) if now < self.shared.deadline(held.got.base) => {
                        held.got.base = now;
                        held.keep_until = now + by;
                        replies.push(held.got.reply.clone());
                    }
                    _ => lost = true,
                }
            }
        }
        let client = self.shared.nats.client();
        for reply in replies {
            client
                .publish(reply, Bytes::from_static(PROGRESS))
                .await
                .map_err(|_| error::gone(client))?;
        }
        if lost { Err(self.lost()) } else { Ok(()) }
    }
}
