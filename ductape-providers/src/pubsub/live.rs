//! What a subscription has in hand, and the streams that feed it.
//!
//! A task a stream takes what the client's streaming pull brings and puts it into the [`State`], from which `receive`
//! takes: so a dropped `receive` loses nothing. The client keeps the leases of all of it until it is acked or given back.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use google_cloud_pubsub::model::Message;
use google_cloud_pubsub::subscriber::handler::Handler;
use google_cloud_pubsub::subscriber::{MessageStream, ShutdownToken};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::error::from_client;
use super::provider::{Inner, lock};
use super::wire;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Incoming, TopicName};
use crate::receipts::Receipts;

/// How a stream is ended without leaving messages with nobody until their lease ends.
struct Ending {
    /// How long nothing must come until what was under way is taken for arrived.
    quiet: Duration,
    /// How long that is waited for at most.
    quiet_max: Duration,
    /// How long the server gets to notice that the stream ended before its messages are given back: it would send them on
    /// the same stream again.
    noticed: Duration,
}

const ENDING: Ending = Ending {
    quiet: Duration::from_millis(30),
    quiet_max: Duration::from_millis(300),
    noticed: Duration::from_millis(30),
};
/// An emulator sends by fits and starts, and notices late.
const ENDING_EMULATOR: Ending = Ending {
    quiet: Duration::from_millis(150),
    quiet_max: Duration::from_millis(1_500),
    noticed: Duration::from_millis(250),
};
/// How long acks may take to be sent at the end.
const FLUSH_MAX: Duration = Duration::from_secs(5);
/// The first wait before a stream that failed is opened again, and the longest.
const REOPEN_MIN: Duration = Duration::from_millis(100);
const REOPEN_MAX: Duration = Duration::from_secs(5);
/// The most messages that wait for their time in this process.
const WAITING_MAX: u32 = 10_000;
/// How long nothing may move in a member before it gives back what an emulator sent it beyond its prefetch.
const STUCK_MAX: Duration = Duration::from_millis(500);
/// The most that an emulator's surplus may be: it sends all that it has to whoever reads, and what is not taken from the
/// connection is nobody's until its lease ends.
const SURPLUS_MAX: usize = 50_000;
/// The least lease that Pub/Sub takes.
const LEASE_MIN: Duration = Duration::from_secs(10);
/// How long the client keeps leases; longer than anything waits.
const LEASE_MAX: Duration = Duration::from_hours(48);

/// A subscription at work.
#[derive(Debug)]
pub(super) struct Live {
    number: u64,
    topic: TopicName,
    /// The full name of the subscription that it is called after.
    path: String,
    state: Mutex<State>,
    /// Wakes `receive`.
    pub(super) wake: Notify,
    /// Wakes the streams' tasks when there is room again.
    room: Notify,
    prefetch: usize,
    /// What was acked, to be acked again when it comes again all the same; of an emulator only.
    acked: Option<Arc<Mutex<Acked>>>,
    /// The most that is held here, so that a server that sends too much does not fill the memory.
    held_max: usize,
    feeds: tokio::sync::Mutex<Vec<Feed>>,
    /// The subscriptions to delete at the end: an ephemeral group's.
    temporary: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// What can be received, in the order in which it came.
    ready: BTreeMap<u64, Held>,
    /// What waits for its time.
    waiting: BTreeMap<(Instant, u64), Held>,
    /// What was received and is not settled.
    pub(super) in_hand: Receipts<InHand>,
    /// What is held, by the server's id: the handler of a later delivery of it, where one came.
    held: HashMap<String, Option<Handler>>,
    came: u64,
    /// How many deliveries were received or settled.
    pub(super) moved: usize,
    last_came: Option<Instant>,
    ended: Option<Ended>,
}

/// A message that was not received yet.
#[derive(Debug)]
pub(super) struct Held {
    /// The server's id.
    pub(super) id: String,
    pub(super) message: Incoming,
    pub(super) handler: Handler,
    /// Whether Pub/Sub keeps the order of its key.
    pub(super) ordered: bool,
}

/// A delivery that is not settled yet.
#[derive(Debug)]
pub(super) struct InHand {
    /// Its place in the order in which messages came.
    pub(super) number: u64,
    /// The server's id.
    pub(super) id: String,
    pub(super) handler: Handler,
    /// What is delivered again in its place.
    pub(super) message: Incoming,
    /// Whether Pub/Sub keeps the order of its key.
    pub(super) ordered: bool,
}

/// Why nothing more comes.
#[derive(Debug)]
enum Ended {
    /// It was closed.
    Closed(fn() -> Error),
    /// A stream failed for good.
    Failed(ErrorKind, String),
}

/// The messages that were acked lately: an emulator loses an ack that comes a few milliseconds after the delivery. Google
/// does not, and may be told to deliver again what was acked, which an emulator can't be.
#[derive(Debug, Default)]
pub(super) struct Acked {
    /// The subscription's group and the server's id.
    ids: HashSet<(String, String)>,
    /// The same, the oldest first.
    order: VecDeque<(Instant, (String, String))>,
}

impl Acked {
    /// How long an acked message is known, and how many are: longer than an emulator's lease.
    const KEPT: Duration = Duration::from_mins(1);
    const MANY: usize = 100_000;

    fn note(&mut self, message: (String, String), now: Instant) {
        let old = |entry: &mut (Instant, (String, String))| now.duration_since(entry.0) > Self::KEPT;
        while self.order.len() >= Self::MANY || self.order.front_mut().is_some_and(old) {
            let Some((_, oldest)) = self.order.pop_front() else {
                break;
            };
            self.ids.remove(&oldest);
        }
        if self.ids.insert(message.clone()) {
            self.order.push_back((now, message));
        }
    }
}

#[derive(Debug)]
struct Feed {
    task: JoinHandle<()>,
    /// The client's own tasks, which send acks; one more each time that the stream was opened again.
    tokens: Arc<Mutex<Vec<ShutdownToken>>>,
}

/// A stream to open.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// The subscription's full name.
    pub(super) path: String,
    pub(super) kind: Kind,
    /// Whether the subscription keeps the order of keys.
    pub(super) ordered: bool,
    pub(super) lease: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The topic's messages.
    Messages,
    /// What was sent to the group alone, perhaps for later.
    Group,
    /// Dead letters.
    DeadLetters,
}

impl Live {
    pub(super) fn new(
        inner: &Inner,
        topic: TopicName,
        path: String,
        prefetch: usize,
        temporary: Vec<String>,
    ) -> Arc<Self> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            topic,
            path,
            state: Mutex::default(),
            wake: Notify::new(),
            room: Notify::new(),
            prefetch,
            acked: inner.settings.anonymous.then(|| Arc::clone(&inner.acked)),
            held_max: if inner.settings.anonymous {
                SURPLUS_MAX
            } else {
                prefetch.saturating_mul(4).max(1_000)
            },
            feeds: tokio::sync::Mutex::default(),
            temporary,
        })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Lets nothing more be received.
    pub(super) fn begin_end(&self, why: fn() -> Error) {
        {
            let mut state = self.lock();
            if !matches!(state.ended, Some(Ended::Closed(_))) {
                state.ended = Some(Ended::Closed(why));
                state.last_came = Some(clock::now());
            }
        }
        self.wake.notify_one();
    }

    /// Whether it reads this subscription, and is about to end.
    pub(super) fn is_ending(&self, path: &str) -> bool {
        self.path == path && matches!(self.lock().ended, Some(Ended::Closed(_)))
    }

    /// Notes that a message is acked.
    pub(super) fn note_acked(&self, id: &str) {
        if let Some(acked) = &self.acked {
            lock(acked).note((self.path.clone(), id.to_owned()), clock::now());
        }
    }

    fn was_acked(&self, id: &str) -> bool {
        let known = |acked: &Arc<Mutex<Acked>>| lock(acked).ids.contains(&(self.path.clone(), id.to_owned()));
        self.acked.as_ref().is_some_and(known)
    }

    pub(super) fn made_room(&self) {
        self.room.notify_waiters();
    }

    /// Begins to read.
    pub(super) async fn read(self: &Arc<Self>, inner: &Arc<Inner>, sources: Vec<Source>) {
        let mut feeds = self.feeds.lock().await;
        for source in sources {
            let tokens = Arc::default();
            let feed = feed(Arc::clone(self), Arc::clone(inner), source, Arc::clone(&tokens));
            let task = inner.runtime.spawn(feed);
            feeds.push(Feed { task, tokens });
        }
        if inner.settings.anonymous {
            // An emulator sends what it has, however much is in hand.
            let task = inner.runtime.spawn(share(Arc::clone(self)));
            let tokens = Arc::default();
            feeds.push(Feed { task, tokens });
        }
    }

    /// Waits while there is more than is asked for, on a server that does not keep to what it was told.
    async fn wait_for_room(&self) {
        loop {
            let room = self.room.notified();
            {
                let state = self.lock();
                if state.ready.len() + state.in_hand.len() < self.held_max {
                    return;
                }
            }
            room.await;
        }
    }

    fn take(&self, source: &Source, message: Message, handler: Handler) {
        let due = wire::not_before(&message).filter(|_| source.kind != Kind::Messages);
        let ordered = source.ordered && !message.ordering_key.is_empty();
        let id = message.message_id.clone();
        if self.was_acked(&id) {
            handler.ack();
            return;
        }
        let message = wire::incoming(message, &self.topic);
        {
            let mut state = self.lock();
            state.last_came = Some(clock::now());
            if let Some(newer) = state.held.get_mut(&id) {
                // Its lease ended before it was extended. It is here still, and is settled by what came last.
                *newer = Some(handler);
                return;
            }
            state.held.insert(id.clone(), None);
            let held = Held {
                id,
                message,
                handler,
                ordered,
            };
            let number = state.came;
            state.came += 1;
            match due.and_then(until) {
                Some(due) => {
                    state.waiting.insert((due, number), held);
                }
                None => {
                    state.ready.insert(number, held);
                }
            }
        }
        self.wake.notify_one();
    }

    fn fail(&self, error: &Error) {
        let mut state = self.lock();
        let failed = Ended::Failed(error.kind(), error.to_string());
        state.ended.get_or_insert(failed);
        drop(state);
        self.wake.notify_one();
    }
}

/// The moment of a time that is still to come.
fn until(time: SystemTime) -> Option<Instant> {
    let left = time
        .duration_since(clock::wall())
        .ok()
        .filter(|left| !left.is_zero())?;
    clock::now().checked_add(left)
}

impl State {
    /// Why nothing more comes.
    pub(super) fn check(&self) -> Result<()> {
        match &self.ended {
            None => Ok(()),
            Some(Ended::Closed(error)) => Err(error()),
            Some(Ended::Failed(kind, text)) => Err(Error::new(*kind, text.clone()).with_temporary(false)),
        }
    }

    /// Whether it was closed, so that nothing can be settled.
    pub(super) fn check_open(&self) -> Result<()> {
        match &self.ended {
            Some(Ended::Closed(error)) => Err(error()),
            _ => Ok(()),
        }
    }

    /// The next message, with its number.
    pub(super) fn next(&mut self) -> Option<(u64, Held)> {
        self.ready.pop_first()
    }

    /// Makes ready what is due by `now`, and answers when the next is.
    pub(super) fn due(&mut self, now: Instant) -> Option<Instant> {
        while let Some(entry) = self.waiting.first_entry() {
            let (due, number) = *entry.key();
            if due > now {
                return Some(due);
            }
            self.ready.insert(number, entry.remove());
        }
        None
    }

    /// The handlers that settle a message, which is held no longer.
    pub(super) fn let_go(&mut self, id: &str, handler: Handler) -> impl Iterator<Item = Handler> + use<> {
        let newer = self.held.remove(id).flatten();
        std::iter::once(handler).chain(newer)
    }

    /// Everything that is not settled, in the order in which it came, so that it is given back in that order.
    fn drain(&mut self) -> Vec<Handler> {
        let waiting = std::mem::take(&mut self.waiting);
        let waiting = waiting
            .into_iter()
            .map(|((_, number), held)| (number, held.id, held.handler));
        let ready = std::mem::take(&mut self.ready).into_iter();
        let ready = ready.map(|(number, held)| (number, held.id, held.handler));
        let in_hand = self.in_hand.clear().into_iter();
        let in_hand = in_hand.map(|held| (held.number, held.id, held.handler));
        let mut all: Vec<(u64, String, Handler)> = waiting.chain(ready).chain(in_hand).collect();
        all.sort_unstable_by_key(|(number, ..)| *number);
        all.into_iter()
            .flat_map(|(_, id, handler)| self.let_go(&id, handler))
            .collect()
    }

    /// Puts a delivery back in its place.
    pub(super) fn put_back(&mut self, number: u64, held: Held) {
        self.ready.insert(number, held);
    }
}

/// Whether a message is this consumer's: a server that knows no filters sends all.
fn is_ours(inner: &Inner, source: &Source, topic: &TopicName, message: &Message) -> bool {
    let other = |name: &str, wanted: &str| message.attributes.get(name).is_some_and(|there| there != wanted);
    match source.kind {
        Kind::Messages => inner.settings.topic_name.is_none() || !other(wire::TYPE, topic.event().as_str()),
        Kind::Group => !other(wire::INSTANCE, &inner.instance),
        Kind::DeadLetters => true,
    }
}

fn open(inner: &Inner, source: &Source, prefetch: usize) -> MessageStream {
    let outstanding = match source.kind {
        Kind::Group => u32::try_from(prefetch).unwrap_or(u32::MAX).max(WAITING_MAX),
        _ => u32::try_from(prefetch).unwrap_or(u32::MAX),
    };
    inner
        .clients
        .subscriber
        .subscribe(&source.path)
        .set_max_outstanding_messages(outstanding)
        .set_max_lease_extension(if inner.settings.anonymous {
            LEASE_MIN
        } else {
            source.lease
        })
        .set_max_lease(LEASE_MAX)
        .build()
}

/// Gives back what another member could have: what came beyond the prefetch, while nothing moves here. What has a key
/// stays, or it would come out of order.
async fn share(live: Arc<Live>) {
    let mut before = 0;
    loop {
        sleep(STUCK_MAX).await;
        let surplus: Vec<Handler> = {
            let mut state = live.lock();
            let moved = std::mem::replace(&mut before, state.moved) != state.moved;
            let mut room = live.prefetch.saturating_sub(state.in_hand.len());
            let beyond = |_: &u64, held: &mut Held| {
                if held.ordered || room > 0 {
                    room = room.saturating_sub(1);
                    return false;
                }
                true
            };
            if moved {
                Vec::new()
            } else {
                let surplus: Vec<Held> = state.ready.extract_if(.., beyond).map(|(_, held)| held).collect();
                surplus
                    .into_iter()
                    .flat_map(|held| state.let_go(&held.id, held.handler))
                    .collect()
            }
        };
        drop(surplus);
    }
}

async fn feed(live: Arc<Live>, inner: Arc<Inner>, source: Source, tokens: Arc<Mutex<Vec<ShutdownToken>>>) {
    let mut wait = REOPEN_MIN;
    loop {
        let mut stream = open(&inner, &source, live.prefetch);
        lock(&tokens).push(stream.shutdown_token());
        let error = loop {
            live.wait_for_room().await;
            match stream.next().await {
                Some(Ok((message, handler))) => {
                    wait = REOPEN_MIN;
                    if is_ours(&inner, &source, &live.topic, &message) {
                        live.take(&source, message, handler);
                    } else {
                        handler.ack();
                    }
                }
                Some(Err(error)) => break from_client(&error, "receive"),
                None => return,
            }
        };
        drop(stream);
        if !error.is_temporary() {
            let error = match error.kind() {
                ErrorKind::TopicMissing => {
                    let text = format!(
                        "subscription `{}` is not there any more: {}",
                        source.path,
                        error.message()
                    );
                    Error::new(ErrorKind::GroupMissing, text).with("provider", "pubsub")
                }
                _ => error.with("subscription", &source.path),
            };
            live.fail(&error);
            return;
        }
        tracing::warn!(subscription = source.path, %error, ?wait, "a stream of Pub/Sub ended; it is opened again");
        sleep(wait).await;
        wait = (wait * 2).min(REOPEN_MAX);
    }
}

impl Inner {
    /// Ends a subscription: stops its streams, sends what was acked, gives the rest back, and forgets it. Whoever comes
    /// second waits for the first.
    pub(super) async fn end(&self, live: &Arc<Live>, why: fn() -> Error) {
        live.begin_end(why);
        let mut feeds = live.feeds.lock().await;
        if feeds.is_empty() {
            return;
        }
        let ending = if self.settings.anonymous {
            ENDING_EMULATOR
        } else {
            ENDING
        };
        arrived(live, &ending).await;
        let mut tokens = Vec::new();
        for feed in std::mem::take(&mut *feeds) {
            feed.task.abort();
            // That it was aborted is what is waited for.
            let _ = feed.task.await;
            tokens.append(&mut lock(&feed.tokens));
        }
        sleep(ending.noticed).await;
        // Dropped, they are given back; the client keeps them no longer.
        drop(live.lock().drain());
        let flushed = timeout(FLUSH_MAX, async {
            for token in tokens {
                token.shutdown().await;
            }
        });
        if flushed.await.is_err() {
            tracing::warn!(topic = %live.topic, "acks could not be sent in time; their messages come again");
        }
        for id in &live.temporary {
            let path = self.settings.subscription_path(id);
            let delete = self.clients.subscriptions.delete_subscription();
            if let Err(error) = delete.set_subscription(path).send().await {
                tracing::debug!(subscription = id, %error, "an ephemeral subscription stays until it expires");
            }
        }
        self.forget(live);
    }
}

/// Waits until what the server had under way has come.
async fn arrived(live: &Live, ending: &Ending) {
    let quiet = async {
        loop {
            let last = live.lock().last_came.unwrap_or_else(clock::now);
            let quiet_at = last + ending.quiet;
            if clock::now() >= quiet_at {
                return;
            }
            tokio::time::sleep_until(quiet_at).await;
        }
    };
    let _ = timeout(ending.quiet_max, quiet).await;
}
