//! [`Journal`], the provider.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use ductape_providers::capability::{Order, Requeue};
use ductape_providers::examine::Finding;
use ductape_providers::provider::{Backlog, ProviderInfo};
use ductape_providers::spec::SeekTo;
use ductape_providers::{
    Capability, Error, ErrorKind, GroupName, GroupSpec, Outgoing, Provider, PublishReceipt, PublishSlot,
    Result, SubscriptionSpec, TopicName, TopicSpec,
};
use tokio::sync::{RwLock, watch};
use tokio::time::{Instant, timeout_at};

use crate::error;
use crate::folder::Folder;
use crate::subscription::JournalSubscription;

/// The largest payload, in bytes: a line that an editor still opens.
const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
/// The most messages of one write.
const PUBLISH_BATCH_MAX: usize = 1024;
pub(crate) const RECEIVE_BATCH_MAX: usize = 256;

/// A handle of a journal. Clones are the same handle; [`open`](Self::open) gives another one of the same journal.
#[derive(Clone, Debug)]
pub struct Journal {
    folder: Arc<Folder>,
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    info: ProviderInfo,
    closed: watch::Sender<bool>,
    /// Whatever is under way holds it to read, so that who has it to write knows that all is done.
    under_way: Arc<RwLock<()>>,
}

impl Journal {
    /// Opens the journal in `folder`, which is created where it does not exist.
    ///
    /// # Errors
    ///
    /// [`Unreachable`](ErrorKind::Unreachable) when the folder can't be used, or another process has it open;
    /// [`Decode`](ErrorKind::Decode) when a file in it is no journal.
    pub async fn open(folder: impl AsRef<Path> + Send) -> Result<Self> {
        let path = folder.as_ref().to_path_buf();
        let address = path.display().to_string();
        let opened = tokio::task::spawn_blocking(move || Folder::open(&path)).await;
        Ok(Self {
            folder: opened.map_err(stopped)??,
            handle: Arc::new(Handle {
                info: ProviderInfo {
                    provider: "journal",
                    address,
                },
                closed: watch::Sender::new(false),
                under_way: Arc::default(),
            }),
        })
    }

    /// Does what blocks, on a thread that may. It goes on to its end when the caller no longer waits: a dropped future
    /// leaves no half of anything.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> T + Send + 'static,
    ) -> Result<T> {
        let under_way = Arc::clone(&self.handle.under_way).read_owned().await;
        // After the wait, so that nothing begins once `close` has what it waits for.
        self.check_open()?;
        let folder = Arc::clone(&self.folder);
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&folder);
            drop(under_way);
            done
        });
        done.await.map_err(stopped)
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if *self.handle.closed.borrow() {
            return Err(error::closed());
        }
        Ok(())
    }

    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.handle.closed.subscribe()
    }
}

/// The thread panicked, or its runtime ended: what it was doing may be done.
fn stopped(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Unexpected, "the journal's work was stopped")
        .with_source(error)
        .with_indeterminate()
}

/// What a message or a group asks must be refused before anything is done, and by name: who asks for a delay and gets none
/// would not find out.
fn check_message(message: &Outgoing) -> Result<()> {
    message.headers.check()?;
    if message.payload.len() > PAYLOAD_BYTES_MAX {
        let len = message.payload.len();
        return Err(Error::new(
            ErrorKind::PayloadTooLarge,
            format!("a payload of {len} bytes; a journal takes at most {PAYLOAD_BYTES_MAX}"),
        ));
    }
    if message.not_before.is_some() {
        return Err(error::unsupported("deliver a message later", "it has no clock"));
    }
    Ok(())
}

fn check_group(group: &GroupSpec) -> Result<()> {
    if group.once {
        return Err(error::unsupported(
            "deliver an id once",
            "it keeps no ids of what was handled",
        ));
    }
    if group.ephemeral {
        return Err(error::unsupported(
            "keep a group for one process alone",
            "what is written stays",
        ));
    }
    Ok(())
}

impl Provider for Journal {
    type Subscription = JournalSubscription;

    fn info(&self) -> &ProviderInfo {
        &self.handle.info
    }

    /// Begins with nothing and adds what is kept, so that a capability that the project gains later is not claimed by
    /// accident.
    fn capability(&self) -> Capability {
        let mut can = Capability::least(PAYLOAD_BYTES_MAX);
        can.order = Order::PerKey;
        can.requeue = Requeue::Immediate;
        can.groups = true;
        can.route_to_group = true;
        can.start_earliest = true;
        can.seek = true;
        can.persistent = true;
        can.backlog = true;
        can.publish_batch_max = NonZeroUsize::MIN.saturating_add(PUBLISH_BATCH_MAX - 1);
        can.receive_batch_max = NonZeroUsize::MIN.saturating_add(RECEIVE_BATCH_MAX - 1);
        can
    }

    async fn declare(&self, topic: &TopicSpec) -> Result<()> {
        topic.groups.iter().try_for_each(check_group)?;
        let topic = topic.clone();
        self.blocking(move |folder| folder.topic_or_new(&topic)?.declare(&topic))
            .await?
    }

    async fn publish(&self, batch: &mut [PublishSlot]) {
        let mut good = Vec::with_capacity(batch.len());
        for (at, slot) in batch.iter_mut().enumerate() {
            match self.check_open().and_then(|()| check_message(&slot.message)) {
                // Cheap: the payload is shared.
                Ok(()) => good.push((at, slot.message.clone())),
                Err(error) => slot.outcome = Some(Err(error)),
            }
        }
        let slots: Vec<usize> = good.iter().map(|(at, _)| *at).collect();
        match self.blocking(move |folder| publish_all(folder, &good)).await {
            Ok(outcomes) => {
                for (at, outcome) in outcomes {
                    batch[at].outcome = Some(outcome);
                }
            }
            Err(error) => {
                for at in slots {
                    batch[at].outcome = Some(Err(error::again(&error)));
                }
            }
        }
    }

    async fn subscribe(&self, spec: &SubscriptionSpec) -> Result<JournalSubscription> {
        check_group(&spec.group)?;
        let name = spec.topic.clone();
        let topic = self.blocking(move |folder| folder.topic(&name)).await??;
        JournalSubscription::join(self.clone(), topic, spec)
    }

    async fn seek(&self, topic: &TopicName, group: &GroupName, to: SeekTo) -> Result<()> {
        let (topic, group) = (topic.clone(), group.clone());
        self.blocking(move |folder| folder.topic(&topic)?.seek(group.as_str(), to))
            .await?
    }

    async fn backlog(&self, topic: &TopicName, group: &GroupName) -> Result<Backlog> {
        let (topic, group) = (topic.clone(), group.clone());
        self.blocking(move |folder| folder.topic(&topic)?.backlog(group.as_str()))
            .await?
    }

    /// A folder has no settings that could be wrong.
    async fn examine(&self, _topics: &[TopicSpec]) -> Result<Vec<Finding>> {
        self.check_open()?;
        Ok(Vec::new())
    }

    async fn ping(&self) -> Result<()> {
        self.blocking(Folder::look).await?
    }

    async fn close(&self, deadline: Instant) -> Result<()> {
        // Receivers that wait are woken by this; what comes later is refused.
        self.handle.closed.send_replace(true);
        match timeout_at(deadline, self.handle.under_way.write()).await {
            Ok(_all_done) => Ok(()),
            Err(_) => Err(Error::new(
                ErrorKind::Timeout,
                "the disk has not taken all that was being written; it may be stored all the same",
            )),
        }
    }
}

/// Publishes in order, neighbours of one topic together.
fn publish_all(folder: &Folder, messages: &[(usize, Outgoing)]) -> Vec<(usize, Result<PublishReceipt>)> {
    let mut outcomes = Vec::with_capacity(messages.len());
    for neighbours in messages.chunk_by(|(_, one), (_, next)| one.topic == next.topic) {
        for some in neighbours.chunks(PUBLISH_BATCH_MAX) {
            let at = some.iter().map(|(at, _)| *at);
            let bare: Vec<&Outgoing> = some.iter().map(|(_, message)| message).collect();
            match folder.topic(&bare[0].topic) {
                Ok(topic) => outcomes.extend(at.zip(topic.publish(&bare))),
                Err(_) => outcomes.extend(at.map(|at| (at, Err(error::topic_missing(&bare[0].topic))))),
            }
        }
    }
    outcomes
}
