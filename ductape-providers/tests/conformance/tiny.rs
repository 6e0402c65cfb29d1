//! About the least that a provider can be: a queue a group, one reader a group, no clock. It keeps what it states and
//! refuses the rest, and so shows the other half of the suite.

use std::collections::{HashMap, VecDeque};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ductape_providers::capability::{Order, Requeue};
use ductape_providers::conformance::{Filter, Harness, Outcome, run};
use ductape_providers::examine::Finding;
use ductape_providers::provider::{Backlog, Durability, ProviderInfo};
use ductape_providers::spec::{SeekTo, Source, Start};
use ductape_providers::{
    AnyProvider, Capability, Delivery, Error, ErrorKind, GroupName, Incoming, Outgoing, Provider,
    PublishReceipt, PublishSlot, Receipt, Result, Route, SettleSlot, Settlement, Settler, Subscription,
    SubscriptionSpec, TopicName, TopicSpec,
};
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(Outgoing, u32)>,
    taken: HashMap<u64, (Outgoing, u32)>,
    read: bool,
}

#[derive(Debug)]
struct Broker {
    topics: Mutex<Queues>,
    next_token: Mutex<u64>,
    changed: watch::Sender<()>,
    info: ProviderInfo,
}

/// A group's messages and its dead letters, by topic.
type Queues = HashMap<TopicName, HashMap<GroupName, [Queue; 2]>>;

impl Broker {
    fn topics(&self) -> MutexGuard<'_, Queues> {
        self.topics.lock().unwrap()
    }

    fn token(&self) -> u64 {
        let mut next = self.next_token.lock().unwrap();
        *next += 1;
        *next
    }
}

#[derive(Debug)]
struct Tiny {
    broker: Arc<Broker>,
    closed: Arc<AtomicBool>,
}

fn unsupported<T>(what: &str) -> Result<T> {
    Err(Error::new(ErrorKind::Unsupported, format!("tiny has no {what}")))
}

fn missing(kind: ErrorKind, topic: &TopicName) -> Error {
    Error::new(kind, format!("not declared: {topic}"))
}

impl Tiny {
    fn open(&self) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Closed, "tiny was closed"));
        }
        Ok(())
    }

    fn publish_one(&self, message: &Outgoing) -> Result<PublishReceipt> {
        self.open()?;
        message.headers.check()?;
        if message.payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::PayloadTooLarge,
                format!(
                    "{} bytes; at most {PAYLOAD_BYTES_MAX} are allowed",
                    message.payload.len()
                ),
            ));
        }
        if matches!(message.route, Route::Group(_)) {
            return unsupported("route to one group");
        }
        if message.not_before.is_some() {
            return unsupported("delays");
        }
        let mut topics = self.broker.topics();
        let groups = topics
            .get_mut(&message.topic)
            .ok_or_else(|| missing(ErrorKind::TopicMissing, &message.topic))?;
        if let Route::DeadLetters(group) = &message.route {
            let [_, dead] = groups
                .get_mut(group)
                .ok_or_else(|| missing(ErrorKind::GroupMissing, &message.topic))?;
            dead.waiting.push_back((message.clone(), 1));
        } else {
            for [messages, _] in groups.values_mut() {
                messages.waiting.push_back((message.clone(), 1));
            }
        }
        Ok(PublishReceipt {
            durability: Durability::Buffered,
            position: None,
            duplicate: false,
        })
    }
}

impl Provider for Tiny {
    type Subscription = TinySubscription;

    fn info(&self) -> &ProviderInfo {
        &self.broker.info
    }

    fn capability(&self) -> Capability {
        let mut capability = Capability::least(PAYLOAD_BYTES_MAX);
        capability.order = Order::PerTopic;
        capability.requeue = Requeue::Immediate;
        capability.delivery_count = true;
        capability.receive_batch_max = NonZeroUsize::new(16).unwrap();
        capability
    }

    async fn declare(&self, topic: &TopicSpec) -> Result<()> {
        self.open()?;
        for group in &topic.groups {
            if group.once || group.ephemeral || group.start == Start::Earliest {
                return unsupported("once, ephemeral groups, or start");
            }
        }
        let mut topics = self.broker.topics();
        let groups = topics.entry(topic.topic.clone()).or_default();
        for group in &topic.groups {
            groups.entry(group.name.clone()).or_default();
        }
        Ok(())
    }

    async fn publish(&self, batch: &mut [PublishSlot]) {
        for slot in batch {
            slot.outcome = Some(self.publish_one(&slot.message));
        }
        self.broker.changed.send_replace(());
    }

    async fn subscribe(&self, spec: &SubscriptionSpec) -> Result<TinySubscription> {
        self.open()?;
        let mut topics = self.broker.topics();
        let groups = topics
            .get_mut(&spec.topic)
            .ok_or_else(|| missing(ErrorKind::TopicMissing, &spec.topic))?;
        let which = usize::from(spec.source == Source::DeadLetters);
        let queue = groups
            .get_mut(&spec.group.name)
            .map(|queues| &mut queues[which])
            .ok_or_else(|| missing(ErrorKind::GroupMissing, &spec.topic))?;
        if queue.read {
            return unsupported("second reader of a group");
        }
        queue.read = true;
        Ok(TinySubscription {
            place: TinySettler {
                broker: Arc::clone(&self.broker),
                topic: spec.topic.clone(),
                group: spec.group.name.clone(),
                which,
            },
            prefetch: spec.prefetch.get(),
            closed: Arc::clone(&self.closed),
            changed: self.broker.changed.subscribe(),
        })
    }

    async fn seek(&self, _: &TopicName, _: &GroupName, _: SeekTo) -> Result<()> {
        unsupported("log")
    }

    async fn backlog(&self, _: &TopicName, _: &GroupName) -> Result<Backlog> {
        unsupported("count")
    }

    async fn examine(&self, _: &[TopicSpec]) -> Result<Vec<Finding>> {
        self.open()?;
        Ok(Vec::new())
    }

    async fn ping(&self) -> Result<()> {
        self.open()
    }

    async fn close(&self, _: Instant) -> Result<()> {
        self.closed.store(true, Ordering::SeqCst);
        self.broker.changed.send_replace(());
        Ok(())
    }
}

#[derive(Debug)]
struct TinySubscription {
    place: TinySettler,
    prefetch: usize,
    closed: Arc<AtomicBool>,
    changed: watch::Receiver<()>,
}

impl Subscription for TinySubscription {
    type Settler = TinySettler;

    fn settler(&self) -> TinySettler {
        self.place.clone()
    }

    async fn receive(&mut self, into: &mut Vec<Delivery>, max: NonZeroUsize) -> Result<()> {
        loop {
            self.changed.mark_unchanged();
            if self.closed.load(Ordering::SeqCst) {
                return Err(Error::new(ErrorKind::Closed, "tiny was closed"));
            }
            let before = into.len();
            self.place.queue(|queue| {
                let room = self
                    .prefetch
                    .saturating_sub(queue.taken.len())
                    .min(max.get())
                    .min(16);
                let most = room.min(queue.waiting.len());
                for (message, count) in queue.waiting.drain(..most) {
                    let token = self.place.broker.token();
                    into.push(Delivery {
                        message: incoming(&message, count),
                        receipt: Receipt::new(token),
                    });
                    queue.taken.insert(token, (message, count));
                }
            });
            if into.len() > before {
                return Ok(());
            }
            if self.changed.changed().await.is_err() {
                return Err(Error::new(ErrorKind::Closed, "tiny is gone"));
            }
        }
    }

    async fn close(self) -> Result<()> {
        Ok(())
    }
}

impl Drop for TinySubscription {
    fn drop(&mut self) {
        self.place.queue(|queue| {
            queue.read = false;
            let mut taken: Vec<_> = queue.taken.drain().collect();
            taken.sort_unstable_by_key(|(token, _)| *token);
            for (_, (message, count)) in taken.into_iter().rev() {
                queue.waiting.push_front((message, count + 1));
            }
        });
        self.place.broker.changed.send_replace(());
    }
}

fn incoming(message: &Outgoing, count: u32) -> Incoming {
    Incoming {
        topic: message.topic.clone(),
        id: message.id.clone(),
        key: message.key.clone(),
        headers: message.headers.clone(),
        payload: message.payload.clone(),
        published_at: Some(message.published_at),
        position: None,
        delivery_count: NonZeroU32::new(count),
    }
}

#[derive(Clone, Debug)]
struct TinySettler {
    broker: Arc<Broker>,
    topic: TopicName,
    group: GroupName,
    which: usize,
}

impl TinySettler {
    fn queue<T>(&self, work: impl FnOnce(&mut Queue) -> T) -> T {
        let mut topics = self.broker.topics();
        let groups = topics.get_mut(&self.topic).unwrap();
        work(&mut groups.get_mut(&self.group).unwrap()[self.which])
    }
}

impl Settler for TinySettler {
    async fn settle(&self, batch: &mut [SettleSlot]) {
        for slot in batch {
            if matches!(slot.how, Settlement::RequeueAfter(_)) {
                slot.outcome = Some(unsupported("clock"));
                continue;
            }
            slot.outcome = Some(self.queue(|queue| {
                let (message, count) = queue
                    .taken
                    .remove(&slot.receipt.token())
                    .ok_or_else(|| Error::new(ErrorKind::LeaseLost, "not this reader's"))?;
                if slot.how == Settlement::Requeue {
                    queue.waiting.push_front((message, count));
                }
                Ok(())
            }));
        }
        self.broker.changed.send_replace(());
    }

    async fn extend(&self, _: &[&Receipt], _: Duration) -> Result<()> {
        unsupported("leases")
    }
}

/// A broker of its own, with as many handles as are asked for.
pub(crate) struct TinyHarness(Arc<Broker>);

impl TinyHarness {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Broker {
            topics: Mutex::default(),
            next_token: Mutex::default(),
            changed: watch::Sender::new(()),
            info: ProviderInfo {
                provider: "tiny",
                address: "this test".to_owned(),
            },
        }))
    }
}

impl Harness for TinyHarness {
    fn name(&self) -> &'static str {
        "tiny"
    }

    fn connect(&self) -> BoxFuture<'_, Result<AnyProvider>> {
        Box::pin(async {
            Ok(Arc::new(Tiny {
                broker: Arc::clone(&self.0),
                closed: Arc::default(),
            }) as AnyProvider)
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_can_do_little_passes_by_refusing_the_rest() {
    let report = run(Arc::new(TinyHarness::new()), &Filter::all()).await;
    println!("{report}");
    report.assert_passed();
    for (id, what) in [
        ("C-060", "seek"),
        ("C-024", "requeue delayed"),
        ("C-055", "groups"),
        ("D-013", "once"),
    ] {
        assert_eq!(report.outcome(id), Some(&Outcome::Unsupported(what)));
    }
}
