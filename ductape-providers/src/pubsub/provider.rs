//! [`PubSub`], the provider.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use ductape_schema::GroupName;
use google_cloud_gax::options::RequestOptionsBuilder as _;
use google_cloud_pubsub::client::Publisher;
use google_cloud_pubsub::model::SeekRequest;
use google_cloud_pubsub::model::seek_request::Target;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use super::config::Settings;
use super::connect::Clients;
use super::error::{closed, from_client, unsupported};
use super::live::{Acked, Live};
use super::subscription::PubSubSubscription;
use crate::capability::Capability;
use crate::error::{Error, ErrorKind, Result};
use crate::examine::Finding;
use crate::message::TopicName;
use crate::provider::{Backlog, Provider, ProviderInfo, PublishSlot};
use crate::spec::{GroupSpec, SeekTo, SubscriptionSpec, TopicSpec};

/// How long a ping may take.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to Google Pub/Sub. Clones are the same connection.
///
/// It works from any tokio runtime while the one that it was made in runs.
#[derive(Clone, Debug)]
pub struct PubSub {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    info: ProviderInfo,
    pub(super) settings: Settings,
    pub(super) clients: Clients,
    /// Where the client's tasks run.
    pub(super) runtime: Handle,
    /// Tells this process from others in the names of ephemeral groups.
    pub(super) instance: String,
    closed: AtomicBool,
    known: RwLock<HashMap<TopicName, Known>>,
    publishers: Mutex<HashMap<String, Publisher>>,
    live: Mutex<HashMap<u64, Arc<Live>>>,
    pub(super) acked: Arc<Mutex<Acked>>,
    /// Which group of which topic each configured subscription is used for.
    pub(super) taken: Mutex<HashMap<String, (TopicName, GroupName)>>,
}

/// What was declared of a topic.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The topic's own name, from which those of its groups are made.
    pub(super) base: String,
    /// Whether order is kept per key.
    pub(super) keyed: bool,
    /// The groups that live as long as their subscription.
    pub(super) ephemeral: Vec<GroupName>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PubSub {
    pub(super) fn new(settings: Settings, clients: Clients) -> Self {
        let info = ProviderInfo {
            provider: "pubsub",
            address: settings.address(),
        };
        // The last digits of an id are its random part.
        let instance = Uuid::now_v7().simple().to_string().split_off(20);
        Self {
            inner: Arc::new(Inner {
                info,
                settings,
                clients,
                runtime: Handle::current(),
                instance,
                closed: AtomicBool::new(false),
                known: RwLock::default(),
                publishers: Mutex::default(),
                live: Mutex::default(),
                acked: Arc::default(),
                taken: Mutex::default(),
            }),
        }
    }
}

impl Inner {
    /// Fails once the connection is closed.
    pub(super) fn check(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        Ok(())
    }

    /// What is known of a topic; the usual where it was not declared here.
    pub(super) fn known(&self, topic: &TopicName) -> Known {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(topic).cloned().unwrap_or_else(|| Known {
            base: topic.physical(),
            keyed: true,
            ephemeral: Vec::new(),
        })
    }

    /// Notes what is declared.
    pub(super) fn note(&self, spec: &TopicSpec) -> Known {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(spec.topic.clone()).or_insert_with(|| Known {
            base: spec.physical.clone().unwrap_or_else(|| spec.topic.physical()),
            keyed: spec.keyed,
            ephemeral: Vec::new(),
        });
        for group in spec.groups.iter().filter(|group| group.ephemeral) {
            if !known.ephemeral.contains(&group.name) {
                known.ephemeral.push(group.name.clone());
            }
        }
        known.clone()
    }

    /// The subscription of a group's messages.
    pub(super) fn subscription_id(&self, base: &str, group: &GroupSpec) -> String {
        match &self.settings.subscription_name {
            Some(name) if !group.named && !group.ephemeral => name.clone(),
            _ if group.ephemeral => format!("{base}.{}.{}", group.name, self.instance),
            _ => format!("{base}.{}", group.name),
        }
    }

    /// The publisher of a topic, by its full name.
    pub(super) fn publisher(&self, topic: String) -> Publisher {
        let mut publishers = lock(&self.publishers);
        if let Some(publisher) = publishers.get(&topic) {
            return publisher.clone();
        }
        // Its tasks outlive the caller's runtime.
        let _entered = self.runtime.enter();
        let publisher = super::publish::publisher(&self.clients.publisher, &topic);
        publishers.insert(topic, publisher.clone());
        publisher
    }

    /// Keeps a subscription until it has given everything back; refused once the connection is closed.
    pub(super) fn keep(&self, live: &Arc<Live>) -> Result<()> {
        let mut all = lock(&self.live);
        self.check()?;
        all.insert(live.number(), Arc::clone(live));
        Ok(())
    }

    /// Waits for those that read this subscription and are about to end: what they give back comes before what follows it.
    pub(super) async fn wait_for_ending(&self, path: &str) {
        let live: Vec<Arc<Live>> = lock(&self.live).values().map(Arc::clone).collect();
        for live in live.iter().filter(|live| live.is_ending(path)) {
            self.end(live, closed).await;
        }
    }

    pub(super) fn forget(&self, live: &Live) {
        lock(&self.live).remove(&live.number());
    }
}

impl Provider for PubSub {
    type Subscription = PubSubSubscription;

    fn info(&self) -> &ProviderInfo {
        &self.inner.info
    }

    fn capability(&self) -> Capability {
        self.inner.settings.capability()
    }

    async fn declare(&self, topic: &TopicSpec) -> Result<()> {
        self.inner.check()?;
        self.inner.declare(topic).await
    }

    async fn publish(&self, batch: &mut [PublishSlot]) {
        self.inner.publish(batch).await;
    }

    async fn subscribe(&self, spec: &SubscriptionSpec) -> Result<PubSubSubscription> {
        self.inner.check()?;
        PubSubSubscription::join(&self.inner, spec).await
    }

    /// Only to a time: Pub/Sub has no positions. What was acked comes again only where the topic or the subscription
    /// retains it.
    async fn seek(&self, topic: &TopicName, group: &GroupName, to: SeekTo) -> Result<()> {
        self.inner.check()?;
        let SeekTo::Time(time) = to else {
            return Err(unsupported(
                "set a group to a position",
                "set it to a time, where messages are retained",
            ));
        };
        self.inner.seek_to_time(topic, group, time).await
    }

    async fn backlog(&self, _topic: &TopicName, _group: &GroupName) -> Result<Backlog> {
        self.inner.check()?;
        Err(unsupported(
            "count what a group has before it",
            "look at the metric `subscription/num_undelivered_messages` of Cloud Monitoring",
        ))
    }

    async fn examine(&self, topics: &[TopicSpec]) -> Result<Vec<Finding>> {
        self.inner.check()?;
        self.inner.examine(topics).await
    }

    async fn ping(&self) -> Result<()> {
        self.inner.check()?;
        let looked = timeout(PING_TIMEOUT, self.inner.clients.look(&self.inner.settings));
        looked.await.unwrap_or_else(|_| {
            let text = format!("Pub/Sub did not answer within {PING_TIMEOUT:?}");
            Err(Error::new(ErrorKind::Timeout, text).with("provider", "pubsub"))
        })
    }

    async fn close(&self, deadline: Instant) -> Result<()> {
        let inner = &self.inner;
        inner.closed.store(true, Ordering::Release);
        let live: Vec<Arc<Live>> = lock(&inner.live).values().map(Arc::clone).collect();
        let publishers: Vec<Publisher> = lock(&inner.publishers)
            .drain()
            .map(|(_, publisher)| publisher)
            .collect();
        let flushing = async {
            let subscriptions =
                futures_util::future::join_all(live.iter().map(|live| inner.end(live, closed)));
            let publishing = futures_util::future::join_all(publishers.iter().map(Publisher::flush));
            tokio::join!(subscriptions, publishing);
        };
        timeout_at(deadline, flushing).await.map_err(|_| {
            let text = "not everything could be flushed in time; what was not acked comes again";
            Error::new(ErrorKind::Timeout, text).with("provider", "pubsub")
        })
    }
}

impl Inner {
    async fn seek_to_time(&self, topic: &TopicName, group: &GroupName, time: SystemTime) -> Result<()> {
        let base = self.known(topic).base;
        let group = GroupSpec::new(group.clone());
        let id = self.subscription_id(&base, &group);
        let time = time
            .try_into()
            .map_err(|_| unsupported("seek to this time", "name one after the year 0"))?;
        let mut request = SeekRequest::new().set_subscription(self.settings.subscription_path(&id));
        request.target = Some(Target::Time(Box::new(time)));
        let sought = self
            .clients
            .subscriptions
            .seek()
            .with_request(request)
            .with_idempotency(true)
            .send()
            .await;
        sought.map(drop).map_err(|error| {
            from_client(&error, "seek")
                .with("topic", topic)
                .with("group", &group.name)
        })
    }
}
