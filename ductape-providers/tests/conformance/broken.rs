//! A provider that works, but for one fault.

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering as Atomic};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ductape_providers::examine::Finding;
use ductape_providers::message::Position;
use ductape_providers::provider::{Backlog, Durability, ProviderInfo};
use ductape_providers::spec::{Ordering, SeekTo, Source, Start};
use ductape_providers::{
    AnyProvider, Capability, Delivery, Error, ErrorKind, GroupName, GroupSpec, Headers, Provider,
    PublishReceipt, PublishSlot, Receipt, Result, Route, SettleSlot, Settlement, Settler, SettlerDyn,
    Subscription, SubscriptionDyn, SubscriptionSpec, TopicName, TopicSpec,
};
use tokio::time::Instant;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: the wrapper itself must not be what the suite notices.
    None,
    // Publish.
    Loses,
    Duplicates,
    LosesHeaders,
    LosesKeys,
    TextOnly,
    SpacesOutJson,
    DropsEmpty,
    NewIds,
    MixesTopics,
    TakesTheOversized,
    TakesAnyHeader,
    FailsTheWholeBatch,
    TakesUnknownTopics,
    // Settlement.
    AcksTooEarly,
    ForgetsAcks,
    RequeuesRejected,
    LosesRequeued,
    Miscounts,
    CountsRequeues,
    LosesOnCancel,
    ForgetsOnce,
    // Timing.
    ForgetsDelays,
    TakesAnyDelay,
    DelaysWhatIsDue,
    IgnoresLease,
    TakesLateAcks,
    // Order.
    Reorders,
    LetsRetriesPass,
    HoldsForEveryRetry,
    SeeksNowhere,
    // Groups.
    MixesGroups,
    SendsToEveryGroup,
    IgnoresPrefetch,
    OneAtATime,
    ReturnsTooMany,
    StartsAtTheEarliest,
    KeepsEphemeralGroups,
    CountsNoBacklog,
    // Dead letters.
    DeliversDeadLetters,
    LosesDeadLetters,
    // Lifecycle.
    ConfirmsAfterClose,
    HangsAfterClose,
    MakesGroupsUnasked,
    ForgetsAtDeclare,
    Forgets,
    ConnectsAtOnce,
    NeedsItsRuntime,
    ClosesEveryHandle,
    PingsAfterClose,
    // The capability.
    DeniesWhatItCan,
}

/// What all handles of one broken broker share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    published: AtomicU64,
    handles: Mutex<Vec<AnyProvider>>,
    first_groups: Mutex<HashMap<TopicName, GroupSpec>>,
}

#[derive(Debug)]
pub(crate) struct Broken {
    inner: AnyProvider,
    fault: Fault,
    shared: Arc<Shared>,
    closed: AtomicBool,
    runtime: tokio::runtime::Id,
}

impl Broken {
    pub(crate) fn new(inner: AnyProvider, fault: Fault, shared: Arc<Shared>) -> Self {
        shared.handles.lock().unwrap().push(Arc::clone(&inner));
        Self {
            runtime: tokio::runtime::Handle::current().id(),
            inner,
            fault,
            shared,
            closed: AtomicBool::new(false),
        }
    }

    fn group(&self, mut group: GroupSpec) -> GroupSpec {
        match self.fault {
            Fault::ForgetsOnce => group.once = false,
            Fault::IgnoresLease => group.lease = Duration::from_hours(1),
            Fault::LetsRetriesPass => group.ordering = Ordering::Relaxed,
            Fault::HoldsForEveryRetry => group.ordering = Ordering::Strict,
            Fault::StartsAtTheEarliest => group.start = Start::Earliest,
            Fault::KeepsEphemeralGroups => group.ephemeral = false,
            _ => {}
        }
        group
    }

    /// Alters the message; `false` where it is to be dropped, and confirmed all the same.
    fn alter(&self, slot: &mut PublishSlot) -> bool {
        let message = &mut slot.message;
        let number = self.shared.published.fetch_add(1, Atomic::Relaxed);
        match self.fault {
            Fault::Loses => return number % 5 != 2,
            Fault::LosesHeaders => message.headers = Headers::new(),
            Fault::LosesKeys => message.key = None,
            Fault::TextOnly => {
                message.payload = String::from_utf8_lossy(&message.payload).into_owned().into();
            }
            Fault::SpacesOutJson => {
                if let Ok(json) = serde_json::from_slice::<serde_json::Value>(&message.payload) {
                    message.payload = serde_json::to_vec_pretty(&json).unwrap().into();
                }
            }
            Fault::DropsEmpty => return !message.payload.is_empty(),
            Fault::NewIds => message.id = ductape_providers::MessageId::new(),
            Fault::TakesTheOversized => {
                let most = self.inner.capability_dyn().payload_bytes_max;
                message.payload.truncate(most);
            }
            Fault::TakesAnyHeader if message.headers.check().is_err() => message.headers = Headers::new(),
            Fault::ForgetsDelays => message.not_before = None,
            Fault::TakesAnyDelay if message.not_before.is_some() => {
                message.not_before = Some(message.published_at + Duration::from_millis(300));
            }
            Fault::DelaysWhatIsDue if message.not_before < Some(message.published_at) => {
                message.not_before = message.not_before.map(|time| time + Duration::from_hours(2));
            }
            Fault::SendsToEveryGroup if matches!(message.route, Route::Group(_)) => {
                message.route = Route::Topic;
            }
            Fault::DeliversDeadLetters => {
                if let Route::DeadLetters(group) = &message.route {
                    message.route = Route::Group(group.clone());
                }
            }
            Fault::LosesDeadLetters => return !matches!(message.route, Route::DeadLetters(_)),
            _ => {}
        }
        true
    }
}

const CONFIRMED: PublishReceipt = PublishReceipt {
    durability: Durability::Buffered,
    position: None,
    duplicate: false,
};

impl Provider for Broken {
    type Subscription = BrokenSubscription;

    fn info(&self) -> &ProviderInfo {
        self.inner.info_dyn()
    }

    fn capability(&self) -> Capability {
        let mut capability = self.inner.capability_dyn();
        match self.fault {
            Fault::DeniesWhatItCan => {
                capability.seek = false;
                capability.backlog = false;
                capability.once = false;
                capability.lease = false;
                capability.groups = false;
                capability.start_earliest = false;
                capability.ephemeral_groups = false;
                capability.route_to_group = false;
                capability.delivery_count = false;
                capability.publish_delay_max = None;
                capability.requeue = ductape_providers::capability::Requeue::Immediate;
            }
            Fault::Forgets => capability.persistent = true,
            Fault::ReturnsTooMany => capability.receive_batch_max = NonZeroUsize::MIN,
            _ => {}
        }
        capability
    }

    async fn declare(&self, topic: &TopicSpec) -> Result<()> {
        let mut spec = topic.clone();
        for group in &mut spec.groups {
            *group = self.group(group.clone());
            let mut first = self.shared.first_groups.lock().unwrap();
            first.entry(topic.topic.clone()).or_insert_with(|| group.clone());
        }
        let declared = self.inner.declare_dyn(&spec).await;
        if self.fault == Fault::ForgetsAtDeclare {
            for group in &spec.groups {
                self.inner
                    .seek_dyn(&topic.topic, &group.name, SeekTo::Latest)
                    .await?;
            }
            return Ok(());
        }
        declared
    }

    async fn publish(&self, batch: &mut [PublishSlot]) {
        if self.fault == Fault::NeedsItsRuntime && tokio::runtime::Handle::current().id() != self.runtime {
            std::future::pending::<()>().await;
        }
        if self.fault == Fault::ConfirmsAfterClose && self.closed.load(Atomic::Relaxed) {
            for slot in batch {
                slot.outcome = Some(Ok(CONFIRMED));
            }
            return;
        }
        // One slot in a batch of its own where some are dropped or doubled; else the batch as it is.
        let kept: Vec<bool> = batch.iter_mut().map(|slot| self.alter(slot)).collect();
        if kept.contains(&false) {
            for (slot, kept) in batch.iter_mut().zip(kept) {
                if kept {
                    self.inner.publish_dyn(std::slice::from_mut(slot)).await;
                } else {
                    slot.outcome = Some(Ok(CONFIRMED));
                }
            }
            return;
        }
        self.inner.publish_dyn(batch).await;
        match self.fault {
            Fault::Duplicates => {
                let again = batch
                    .iter()
                    .step_by(5)
                    .map(|slot| PublishSlot::new(slot.message.clone()));
                self.inner.publish_dyn(&mut again.collect::<Vec<_>>()).await;
            }
            Fault::MixesTopics => {
                let topics: Vec<TopicName> =
                    self.shared.first_groups.lock().unwrap().keys().cloned().collect();
                for topic in topics {
                    let others = batch.iter().filter(|slot| slot.message.topic != topic);
                    let mut copies: Vec<_> = others
                        .map(|slot| {
                            let mut message = slot.message.clone();
                            message.topic = topic.clone();
                            PublishSlot::new(message)
                        })
                        .collect();
                    self.inner.publish_dyn(&mut copies).await;
                }
            }
            Fault::FailsTheWholeBatch if batch.iter().any(|slot| matches!(slot.outcome, Some(Err(_)))) => {
                for slot in batch {
                    slot.outcome = Some(Err(Error::new(ErrorKind::Unexpected, "the batch failed")));
                }
            }
            Fault::TakesUnknownTopics => {
                for slot in batch {
                    if matches!(&slot.outcome, Some(Err(error)) if error.kind() == ErrorKind::TopicMissing) {
                        slot.outcome = Some(Ok(CONFIRMED));
                    }
                }
            }
            _ => {}
        }
    }

    async fn subscribe(&self, spec: &SubscriptionSpec) -> Result<BrokenSubscription> {
        let mut spec = spec.clone();
        spec.group = self.group(spec.group);
        match self.fault {
            Fault::IgnoresPrefetch => {
                spec.prefetch = spec.prefetch.saturating_mul(NonZeroUsize::new(4).unwrap());
            }
            Fault::OneAtATime => spec.prefetch = NonZeroUsize::MIN,
            Fault::MixesGroups if spec.source == Source::Messages => {
                if let Some(first) = self.shared.first_groups.lock().unwrap().get(&spec.topic) {
                    spec.group = first.clone();
                }
            }
            Fault::MakesGroupsUnasked => {
                let declared = TopicSpec::new(spec.topic.clone()).with_group(spec.group.clone());
                self.inner.declare_dyn(&declared).await?;
            }
            _ => {}
        }
        Ok(BrokenSubscription {
            inner: self.inner.subscribe_dyn(&spec).await?,
            fault: self.fault,
        })
    }

    async fn seek(&self, topic: &TopicName, group: &GroupName, to: SeekTo) -> Result<()> {
        if self.fault == Fault::SeeksNowhere {
            return Ok(());
        }
        self.inner.seek_dyn(topic, group, to).await
    }

    async fn backlog(&self, topic: &TopicName, group: &GroupName) -> Result<Backlog> {
        let backlog = self.inner.backlog_dyn(topic, group).await?;
        Ok(if self.fault == Fault::CountsNoBacklog {
            Backlog::default()
        } else {
            backlog
        })
    }

    async fn examine(&self, topics: &[TopicSpec]) -> Result<Vec<Finding>> {
        self.inner.examine_dyn(topics).await
    }

    async fn ping(&self) -> Result<()> {
        if self.fault == Fault::PingsAfterClose {
            return Ok(());
        }
        self.inner.ping_dyn().await
    }

    async fn close(&self, deadline: Instant) -> Result<()> {
        self.closed.store(true, Atomic::Relaxed);
        if self.fault == Fault::ClosesEveryHandle {
            let handles = self.shared.handles.lock().unwrap().clone();
            for handle in handles {
                handle.close_dyn(deadline).await?;
            }
        }
        self.inner.close_dyn(deadline).await
    }
}

#[derive(Debug)]
pub(crate) struct BrokenSubscription {
    inner: Box<dyn SubscriptionDyn>,
    fault: Fault,
}

impl Subscription for BrokenSubscription {
    type Settler = BrokenSettler;

    fn settler(&self) -> BrokenSettler {
        BrokenSettler {
            inner: self.inner.settler_dyn(),
            fault: self.fault,
        }
    }

    async fn receive(&mut self, into: &mut Vec<Delivery>, max: NonZeroUsize) -> Result<()> {
        let before = into.len();
        if self.fault == Fault::LosesOnCancel {
            // What a task of its own would have buffered, and a dropped future loses.
            let mut taken = Vec::new();
            self.inner.receive_dyn(&mut taken, max).await?;
            tokio::time::sleep(Duration::from_millis(1)).await;
            into.append(&mut taken);
            return Ok(());
        }
        let received = self.inner.receive_dyn(into, max).await;
        if received.is_err() && self.fault == Fault::HangsAfterClose {
            std::future::pending::<()>().await;
        }
        received?;
        match self.fault {
            Fault::Reorders => into[before..].reverse(),
            Fault::Miscounts => {
                for delivery in &mut into[before..] {
                    delivery.message.delivery_count = Some(NonZeroU32::MIN);
                }
            }
            Fault::AcksTooEarly => {
                let tokens = into[before..].iter().map(|delivery| delivery.receipt.token());
                let mut slots: Vec<SettleSlot> = tokens
                    .map(|token| SettleSlot::new(Receipt::new(token), Settlement::Ack))
                    .collect();
                self.inner.settler_dyn().settle_dyn(&mut slots).await;
            }
            Fault::SeeksNowhere => {
                for (at, delivery) in into[before..].iter_mut().enumerate() {
                    delivery.message.position.get_or_insert(Position(at as u64));
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn close(self) -> Result<()> {
        self.inner.close_dyn().await
    }
}

#[derive(Debug)]
pub(crate) struct BrokenSettler {
    inner: Arc<dyn SettlerDyn>,
    fault: Fault,
}

impl Settler for BrokenSettler {
    async fn settle(&self, batch: &mut [SettleSlot]) {
        for slot in batch.iter_mut() {
            slot.how = match (self.fault, slot.how) {
                (Fault::RequeuesRejected, Settlement::Reject) => Settlement::Requeue,
                (Fault::LosesRequeued, Settlement::Requeue) => Settlement::Ack,
                (Fault::CountsRequeues, Settlement::Requeue)
                | (Fault::ForgetsDelays, Settlement::RequeueAfter(_)) => {
                    Settlement::RequeueAfter(Duration::ZERO)
                }
                (Fault::TakesAnyDelay, Settlement::RequeueAfter(_)) => {
                    Settlement::RequeueAfter(Duration::from_millis(10))
                }
                (_, how) => how,
            };
        }
        match self.fault {
            Fault::AcksTooEarly | Fault::ForgetsAcks
                if self.fault == Fault::AcksTooEarly || acks_only(batch) =>
            {
                for slot in batch {
                    slot.outcome = Some(Ok(()));
                }
            }
            Fault::TakesLateAcks => {
                self.inner.settle_dyn(batch).await;
                for slot in batch {
                    slot.outcome = Some(Ok(()));
                }
            }
            _ => self.inner.settle_dyn(batch).await,
        }
    }

    async fn extend(&self, receipts: &[&Receipt], by: Duration) -> Result<()> {
        if self.fault == Fault::TakesLateAcks {
            return Ok(());
        }
        self.inner.extend_dyn(receipts, by).await
    }
}

fn acks_only(batch: &[SettleSlot]) -> bool {
    batch.iter().all(|slot| slot.how == Settlement::Ack)
}
