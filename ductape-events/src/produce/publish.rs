use std::time::Duration;

use ductape_providers::provider::{PublishReceipt, PublishSlot};
use ductape_providers::{AnyProvider, Error as ProviderError, ErrorKind, Outgoing};
use tokio::time::{Instant, timeout_at};

use crate::backoff::Growing;
use crate::clock;
use crate::error::{BrokerError, ErrorCode, PublishOutcome};
use crate::produce::ProduceReceipt;
use crate::wiring::{TopicRoute, Wiring};
use crate::within::until;

/// Publishes one message, and waits for a broker that is away up to the publish timeout.
pub(super) async fn one(
    route: &TopicRoute,
    message: Outgoing,
    wiring: &Wiring,
) -> Result<ProduceReceipt, BrokerError> {
    keyed(route, message, None, wiring).await
}

/// The same, under an idempotency key that the history tells.
pub(super) async fn keyed(
    route: &TopicRoute,
    message: Outgoing,
    key: Option<&str>,
    wiring: &Wiring,
) -> Result<ProduceReceipt, BrokerError> {
    wiring.check_open()?;
    wiring.record(&message);
    let mut slots = [PublishSlot::new(message)];
    publish_until(&route.provider, &mut slots, clock::after(wiring.publish_timeout)).await;
    let [slot] = slots;
    answer(slot, key, route, wiring)
}

/// Publishes a message that was produced before.
#[cfg(feature = "store")]
pub(super) async fn untracked(
    route: &TopicRoute,
    message: Outgoing,
    wiring: &Wiring,
) -> Result<(), BrokerError> {
    wiring.check_open()?;
    let mut slots = [PublishSlot::new(message)];
    publish_until(&route.provider, &mut slots, clock::after(wiring.publish_timeout)).await;
    let [slot] = slots;
    outcome(slot.outcome, route, wiring).map(drop)
}

/// Publishes the slots until each has an outcome that trying again would not change, or `deadline` has come.
pub(crate) async fn publish_until(provider: &AnyProvider, slots: &mut [PublishSlot], deadline: Instant) {
    if until(deadline, provider.publish_dyn(slots)).await.is_none() || !slots.iter().any(can_be_tried_again) {
        return;
    }
    retry_until(provider, slots, deadline).await;
}

fn can_be_tried_again(slot: &PublishSlot) -> bool {
    matches!(&slot.outcome, Some(Err(error)) if error.is_temporary())
}

#[cold]
async fn retry_until(provider: &AnyProvider, slots: &mut [PublishSlot], deadline: Instant) {
    let mut wait = Growing::new(Duration::from_millis(10), Duration::from_secs(1));
    loop {
        let next = clock::now() + wait.next();
        if next >= deadline {
            return;
        }
        tokio::time::sleep_until(next).await;
        // From the first that failed on, so that the order of the batch is kept among those that are tried again.
        for slot in slots.iter_mut().filter(|slot| can_be_tried_again(slot)) {
            let Some(Err(before)) = slot.outcome.take() else {
                continue;
            };
            let one = std::slice::from_mut(slot);
            if timeout_at(deadline, provider.publish_dyn(one)).await.is_err() {
                return;
            }
            if let Some(Err(error)) = &one[0].outcome
                && before.is_indeterminate()
                && !error.is_indeterminate()
            {
                // What an earlier try may have stored, a later refusal does not take back.
                one[0].outcome = Some(Err(before));
            }
        }
        if !slots.iter().any(can_be_tried_again) {
            return;
        }
    }
}

#[cfg_attr(not(feature = "store"), allow(unused_variables))] // the key is for the history alone
fn answer(
    slot: PublishSlot,
    key: Option<&str>,
    route: &TopicRoute,
    wiring: &Wiring,
) -> Result<ProduceReceipt, BrokerError> {
    match outcome(slot.outcome, route, wiring) {
        Ok(receipt) => {
            let id = slot.message.id.clone();
            #[cfg(feature = "store")]
            if let Some(recorder) = wiring.recorder() {
                recorder.produced(slot.message, key, wiring);
            }
            Ok(ProduceReceipt::new(id, receipt))
        }
        Err(error) => {
            if error.publish_outcome() == Some(PublishOutcome::Rejected) {
                wiring.forget(&slot.message.id);
            }
            Err(error)
        }
    }
}

fn outcome(
    outcome: Option<Result<PublishReceipt, ProviderError>>,
    route: &TopicRoute,
    wiring: &Wiring,
) -> Result<PublishReceipt, BrokerError> {
    match outcome {
        Some(Ok(receipt)) => Ok(receipt),
        Some(Err(error)) => Err(failed(error, route)),
        None => {
            let waited = wiring.publish_timeout;
            let error = ProviderError::new(ErrorKind::Timeout, format!("no confirmation within {waited:?}"));
            Err(failed(error.with_indeterminate(), route))
        }
    }
}

fn failed(error: ProviderError, route: &TopicRoute) -> BrokerError {
    let outcome = if error.is_indeterminate() {
        PublishOutcome::Indeterminate
    } else {
        PublishOutcome::Rejected
    };
    let text = match outcome {
        PublishOutcome::Indeterminate => {
            format!(
                "`{}` was sent and not confirmed; it may be stored: produce it again with the same id",
                route.topic
            )
        }
        PublishOutcome::Rejected => format!("`{}` was not published", route.topic),
    };
    BrokerError::from_provider(ErrorCode::PublishFailed, text, error).with_publish_outcome(outcome)
}

/// Messages on their way out together. What failed before it could be sent keeps its place among the results.
pub(super) struct Batch<'a> {
    route: &'a TopicRoute,
    wiring: &'a Wiring,
    slots: Vec<PublishSlot>,
    failed: Vec<(usize, BrokerError)>,
    len: usize,
    bytes: usize,
}

impl<'a> Batch<'a> {
    pub(super) fn new(route: &'a TopicRoute, wiring: &'a Wiring) -> Self {
        Self {
            route,
            wiring,
            slots: Vec::new(),
            failed: Vec::new(),
            len: 0,
            bytes: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes of all payloads.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, message: Outgoing) {
        match self.wiring.check_open() {
            Ok(()) => {
                self.wiring.record(&message);
                self.bytes += message.payload.len();
                self.slots.push(PublishSlot::new(message));
                self.len += 1;
            }
            Err(error) => self.push_failed(error),
        }
    }

    pub(super) fn push_failed(&mut self, error: BrokerError) {
        self.failed.push((self.len, error));
        self.len += 1;
    }

    /// Publishes what there is.
    pub(super) async fn publish(&mut self) {
        let deadline = clock::after(self.wiring.publish_timeout);
        if !self.slots.is_empty() {
            publish_until(&self.route.provider, &mut self.slots, deadline).await;
        }
    }

    /// What became of each, in order.
    pub(super) fn answers(self, results: &mut Vec<Result<ProduceReceipt, BrokerError>>) {
        let mut failed = self.failed.into_iter().peekable();
        let mut slots = self.slots.into_iter();
        for at in 0..self.len {
            if let Some((_, error)) = failed.next_if(|(place, _)| *place == at) {
                results.push(Err(error));
            } else if let Some(slot) = slots.next() {
                results.push(answer(slot, None, self.route, self.wiring));
            }
        }
    }
}
