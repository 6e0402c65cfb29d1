//! Brokers that are broken on purpose: the runtime's cases must notice each of them.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as Atomic};
use std::time::Duration;

use ductape_events::conformance::cases;
use ductape_events::providers::conformance::{Filter, Harness, Outcome, run_cases};
use ductape_events::providers::examine::Finding;
use ductape_events::providers::provider::{Backlog, Durability, ProviderInfo, PublishReceipt};
use ductape_events::providers::spec::{Ordering, SeekTo};
use ductape_events::providers::{
    AnyProvider, Capability, Delivery, GroupName, GroupSpec, Headers, ProviderDyn, PublishSlot, Receipt,
    Result, Route, SettleSlot, Settlement, SettlerDyn, SubscriptionDyn, SubscriptionSpec, TopicName,
    TopicSpec,
};
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::harness::Broker;

/// What is wrong with a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Nothing: the wrapper itself must not be what the suite notices.
    None,
    /// Confirms each fifth message and drops it.
    Loses,
    LosesHeaders,
    /// Settles what it delivers before it is handled.
    AcksTooEarly,
    /// Brings back what was acked.
    ForgetsAcks,
    LosesDeadLetters,
    /// Shows what is for one group to all.
    SendsToEveryGroup,
    /// Brings failed messages back at once.
    ForgetsDelays,
    /// Lets later messages of a key pass a failed one.
    LetsRetriesPass,
    /// Delivers what it has in the wrong order.
    Reorders,
    ForgetsOnce,
    /// Says that it extended a lease.
    IgnoresExtensions,
}

/// Each fault with cases that must fail on it. Others may fail too.
const CAUGHT: &[(Fault, &[&str])] = &[
    (Fault::Loses, &["R-202", "R-055", "R-050", "R-054"]),
    (Fault::LosesHeaders, &["R-112", "R-111", "R-019", "R-033"]),
    (Fault::AcksTooEarly, &["R-029", "R-099", "R-214"]),
    (Fault::ForgetsAcks, &["R-101", "R-098"]),
    (
        Fault::LosesDeadLetters,
        &["R-032", "R-036", "R-039", "R-220", "R-017"],
    ),
    (Fault::SendsToEveryGroup, &["R-036", "R-224"]),
    (Fault::ForgetsDelays, &["R-030", "R-047", "R-210"]),
    (Fault::LetsRetriesPass, &["R-052"]),
    (Fault::Reorders, &["R-050", "R-016"]),
    (Fault::ForgetsOnce, &["R-071"]),
    (Fault::IgnoresExtensions, &["R-042"]),
];

struct BrokenHarness {
    working: Broker,
    fault: Fault,
}

impl Harness for BrokenHarness {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn connect(&self) -> BoxFuture<'_, Result<AnyProvider>> {
        Box::pin(async {
            let inner = self.working.connect().await?;
            let published = AtomicU64::new(0);
            let fault = self.fault;
            Ok(Arc::new(Broken {
                inner,
                fault,
                published,
            }) as AnyProvider)
        })
    }

    // What does not come is what most faults do.
    fn patience(&self) -> Duration {
        Duration::from_millis(2_500)
    }
}

#[derive(Debug)]
struct Broken {
    inner: AnyProvider,
    fault: Fault,
    published: AtomicU64,
}

impl Broken {
    fn group(&self, mut group: GroupSpec) -> GroupSpec {
        match self.fault {
            Fault::ForgetsOnce => group.once = false,
            Fault::LetsRetriesPass => group.ordering = Ordering::Relaxed,
            _ => {}
        }
        group
    }

    /// Alters a message; `false` where it is to be dropped, and confirmed all the same.
    fn alter(&self, slot: &mut PublishSlot) -> bool {
        let message = &mut slot.message;
        let number = self.published.fetch_add(1, Atomic::Relaxed);
        match self.fault {
            Fault::Loses => return number % 5 != 2,
            Fault::LosesHeaders => message.headers = Headers::new(),
            Fault::LosesDeadLetters => return !matches!(message.route, Route::DeadLetters(_)),
            Fault::SendsToEveryGroup if matches!(message.route, Route::Group(_)) => {
                message.route = Route::Topic;
            }
            _ => {}
        }
        true
    }
}

impl ProviderDyn for Broken {
    fn info_dyn(&self) -> &ProviderInfo {
        self.inner.info_dyn()
    }

    fn capability_dyn(&self) -> Capability {
        self.inner.capability_dyn()
    }

    fn declare_dyn<'a>(&'a self, topic: &'a TopicSpec) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut topic = topic.clone();
            topic.groups = topic.groups.into_iter().map(|group| self.group(group)).collect();
            self.inner.declare_dyn(&topic).await
        })
    }

    fn publish_dyn<'a>(&'a self, batch: &'a mut [PublishSlot]) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for slot in batch {
                if self.alter(slot) {
                    self.inner.publish_dyn(std::slice::from_mut(slot)).await;
                } else {
                    slot.outcome = Some(Ok(PublishReceipt {
                        durability: Durability::BrokerMemory,
                        position: None,
                        duplicate: false,
                    }));
                }
            }
        })
    }

    fn subscribe_dyn<'a>(
        &'a self,
        spec: &'a SubscriptionSpec,
    ) -> BoxFuture<'a, Result<Box<dyn SubscriptionDyn>>> {
        Box::pin(async move {
            let mut spec = spec.clone();
            spec.group = self.group(spec.group);
            let inner = self.inner.subscribe_dyn(&spec).await?;
            let settler = inner.settler_dyn();
            let fault = self.fault;
            Ok(Box::new(BrokenSubscription {
                inner,
                settler,
                fault,
            }) as Box<dyn SubscriptionDyn>)
        })
    }

    fn seek_dyn<'a>(
        &'a self,
        topic: &'a TopicName,
        group: &'a GroupName,
        to: SeekTo,
    ) -> BoxFuture<'a, Result<()>> {
        self.inner.seek_dyn(topic, group, to)
    }

    fn backlog_dyn<'a>(
        &'a self,
        topic: &'a TopicName,
        group: &'a GroupName,
    ) -> BoxFuture<'a, Result<Backlog>> {
        self.inner.backlog_dyn(topic, group)
    }

    fn examine_dyn<'a>(&'a self, topics: &'a [TopicSpec]) -> BoxFuture<'a, Result<Vec<Finding>>> {
        self.inner.examine_dyn(topics)
    }

    fn ping_dyn(&self) -> BoxFuture<'_, Result<()>> {
        self.inner.ping_dyn()
    }

    fn close_dyn(&self, deadline: Instant) -> BoxFuture<'_, Result<()>> {
        self.inner.close_dyn(deadline)
    }
}

#[derive(Debug)]
struct BrokenSubscription {
    inner: Box<dyn SubscriptionDyn>,
    settler: Arc<dyn SettlerDyn>,
    fault: Fault,
}

impl SubscriptionDyn for BrokenSubscription {
    fn settler_dyn(&self) -> Arc<dyn SettlerDyn> {
        Arc::new(BrokenSettler {
            inner: Arc::clone(&self.settler),
            fault: self.fault,
        })
    }

    fn receive_dyn<'a>(
        &'a mut self,
        into: &'a mut Vec<Delivery>,
        max: NonZeroUsize,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let before = into.len();
            self.inner.receive_dyn(into, max).await?;
            if self.fault == Fault::Reorders {
                into[before..].reverse();
            }
            if self.fault == Fault::AcksTooEarly {
                let tokens = into[before..].iter().map(|delivery| delivery.receipt.token());
                let mut slots: Vec<SettleSlot> = tokens
                    .map(|token| SettleSlot::new(Receipt::new(token), Settlement::Ack))
                    .collect();
                self.settler.settle_dyn(&mut slots).await;
            }
            Ok(())
        })
    }

    fn close_dyn(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        self.inner.close_dyn()
    }
}

#[derive(Debug)]
struct BrokenSettler {
    inner: Arc<dyn SettlerDyn>,
    fault: Fault,
}

impl SettlerDyn for BrokenSettler {
    fn settle_dyn<'a>(&'a self, batch: &'a mut [SettleSlot]) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for slot in batch {
                match (self.fault, slot.how) {
                    (Fault::AcksTooEarly, _) | (Fault::ForgetsAcks, Settlement::Ack) => {
                        slot.outcome = Some(Ok(()));
                        continue;
                    }
                    (Fault::ForgetsDelays, Settlement::RequeueAfter(_)) => {
                        slot.how = Settlement::RequeueAfter(Duration::ZERO);
                    }
                    _ => {}
                }
                self.inner.settle_dyn(std::slice::from_mut(slot)).await;
            }
        })
    }

    fn extend_dyn<'a>(&'a self, receipts: &'a [&'a Receipt], by: Duration) -> BoxFuture<'a, Result<()>> {
        if self.fault == Fault::IgnoresExtensions {
            return Box::pin(async { Ok(()) });
        }
        self.inner.extend_dyn(receipts, by)
    }
}

/// What of `expected` did not fail on `fault`.
async fn missed_by(fault: Fault, expected: &[&str]) -> Vec<String> {
    let working = Broker::memory();
    let harness = Arc::new(BrokenHarness { working, fault });
    let report = run_cases(harness, cases(), &Filter::only(expected.iter().copied())).await;
    assert_eq!(
        report.rows.len(),
        expected.len(),
        "{fault:?} names a case that is not there"
    );
    let missed = report.rows.iter().filter(|row| match &row.outcome {
        Outcome::Failed(message) => message.contains("panicked"),
        Outcome::Passed | Outcome::Unsupported(_) => true,
    });
    missed
        .map(|row| {
            format!(
                "{fault:?} by {} {}: {:?}",
                row.case.id, row.case.name, row.outcome
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_is_caught() {
    // All at once: most of the time goes by waiting for what never comes.
    let mut running = tokio::task::JoinSet::new();
    for (fault, expected) in CAUGHT {
        running.spawn(missed_by(*fault, expected));
    }
    let missed = running.join_all().await.concat();
    assert!(missed.is_empty(), "not caught: {missed:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wrapper_without_a_fault_passes() {
    let (working, fault) = (Broker::memory(), Fault::None);
    let only = CAUGHT.iter().flat_map(|(_, ids)| ids.iter().copied());
    let harness = Arc::new(BrokenHarness { working, fault });
    run_cases(harness, cases(), &Filter::only(only))
        .await
        .assert_passed();
}
