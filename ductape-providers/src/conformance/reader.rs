use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::case::Failure;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Incoming;
use crate::provider::{Delivery, Receipt, SettleSlot, Settlement};
use crate::provider_dyn::{SettlerDyn, SubscriptionDyn};

/// How long a reader waits for what must come, and for what must not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    pub(super) patience: Duration,
    pub(super) quiet: Duration,
}

/// A subscription whose calls fail the case unless they begin with `try_`.
#[derive(Debug)]
pub struct Reader {
    subscription: Box<dyn SubscriptionDyn>,
    settler: Arc<dyn SettlerDyn>,
    waits: Waits,
}

impl Reader {
    pub(super) fn new(subscription: Box<dyn SubscriptionDyn>, waits: Waits) -> Self {
        Self {
            settler: subscription.settler_dyn(),
            subscription,
            waits,
        }
    }

    /// One `receive` of the provider.
    ///
    /// # Errors
    ///
    /// As the provider's.
    pub async fn try_receive(&mut self, into: &mut Vec<Delivery>, max: usize) -> Result<()> {
        let max = NonZeroUsize::new(max).unwrap_or(NonZeroUsize::MIN);
        self.subscription.receive_dyn(into, max).await
    }

    /// One `receive`, which must bring 1 to `max` deliveries before the harness's patience ends.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn receive(&mut self, max: usize) -> Result<Vec<Delivery>, Failure> {
        let mut into = Vec::new();
        let patience = self.waits.patience;
        match timeout(patience, self.try_receive(&mut into, max)).await {
            Ok(Ok(())) if into.is_empty() => Err(Failure::new("receive returned without a delivery")),
            Ok(Ok(())) if into.len() > max => Err(Failure::new(format!(
                "receive returned {} deliveries where at most {max} were asked for",
                into.len()
            ))),
            Ok(Ok(())) => Ok(into),
            Ok(Err(error)) => Err(Failure::step("receive", &error)),
            Err(_) => Err(Failure::new(format!("no message came within {patience:?}"))),
        }
    }

    /// Waits up to `patience` for a message that must come, in place of the harness's patience.
    pub fn wait_up_to(&mut self, patience: Duration) {
        self.waits.patience = patience;
    }

    /// Receives until `count` deliveries have come.
    ///
    /// # Errors
    ///
    /// When they do not come.
    pub async fn take(&mut self, count: usize) -> Result<Vec<Delivery>, Failure> {
        let mut all: Vec<Delivery> = Vec::with_capacity(count);
        while all.len() < count {
            let more = self.receive(count - all.len()).await;
            all.extend(more.map_err(|failure| {
                Failure::new(format!(
                    "waiting for message {} of {count}: {failure}",
                    all.len() + 1
                ))
            })?);
        }
        Ok(all)
    }

    /// Receives one delivery.
    ///
    /// # Errors
    ///
    /// When none comes.
    pub async fn next(&mut self) -> Result<Delivery, Failure> {
        let mut one = self.receive(1).await?;
        one.pop()
            .ok_or_else(|| Failure::new("receive returned without a delivery"))
    }

    /// Receives `count` deliveries and acks them.
    ///
    /// # Errors
    ///
    /// When they do not come, or can't be acked.
    pub async fn consume(&mut self, count: usize) -> Result<Vec<Incoming>, Failure> {
        let mut all = Vec::with_capacity(count);
        while all.len() < count {
            // In pieces, since the prefetch may be smaller than `count`.
            let more = self.receive(count - all.len()).await.map_err(|failure| {
                Failure::new(format!(
                    "waiting for message {} of {count}: {failure}",
                    all.len() + 1
                ))
            })?;
            let mut receipts = Vec::with_capacity(more.len());
            for delivery in more {
                all.push(delivery.message);
                receipts.push(delivery.receipt);
            }
            self.settle_all(receipts, Settlement::Ack).await?;
        }
        Ok(all)
    }

    /// Asserts that nothing comes: not within the quiet time of the harness, and no error either.
    ///
    /// # Errors
    ///
    /// When something comes; `why` says why it must not.
    pub async fn silent(&mut self, why: &str) -> Result<(), Failure> {
        let quiet = self.waits.quiet;
        self.silent_for(quiet, why).await
    }

    /// Asserts that nothing comes for `quiet`.
    ///
    /// # Errors
    ///
    /// When something comes; `why` says why it must not.
    pub async fn silent_for(&mut self, quiet: Duration, why: &str) -> Result<(), Failure> {
        let mut into = Vec::new();
        let answered = timeout(quiet, self.try_receive(&mut into, 1)).await;
        match (answered, into.first()) {
            (_, Some(delivery)) => Err(Failure::new(format!(
                "message {:?} (delivery {:?}) came, but {why}",
                show(&delivery.message),
                delivery.message.delivery_count
            ))),
            (Ok(Err(error)), None) => Err(Failure::step("receive", &error)),
            (Ok(Ok(())), None) => Err(Failure::new("receive returned without a delivery")),
            (Err(_), None) => Ok(()),
        }
    }

    /// Settles one delivery.
    ///
    /// # Errors
    ///
    /// As the provider's.
    pub async fn try_settle(&mut self, receipt: Receipt, how: Settlement) -> Result<()> {
        let mut slots = [SettleSlot::new(receipt, how)];
        self.settler.settle_dyn(&mut slots).await;
        let [slot] = slots;
        slot.outcome.unwrap_or_else(|| {
            Err(Error::new(
                ErrorKind::Unexpected,
                "settle left a slot without an outcome",
            ))
        })
    }

    /// Settles one delivery.
    ///
    /// # Errors
    ///
    /// When the provider does not.
    pub async fn settle(&mut self, receipt: Receipt, how: Settlement) -> Result<(), Failure> {
        let settled = self.try_settle(receipt, how).await;
        settled.map_err(|error| Failure::step(format!("settle with {how:?}"), &error))
    }

    /// Acks one delivery.
    ///
    /// # Errors
    ///
    /// When the provider does not.
    pub async fn ack(&mut self, delivery: Delivery) -> Result<Incoming, Failure> {
        self.settle(delivery.receipt, Settlement::Ack).await?;
        Ok(delivery.message)
    }

    /// Settles deliveries in one batch.
    ///
    /// # Errors
    ///
    /// When one of them is not settled.
    pub async fn settle_all(
        &mut self,
        receipts: impl IntoIterator<Item = Receipt>,
        how: Settlement,
    ) -> Result<(), Failure> {
        let slots = receipts.into_iter().map(|receipt| SettleSlot::new(receipt, how));
        let mut slots: Vec<SettleSlot> = slots.collect();
        self.settler.settle_dyn(&mut slots).await;
        for (at, slot) in slots.into_iter().enumerate() {
            match slot.outcome {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    return Err(Failure::step(
                        format!("settle with {:?} of slot {}", slot.how, at + 1),
                        &error,
                    ));
                }
                None => return Err(Failure::new("settle left a slot without an outcome")),
            }
        }
        Ok(())
    }

    /// What settles this reader's deliveries, for a case that settles while the reader waits.
    pub fn settler(&self) -> Arc<dyn SettlerDyn> {
        Arc::clone(&self.settler)
    }

    /// Asks for more time.
    ///
    /// # Errors
    ///
    /// As the provider's.
    pub async fn try_extend(&mut self, receipts: &[&Receipt], by: Duration) -> Result<()> {
        self.settler.extend_dyn(receipts, by).await
    }

    /// Stops receiving and gives back what is unsettled.
    ///
    /// # Errors
    ///
    /// When the provider could not.
    pub async fn close(self) -> Result<(), Failure> {
        let closed = self.subscription.close_dyn().await;
        closed.map_err(|error| Failure::step("close of a subscription", &error))
    }
}

/// A message's payload as text, cut where it is long: how the cases name messages.
pub fn show(message: &Incoming) -> String {
    String::from_utf8_lossy(&message.payload)
        .chars()
        .take(40)
        .collect()
}
