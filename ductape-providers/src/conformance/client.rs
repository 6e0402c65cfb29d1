use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::case::Failure;
use super::harness::Harness;
use crate::capability::Capability;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Incoming, Outgoing, TopicName};
use crate::provider::{Backlog, Delivery, PublishReceipt, PublishSlot, Receipt, SettleSlot, Settlement};
use crate::provider_dyn::{AnyProvider, SettlerDyn, SubscriptionDyn};
use crate::spec::{GroupSpec, Source, SubscriptionSpec, TopicSpec};

/// How long a reader waits for what must come, and for what must not.
#[derive(Clone, Copy, Debug)]
struct Waits {
    patience: Duration,
    quiet: Duration,
}

/// A handle of the broker whose calls fail the case unless they begin with `try_`.
#[derive(Clone, Debug)]
pub struct Client {
    provider: AnyProvider,
    waits: Waits,
}

impl Client {
    pub(super) fn new(provider: AnyProvider, harness: &dyn Harness) -> Self {
        let waits = Waits {
            patience: harness.patience(),
            quiet: harness.quiet(),
        };
        Self { provider, waits }
    }

    /// The provider itself.
    pub fn provider(&self) -> &AnyProvider {
        &self.provider
    }

    /// What it can do.
    pub fn capability(&self) -> Capability {
        self.provider.capability_dyn()
    }

    /// Declares `topic` with `groups`.
    ///
    /// # Errors
    ///
    /// As the provider's.
    pub async fn try_declare(&self, topic: &TopicName, groups: &[&GroupSpec]) -> Result<()> {
        let mut spec = TopicSpec::new(topic.clone());
        spec.groups.extend(groups.iter().map(|group| (*group).clone()));
        self.provider.declare_dyn(&spec).await
    }

    /// Declares `topic` with `groups`.
    ///
    /// # Errors
    ///
    /// When the provider refuses it.
    pub async fn declare(&self, topic: &TopicName, groups: &[&GroupSpec]) -> Result<(), Failure> {
        let declared = self.try_declare(topic, groups).await;
        declared.map_err(|error| Failure::step("declare", &error))
    }

    /// Publishes `messages` in one batch and gives each slot's outcome.
    pub async fn try_publish(&self, messages: Vec<Outgoing>) -> Vec<Result<PublishReceipt>> {
        let mut slots: Vec<PublishSlot> = messages.into_iter().map(PublishSlot::new).collect();
        self.provider.publish_dyn(&mut slots).await;
        let unfilled = || {
            Err(Error::new(
                ErrorKind::Unexpected,
                "publish left a slot without an outcome",
            ))
        };
        slots
            .into_iter()
            .map(|slot| slot.outcome.unwrap_or_else(unfilled))
            .collect()
    }

    /// Publishes one message.
    ///
    /// # Errors
    ///
    /// As the provider's.
    pub async fn try_publish_one(&self, message: Outgoing) -> Result<PublishReceipt> {
        let mut outcomes = self.try_publish(vec![message]).await;
        outcomes.pop().unwrap_or_else(|| {
            Err(Error::new(
                ErrorKind::Unexpected,
                "publish removed a slot of its batch",
            ))
        })
    }

    /// Publishes `messages` in one batch.
    ///
    /// # Errors
    ///
    /// When one of them is not confirmed.
    pub async fn publish(&self, messages: Vec<Outgoing>) -> Result<Vec<PublishReceipt>, Failure> {
        let outcomes = self.try_publish(messages).await;
        let mut receipts = Vec::with_capacity(outcomes.len());
        for (at, outcome) in outcomes.into_iter().enumerate() {
            receipts.push(
                outcome.map_err(|error| Failure::step(format!("publish of message {}", at + 1), &error))?,
            );
        }
        Ok(receipts)
    }

    /// Joins `group`, with the usual prefetch.
    ///
    /// # Errors
    ///
    /// When the provider refuses it.
    pub async fn reader(&self, topic: &TopicName, group: &GroupSpec) -> Result<Reader, Failure> {
        self.reader_of(&SubscriptionSpec::new(topic.clone(), group.clone()))
            .await
    }

    /// Reads the dead letters of `group`.
    ///
    /// # Errors
    ///
    /// When the provider refuses it.
    pub async fn dead_letters(&self, topic: &TopicName, group: &GroupSpec) -> Result<Reader, Failure> {
        let mut spec = SubscriptionSpec::new(topic.clone(), group.clone());
        spec.source = Source::DeadLetters;
        self.reader_of(&spec).await
    }

    /// Subscribes as `spec` says.
    ///
    /// # Errors
    ///
    /// When the provider refuses it.
    pub async fn reader_of(&self, spec: &SubscriptionSpec) -> Result<Reader, Failure> {
        match self.provider.subscribe_dyn(spec).await {
            Ok(subscription) => Ok(Reader {
                settler: subscription.settler_dyn(),
                subscription,
                waits: self.waits,
            }),
            Err(error) => Err(Failure::step("subscribe", &error)),
        }
    }

    /// What `group` has before it.
    ///
    /// # Errors
    ///
    /// When the provider can't tell.
    pub async fn backlog(&self, topic: &TopicName, group: &GroupSpec) -> Result<Backlog, Failure> {
        let backlog = self.provider.backlog_dyn(topic, &group.name).await;
        backlog.map_err(|error| Failure::step("backlog", &error))
    }

    /// Waits until the backlog of `group` is `wanted`, asking every 10 ms: some brokers count a little later.
    ///
    /// # Errors
    ///
    /// When it is another when the harness's patience ends; `when` says what came before.
    pub async fn backlog_becomes(
        &self,
        topic: &TopicName,
        group: &GroupSpec,
        wanted: Backlog,
        when: &str,
    ) -> Result<(), Failure> {
        let deadline = clock::now() + self.waits.patience;
        loop {
            let backlog = self.backlog(topic, group).await?;
            if backlog == wanted {
                return Ok(());
            }
            if clock::now() > deadline {
                return Err(Failure::new(format!(
                    "{when}, and the backlog is {backlog:?}, not {wanted:?}"
                )));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Closes this handle, with 5 s to flush.
    ///
    /// # Errors
    ///
    /// When the provider could not.
    pub async fn close(&self) -> Result<(), Failure> {
        let closed = self
            .provider
            .close_dyn(clock::now() + Duration::from_secs(5))
            .await;
        closed.map_err(|error| Failure::step("close", &error))
    }
}

/// A subscription whose calls fail the case unless they begin with `try_`.
#[derive(Debug)]
pub struct Reader {
    subscription: Box<dyn SubscriptionDyn>,
    settler: Arc<dyn SettlerDyn>,
    waits: Waits,
}

impl Reader {
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
