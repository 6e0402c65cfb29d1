//! The recorder: takes what happened, and writes it to the store, many at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use ductape_providers::{GroupName, Incoming, MessageId, Outgoing, Route, TopicName};
use ductape_store::Store;
use ductape_store::tracking::{
    self, LeftOut, Message, Outcome, Record, Retention, TopicPlace, TrackingWriter,
};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::mask::Mask;
use super::policy::{Fate, Policies};
use super::queue::{Queue, Taken};
use super::record::{Attempted, Happened, Tracked};
use crate::backoff::Growing;
use crate::clock;
use crate::stats::AttemptResult;
use crate::wiring::Wiring;

/// How much makes a write worth it at once.
const WORTH: usize = 2_048;
/// How long less than that waits for more.
const GATHER: Duration = Duration::from_millis(25);

/// Takes what happened to a program's messages.
#[derive(Debug)]
pub(crate) struct Recorder {
    product: Arc<str>,
    environment: Arc<str>,
    producer: Arc<str>,
    policies: Policies,
    topics: RwLock<HashMap<TopicName, Arc<Tracked>, foldhash::fast::RandomState>>,
    /// The groups of each topic as they are, and as of what is written.
    groups: Mutex<HashMap<TopicName, Arc<[Arc<str>]>>>,
    written_groups: Mutex<HashMap<TopicName, Arc<[Arc<str>]>>>,
    queue: Mutex<Queue>,
    /// Told when there is something to write, and when there is enough of it.
    some: Notify,
    enough: Notify,
    /// Up to which all that was told is written, or given up.
    written: watch::Sender<u64>,
    closed: watch::Sender<bool>,
}

impl Recorder {
    pub(crate) fn new(product: &str, environment: &str, producer: &str, policies: Policies) -> Self {
        Self {
            product: product.into(),
            environment: environment.into(),
            producer: producer.into(),
            policies,
            topics: RwLock::default(),
            groups: Mutex::default(),
            written_groups: Mutex::default(),
            queue: Mutex::default(),
            some: Notify::new(),
            enough: Notify::new(),
            written: watch::Sender::new(0),
            closed: watch::Sender::new(false),
        }
    }

    /// How long, and how much of it, is kept.
    pub(crate) fn retention(&self) -> Retention {
        self.policies.retention
    }

    /// Says that `group` consumes `topic`: what is produced from now on waits for it.
    pub(crate) fn consumed_by(&self, topic: &TopicName, group: &GroupName) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let of = groups.entry(topic.clone()).or_insert_with(|| Arc::new([]));
        if !of.iter().any(|known| **known == *group.as_str()) {
            let added = std::iter::once(group.as_str().into());
            *of = of.iter().cloned().chain(added).collect();
            // In line with what happened: what was produced before and is not written yet does not wait for it.
            self.lock().join(topic.clone(), Arc::clone(of));
        }
    }

    /// Notes a message that its broker has confirmed, and the idempotency key that it was produced under.
    pub(crate) fn produced(&self, message: Outgoing, key: Option<&str>, wiring: &Wiring) {
        let tracked = self.tracked(&message.topic, wiring);
        match tracked.tracking.fate(&message.id, false) {
            Fate::Kept => self.push(Happened::Produced(tracked, message, key.map(Box::from))),
            Fate::Counted => {
                self.lock().leave_out(&tracked.place);
                self.some.notify_one();
            }
            Fate::Ignored => {}
        }
    }

    /// Notes what came of an attempt, and which event it was followed up by.
    pub(crate) fn attempted(
        &self,
        (topic, wiring): (&TopicName, &Wiring),
        group: &GroupName,
        (message, follow_up): (&Incoming, Option<&'static str>),
        attempt: u32,
        result: AttemptResult<'_>,
        elapsed: Duration,
    ) {
        let tracked = self.tracked(topic, wiring);
        let failed = !matches!(result, AttemptResult::Handled | AttemptResult::Duplicate);
        // One that is only counted was so when it was produced.
        if tracked.tracking.fate(&message.id, failed) == Fate::Kept {
            let attempted = Attempted::new(tracked, group, message, attempt, result, elapsed);
            self.push(Happened::Attempted(attempted.followed_up_by(follow_up)));
        }
    }

    /// Notes that a message could not be given to a group anew.
    pub(crate) fn not_given(&self, message: &Message, group: &str, redrive: u32, why: &str) {
        self.push(Happened::NotGiven(Box::new(tracking::Attempted {
            topic: Arc::new(TopicPlace {
                product: message.product.as_str().into(),
                env: message.env.as_str().into(),
                broker_tag: message.broker_tag.as_str().into(),
                topic_tag: message.topic_tag.as_str().into(),
            }),
            message_id: message.message_id.clone(),
            consumer_tag: group.into(),
            redrive,
            attempt: 1,
            outcome: Outcome::Failed {
                error: why.to_owned(),
            },
            started_at: clock::wall(),
            elapsed: Duration::ZERO,
            produced_at: None,
            response_data: None,
            original: None,
        })));
    }

    fn push(&self, happened: Happened) {
        let waiting = {
            let mut queue = self.lock();
            queue.push(happened);
            queue.len()
        };
        match waiting {
            0 | 1 => self.some.notify_one(),
            WORTH => self.enough.notify_one(),
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at an event's schema again when it happens next.
    pub(crate) fn forget(&self, event: &str) {
        let mut known = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|topic, _| topic.event().as_str() != event);
    }

    /// Whether the store keeps what is sensitive of a topic's messages as `***`, so that they can't be sent from there.
    pub(super) fn hides(&self, topic: &TopicName, wiring: &Wiring) -> bool {
        self.tracked(topic, wiring).mask.is_some()
    }

    /// Whether a payload of a topic has `***` where the store would hide what is sensitive.
    pub(super) fn is_hidden(&self, topic: &TopicName, payload: &[u8], wiring: &Wiring) -> bool {
        let tracked = self.tracked(topic, wiring);
        tracked.mask.as_ref().is_some_and(|mask| mask.is_hidden(payload))
    }

    fn tracked(&self, topic: &TopicName, wiring: &Wiring) -> Arc<Tracked> {
        let known = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(tracked) = known.get(topic) {
            return Arc::clone(tracked);
        }
        drop(known);
        let event = topic.event();
        let mut tracking = self.policies.of(event.as_str());
        let route = wiring.route_of(topic);
        // What the outbox has from other programs: what of it is sensitive is not known here.
        tracking.payloads &= route.is_ok();
        let mask = route.ok().and_then(|route| Mask::of(route.schema()?));
        let tracked = Tracked {
            place: Arc::new(TopicPlace {
                product: Arc::clone(&self.product),
                env: Arc::clone(&self.environment),
                broker_tag: event.broker().into(),
                topic_tag: event.topic().into(),
            }),
            tracking,
            mask,
        };
        let mut known = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(topic.clone()).or_insert_with(|| Arc::new(tracked)))
    }

    /// Waits until all that was told so far is written or given up, or until `deadline`.
    pub(crate) async fn flushed(&self, deadline: Instant) {
        let told = self.lock().told;
        let mut written = self.written.subscribe();
        let all = written.wait_for(|written| *written >= told);
        // An answer that is a little behind is better than none.
        let _ = timeout_at(deadline, all).await;
    }

    /// Ends [`run`](Self::run) once all that was told is written.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Says what is not written when the program ends all the same.
    pub(crate) fn give_up(&self) {
        let left = self.lock().told - *self.written.borrow();
        if left > 0 {
            tracing::error!(
                records = left,
                "the history lacks what the store did not take in time"
            );
        }
    }

    /// Writes what happened, until closed.
    pub(crate) async fn run(self: Arc<Self>, store: Store) {
        let writer = TrackingWriter::new(&store);
        let mut closed = self.closed.subscribe();
        loop {
            let (is_empty, few) = {
                let queue = self.lock();
                (queue.is_empty(), queue.len() < WORTH)
            };
            let is_closed = *closed.borrow_and_update();
            if is_empty {
                if is_closed {
                    return;
                }
                tokio::select! {
                    () = self.some.notified() => {}
                    _ = closed.changed() => {}
                }
                continue;
            }
            if few && !is_closed {
                tokio::select! {
                    () = self.enough.notified() => {}
                    () = sleep(GATHER) => {}
                    _ = closed.changed() => {}
                }
            }
            let taken = self.lock().take();
            self.write(&writer, taken).await;
        }
    }

    async fn write(&self, writer: &TrackingWriter, taken: Taken) {
        let told = taken.told;
        if taken.lost > 0 {
            tracing::error!(
                failures = taken.lost,
                "the store was slow or away for so long that failures are missing in the history"
            );
        }
        let records = self.records(taken);
        let mut wait = Growing::new(Duration::from_millis(50), Duration::from_secs(5));
        let mut told_of_trouble = false;
        loop {
            match writer.write(&records, clock::wall()).await {
                Ok(()) => {
                    if told_of_trouble {
                        tracing::info!("the history is written again");
                    }
                    break;
                }
                Err(error) if error.is_temporary() => {
                    if !std::mem::replace(&mut told_of_trouble, true) {
                        tracing::warn!(%error, "the history can't be written; trying again until it can");
                    }
                    sleep(wait.next()).await;
                }
                Err(error) => {
                    tracing::error!(records = records.len(), %error, "the store refuses a part of the history");
                    break;
                }
            }
        }
        self.written.send_replace(told);
    }

    fn records(&self, taken: Taken) -> Vec<Record> {
        let mut groups = self.written_groups.lock().unwrap_or_else(PoisonError::into_inner);
        let mut records = Vec::with_capacity(taken.happened.len() + taken.left_out.len());
        let mut joined = taken.joined.into_iter().peekable();
        for (place, happened) in taken.happened.into_iter().enumerate() {
            while let Some(joined) = joined.next_if(|joined| joined.from <= place) {
                groups.insert(joined.topic, joined.groups);
            }
            records.push(happened.into_record(&self.producer, |message| {
                match &message.route {
                    Route::Topic => groups
                        .get(&message.topic)
                        .cloned()
                        .unwrap_or_else(|| Arc::new([])),
                    Route::Group(group) | Route::DeadLetters(group) => Arc::new([group.as_str().into()]),
                }
            }));
        }
        groups.extend(joined.map(|joined| (joined.topic, joined.groups)));
        let at = clock::wall();
        records.extend(taken.left_out.into_iter().map(|(topic, count)| {
            Record::LeftOut(LeftOut {
                topic,
                id: MessageId::new().to_string(),
                at,
                count,
            })
        }));
        records
    }
}
