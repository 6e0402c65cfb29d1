use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ductape_schema::GroupName;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::capability::{Capability, Order, Requeue};
use crate::clock;
use crate::embedded::durable::config::{DurableConfig, Synchronous};
use crate::embedded::durable::engine::{Engine, random};
use crate::embedded::durable::error::closed;
use crate::embedded::durable::lease::BATCH_MAX;
use crate::embedded::durable::place::{self, Place};
use crate::embedded::durable::publish::PublishWork;
use crate::embedded::durable::queue::{Command, Mailbox, Queue};
use crate::embedded::durable::schema;
use crate::embedded::durable::subscription::DurableSubscription;
use crate::error::{Error, ErrorKind, Result};
use crate::examine::Finding;
use crate::message::{Outgoing, TopicName};
use crate::provider::{Backlog, Durability, Provider, ProviderInfo, PublishReceipt, PublishSlot};
use crate::spec::{SeekTo, SubscriptionSpec, TopicSpec};

/// The most messages of one publish that become one transaction's part; larger batches are split.
const PUBLISH_MAX: usize = 4096;
/// The longest delay, of a publish and of a retry: a hundred years.
pub(super) const DELAY_MAX: Duration = Duration::from_hours(100 * 365 * 24);

/// The durable store, opened. Clones share it.
#[derive(Clone, Debug)]
pub struct Durable {
    link: Arc<Link>,
}

/// The way to the thread. When the last holder lets go, the thread ends.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) queue: Arc<Queue>,
    pub(super) file: String,
    info: ProviderInfo,
    capability: Capability,
    durability: Durability,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.queue.stop();
    }
}

impl Durable {
    /// See [`DurableConfig::open`].
    pub(super) async fn open(config: DurableConfig) -> Result<Self> {
        let file = config.path.display().to_string();
        let queue = Arc::new(Queue::new(file.clone()));
        let capability = config.capability();
        let synchronous = config.synchronous;
        let (to, from) = oneshot::channel();
        let thread_queue = Arc::clone(&queue);
        let thread_file = file.clone();
        // Opening blocks too, so it is the thread's first work.
        std::thread::Builder::new()
            .name("ductape-durable".to_owned())
            .spawn(move || {
                let opened = place::prepare(&config.path)
                    .and_then(|place| schema::open(&config, &thread_file).map(|conn| (place, conn)));
                match opened {
                    Ok((place, conn)) => {
                        if to.send(Ok(place)).is_ok() {
                            Engine::new(config, thread_file, thread_queue, conn, random()).run();
                        }
                    }
                    Err(error) => drop(to.send(Err(error))),
                }
            })
            .map_err(|error| {
                Error::new(ErrorKind::Unexpected, "the store's thread can't be started")
                    .with("file", &file)
                    .with_source(error)
            })?;
        let place = from.await.map_err(|_| closed(&file))??;
        let durability = match (synchronous, place) {
            (Synchronous::Full, Place::Disk) => Durability::BrokerDisk,
            _ => Durability::Buffered,
        };
        let info = ProviderInfo {
            provider: "embedded",
            address: file.clone(),
        };
        let link = Link {
            queue,
            file,
            info,
            capability,
            durability,
        };
        Ok(Self { link: Arc::new(link) })
    }

    fn check(&self, message: &Outgoing) -> Result<()> {
        let max = self.link.capability.payload_bytes_max;
        if message.payload.len() > max {
            let text = format!(
                "a payload of {} bytes; the store takes at most {max}",
                message.payload.len()
            );
            return Err(Error::new(ErrorKind::PayloadTooLarge, text)
                .with("topic", &message.topic)
                .with("file", &self.link.file));
        }
        let over = |due: SystemTime| {
            due.duration_since(clock::wall())
                .is_ok_and(|delay| delay > DELAY_MAX)
        };
        if message.not_before.is_some_and(over) {
            return Err(too_late("a publish")
                .with("topic", &message.topic)
                .with("file", &self.link.file));
        }
        message.headers.check()
    }

    async fn publish_some(&self, batch: &mut [PublishSlot]) {
        let (mut work, from) = PublishWork::with_capacity(batch.len());
        let mut sent = 0;
        for slot in batch.iter_mut() {
            match self.check(&slot.message) {
                Ok(()) => {
                    slot.outcome = None;
                    work.add(&slot.message);
                    sent += 1;
                }
                Err(error) => slot.outcome = Some(Err(error)),
            }
        }
        if sent == 0 {
            return;
        }
        let outcomes = match self.link.queue.push(Command::Publish(work)).await {
            Ok(()) => from.await.ok(),
            Err(_) => None,
        };
        // A thread that ends answers what it has taken, so without an answer it was not taken.
        let mut outcomes = outcomes.into_iter().flatten();
        for slot in batch.iter_mut().filter(|slot| slot.outcome.is_none()) {
            let outcome = outcomes.next().unwrap_or_else(|| Err(self.link.queue.closed()));
            slot.outcome = Some(outcome.map(|position| PublishReceipt {
                durability: self.link.durability,
                position,
                duplicate: false,
            }));
        }
    }
}

/// What a delay over [`DELAY_MAX`] answers.
pub(super) fn too_late(what: &str) -> Error {
    let days = DELAY_MAX.as_secs() / 86_400;
    Error::new(
        ErrorKind::Unsupported,
        format!("the store delays {what} by at most {days} days"),
    )
}

impl DurableConfig {
    /// What the store that [`open`](Self::open) gives can do.
    pub fn capability(&self) -> Capability {
        let mut capability = Capability::least(self.payload_bytes_max);
        // One member receives the topic in order; between members only a key's order is kept.
        capability.order = Order::PerKey;
        capability.requeue = Requeue::Delayed {
            max: DELAY_MAX,
            holds_key: true,
        };
        capability.groups = true;
        capability.ephemeral_groups = true;
        capability.route_to_group = true;
        capability.start_earliest = true;
        capability.seek = true;
        capability.delivery_count = true;
        capability.once = true;
        capability.persistent = true;
        capability.backlog = true;
        capability.publish_delay_max = Some(DELAY_MAX);
        capability.group_delay_max = Some(DELAY_MAX);
        capability.lease = true;
        capability.publish_batch_max = NonZeroUsize::new(PUBLISH_MAX).unwrap_or(NonZeroUsize::MIN);
        capability.receive_batch_max = NonZeroUsize::new(BATCH_MAX).unwrap_or(NonZeroUsize::MIN);
        capability
    }
}

impl Provider for Durable {
    type Subscription = DurableSubscription;

    fn info(&self) -> &ProviderInfo {
        &self.link.info
    }

    fn capability(&self) -> Capability {
        self.link.capability
    }

    async fn declare(&self, topic: &TopicSpec) -> Result<()> {
        self.link
            .queue
            .ask(|answer| Command::Declare(topic.clone(), answer))
            .await
    }

    async fn publish(&self, batch: &mut [PublishSlot]) {
        for batch in batch.chunks_mut(PUBLISH_MAX) {
            self.publish_some(batch).await;
        }
    }

    async fn subscribe(&self, spec: &SubscriptionSpec) -> Result<DurableSubscription> {
        let mailbox = Arc::new(Mailbox::default());
        let ours = Arc::clone(&mailbox);
        let id = self
            .link
            .queue
            .ask(|answer| Command::Subscribe(spec.clone(), mailbox, answer))
            .await?;
        Ok(DurableSubscription::new(id, Arc::clone(&self.link), ours))
    }

    async fn seek(&self, topic: &TopicName, group: &GroupName, to: SeekTo) -> Result<()> {
        self.link
            .queue
            .ask(|answer| Command::Seek(topic.clone(), group.clone(), to, answer))
            .await
    }

    async fn backlog(&self, topic: &TopicName, group: &GroupName) -> Result<Backlog> {
        self.link
            .queue
            .ask(|answer| Command::Backlog(topic.clone(), group.clone(), answer))
            .await
    }

    async fn examine(&self, _topics: &[TopicSpec]) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    async fn ping(&self) -> Result<()> {
        self.link.queue.ask(Command::Ping).await
    }

    async fn close(&self, deadline: Instant) -> Result<()> {
        match timeout_at(deadline, self.link.queue.ask(Command::Close)).await {
            // It was closed before.
            Ok(Err(error)) if error.kind() == ErrorKind::Closed => Ok(()),
            Ok(closed) => closed,
            Err(_) => Err(Error::new(
                ErrorKind::Timeout,
                "the store could not be closed in time; what was confirmed is kept",
            )
            .with("file", &self.link.file)),
        }
    }
}
