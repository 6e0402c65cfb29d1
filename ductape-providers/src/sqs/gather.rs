//! What is published at one time becomes batches of ten.
//!
//! Each topic and queue has a lane. The first message leaves at once; what comes while it is under way leaves together,
//! in more requests side by side the more is waiting. In a FIFO lane a message group has one request under way at a time,
//! so that its messages can't overtake each other.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::config::Clients;
use super::connect::BATCH_MAX;
use super::error;
use super::topology::Target;
use super::wire::{Fifo, MESSAGE_LEN_MAX, Wire};
use crate::error::{Error, ErrorKind, Result};
use crate::provider::{Durability, PublishReceipt};

/// How many messages may be waiting or under way, on all lanes together; who brings more waits.
pub(super) const ENTRIES_MAX: usize = 2_048;
/// How many requests of one lane are under way at most.
const SENDERS_MAX: usize = 16;
/// How far a FIFO lane is searched for messages whose group is free.
const SEARCHED_MAX: usize = 512;

/// A message in a lane.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) wire: Wire,
    pub(super) fifo: Option<Fifo>,
    pub(super) delay_seconds: Option<i32>,
    pub(super) answer: oneshot::Sender<Result<PublishReceipt>>,
    /// Its place among all that are published; given back with the answer.
    pub(super) _place: OwnedSemaphorePermit,
}

/// What goes to one topic or queue.
pub(super) struct Lane {
    target: Target,
    clients: Clients,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Entry>,
    senders: usize,
    /// The message groups that are under way.
    busy: HashSet<String>,
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// The confirmation of everything that SQS and SNS take: they answer when several machines have it.
pub(super) const RECEIPT: PublishReceipt = PublishReceipt {
    durability: Durability::Replicated,
    position: None,
    duplicate: false,
};

impl Lane {
    pub(super) fn new(target: Target, clients: Clients) -> Self {
        Self {
            target,
            clients,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message on. Its answer comes through it.
    pub(super) fn push(self: &Arc<Self>, entry: Entry) {
        let begins = {
            let mut state = self.state();
            state.waiting.push_back(entry);
            // A further sender only for a full batch: what waits meanwhile leaves together.
            let begins = state.senders == 0
                || (state.senders < SENDERS_MAX && state.waiting.len() >= BATCH_MAX * state.senders);
            state.senders += usize::from(begins);
            begins
        };
        if begins {
            let sender = Sender {
                lane: Arc::clone(self),
                groups: Vec::new(),
                done: false,
            };
            tokio::spawn(sender.run());
        }
    }

    /// The next batch; with none the sender ends, within the same lock, so that no message waits without one.
    fn next(&self, done: &mut bool) -> Vec<Entry> {
        let mut state = self.state();
        let batch = if self.target.is_fifo() {
            state.next_of_free_groups()
        } else {
            state.next_in_order()
        };
        if batch.is_empty() {
            state.senders -= 1;
            *done = true;
        }
        batch
    }

    async fn send(&self, batch: &[Entry]) -> Vec<Result<PublishReceipt>> {
        match &self.target {
            Target::Queue { url, .. } => self.send_to_queue(url, batch).await,
            Target::Topic { arn, .. } => self.send_to_topic(arn, batch).await,
        }
    }

    async fn send_to_queue(&self, url: &str, batch: &[Entry]) -> Vec<Result<PublishReceipt>> {
        let mut outcomes = Outcomes::new(batch.len());
        let mut entries = Vec::with_capacity(batch.len());
        for (at, entry) in batch.iter().enumerate() {
            match entry.wire.to_sqs(at, entry.fifo.as_ref(), entry.delay_seconds) {
                Ok(entry) => entries.push(entry),
                Err(error) => outcomes.fill(
                    at,
                    Err(unexpected("an entry could not be made").with_source(error)),
                ),
            }
        }
        let request = self.clients.sqs.send_message_batch().queue_url(url);
        match request.set_entries(Some(entries)).send().await {
            Ok(answer) => {
                for sent in answer.successful() {
                    outcomes.fill_id(sent.id(), Ok(RECEIPT));
                }
                for failed in answer.failed() {
                    outcomes.fill_id(failed.id(), Err(error::of_entry("publish", failed)));
                }
            }
            Err(error) => outcomes.fail(&error::of("publish", error)),
        }
        outcomes.all()
    }

    async fn send_to_topic(&self, arn: &str, batch: &[Entry]) -> Vec<Result<PublishReceipt>> {
        let mut outcomes = Outcomes::new(batch.len());
        let mut entries = Vec::with_capacity(batch.len());
        for (at, entry) in batch.iter().enumerate() {
            match entry.wire.to_sns(at, entry.fifo.as_ref()) {
                Ok(entry) => entries.push(entry),
                Err(error) => outcomes.fill(
                    at,
                    Err(unexpected("an entry could not be made").with_source(error)),
                ),
            }
        }
        let request = self.clients.sns.publish_batch().topic_arn(arn);
        match request
            .set_publish_batch_request_entries(Some(entries))
            .send()
            .await
        {
            Ok(answer) => {
                for sent in answer.successful() {
                    outcomes.fill_id(sent.id().unwrap_or_default(), Ok(RECEIPT));
                }
                for failed in answer.failed() {
                    outcomes.fill_id(failed.id(), Err(error::of_sns_entry("publish", failed)));
                }
            }
            Err(error) => outcomes.fail(&error::of("publish", error)),
        }
        outcomes.all()
    }
}

impl State {
    fn next_in_order(&mut self) -> Vec<Entry> {
        let (mut count, mut len) = (0, 0);
        for entry in self.waiting.iter().take(BATCH_MAX) {
            len += entry.wire.len;
            if count > 0 && len > MESSAGE_LEN_MAX {
                break;
            }
            count += 1;
        }
        self.waiting.drain(..count).collect()
    }

    /// The first that wait for no other message of their group.
    fn next_of_free_groups(&mut self) -> Vec<Entry> {
        let (mut taken, mut len) = (Vec::new(), 0);
        let mut passed: HashSet<&str> = HashSet::new();
        for (at, entry) in self.waiting.iter().enumerate().take(SEARCHED_MAX) {
            if taken.len() == BATCH_MAX {
                break;
            }
            let group = entry.fifo.as_ref().map_or("", |fifo| fifo.group.as_str());
            let fits = taken.is_empty() || len + entry.wire.len <= MESSAGE_LEN_MAX;
            if fits && !passed.contains(group) && !self.busy.contains(group) {
                len += entry.wire.len;
                taken.push(at);
            } else {
                passed.insert(group);
            }
        }
        let mut batch: Vec<Entry> = Vec::with_capacity(taken.len());
        for at in taken.into_iter().rev() {
            batch.extend(self.waiting.remove(at));
        }
        batch.reverse();
        let groups = batch.iter().filter_map(|entry| entry.fifo.as_ref());
        self.busy.extend(groups.map(|fifo| fifo.group.clone()));
        batch
    }
}

/// The outcomes of a batch, by the entries' ids.
struct Outcomes(Vec<Option<Result<PublishReceipt>>>);

impl Outcomes {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| None).collect())
    }

    fn fill(&mut self, at: usize, outcome: Result<PublishReceipt>) {
        if let Some(place) = self.0.get_mut(at) {
            *place = Some(outcome);
        }
    }

    fn fill_id(&mut self, id: &str, outcome: Result<PublishReceipt>) {
        if let Ok(at) = id.parse() {
            self.fill(at, outcome);
        }
    }

    /// The request failed as a whole.
    fn fail(&mut self, error: &Error) {
        for place in self.0.iter_mut().filter(|place| place.is_none()) {
            let mut copy = Error::new(error.kind(), error.message());
            for (name, value) in error.context() {
                copy = copy.with(name, value);
            }
            copy = copy.with_temporary(error.is_temporary());
            *place = Some(Err(if error.is_indeterminate() {
                copy.with_indeterminate()
            } else {
                copy
            }));
        }
    }

    fn all(self) -> Vec<Result<PublishReceipt>> {
        let unnamed = || {
            Err(unexpected("the answer says nothing of this message")
                .with_temporary(true)
                .with_indeterminate())
        };
        self.0
            .into_iter()
            .map(|outcome| outcome.unwrap_or_else(unnamed))
            .collect()
    }
}

fn unexpected(text: &str) -> Error {
    Error::new(ErrorKind::Unexpected, text).with("operation", "publish")
}

/// One request after another of a lane, until nothing waits.
struct Sender {
    lane: Arc<Lane>,
    /// The message groups that it has under way.
    groups: Vec<String>,
    done: bool,
}

impl Sender {
    async fn run(mut self) {
        // Who publishes beside the first has its turn to come along.
        tokio::task::yield_now().await;
        loop {
            let batch = self.lane.next(&mut self.done);
            if batch.is_empty() {
                return;
            }
            let fifos = batch.iter().filter_map(|entry| entry.fifo.as_ref());
            self.groups = fifos.map(|fifo| fifo.group.clone()).collect();
            let outcomes = self.lane.send(&batch).await;
            self.free_groups();
            for (entry, outcome) in batch.into_iter().zip(outcomes) {
                // Who was dropped meanwhile does not want to know.
                let _ = entry.answer.send(outcome);
            }
        }
    }

    fn free_groups(&mut self) {
        let mut state = self.lane.state();
        for group in self.groups.drain(..) {
            state.busy.remove(&group);
        }
    }
}

/// A sender whose runtime ended in the midst of it: what waits is told, since nobody may come to send it.
impl Drop for Sender {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.free_groups();
        let mut state = self.lane.state();
        state.senders -= 1;
        if state.senders == 0 {
            for entry in state.waiting.drain(..) {
                let text = "the runtime that published ended; publish again";
                let error = Error::new(ErrorKind::Unreachable, text).with("operation", "publish");
                let _ = entry.answer.send(Err(error));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use tokio::sync::{Semaphore, oneshot};

    use super::{Entry, Outcomes, RECEIPT, State};
    use crate::error::{Error, ErrorKind};
    use crate::message::{Outgoing, TopicName};
    use crate::sqs::wire::{Fifo, Wire};

    fn entry(places: &Arc<Semaphore>, key: Option<&str>, len: usize) -> Entry {
        let topic = TopicName::new("a:b".parse().unwrap(), NonZeroU32::MIN);
        Entry {
            wire: Wire::new(&Outgoing::new(topic, vec![b'x'; len])).unwrap(),
            fifo: key.map(|key| Fifo {
                group: key.to_owned(),
                deduplication: "d".to_owned(),
            }),
            delay_seconds: None,
            answer: oneshot::channel().0,
            _place: Arc::clone(places).try_acquire_owned().unwrap(),
        }
    }

    fn groups(batch: &[Entry]) -> Vec<&str> {
        let fifos = batch.iter().filter_map(|entry| entry.fifo.as_ref());
        fifos.map(|fifo| fifo.group.as_str()).collect()
    }

    #[test]
    fn a_batch_has_ten_and_fits_a_request() {
        let places = Arc::new(Semaphore::new(100));
        let mut state = State::default();
        state.waiting.extend((0..12).map(|_| entry(&places, None, 10)));
        assert_eq!(state.next_in_order().len(), 10);
        assert_eq!(state.next_in_order().len(), 2);
        state
            .waiting
            .extend((0..3).map(|_| entry(&places, None, 100_000)));
        assert_eq!(state.next_in_order().len(), 2);
        assert_eq!(state.next_in_order().len(), 1);
        assert!(state.next_in_order().is_empty());
    }

    #[test]
    fn a_group_that_is_under_way_waits_and_keeps_its_order() {
        let places = Arc::new(Semaphore::new(100));
        let mut state = State::default();
        for key in ["a", "a", "b"] {
            state.waiting.push_back(entry(&places, Some(key), 10));
        }
        assert_eq!(groups(&state.next_of_free_groups()), ["a", "a", "b"]);
        for key in ["a", "c", "b", "c"] {
            state.waiting.push_back(entry(&places, Some(key), 10));
        }
        assert_eq!(groups(&state.next_of_free_groups()), ["c", "c"]);
        state.busy.remove("b");
        assert_eq!(groups(&state.next_of_free_groups()), ["b"]);
        assert!(state.next_of_free_groups().is_empty());
        // One that does not fit holds the later ones of its group back.
        let mut state = State::default();
        for (key, len) in [("a", 200_000), ("b", 100_000), ("b", 10), ("c", 10)] {
            state.waiting.push_back(entry(&places, Some(key), len));
        }
        assert_eq!(groups(&state.next_of_free_groups()), ["a", "c"]);
    }

    #[test]
    fn each_entry_has_its_own_outcome() {
        let mut outcomes = Outcomes::new(4);
        outcomes.fill_id("2", Ok(RECEIPT));
        outcomes.fill_id("0", Err(Error::new(ErrorKind::Throttled, "slow")));
        outcomes.fill_id("99", Ok(RECEIPT));
        outcomes.fill_id("not a number", Ok(RECEIPT));
        let all = outcomes.all();
        assert_eq!(
            all.iter().map(Result::is_ok).collect::<Vec<_>>(),
            [false, false, true, false]
        );
        assert_eq!(all[0].as_ref().unwrap_err().kind(), ErrorKind::Throttled);
        assert!(all[1].as_ref().unwrap_err().is_indeterminate());
        let mut outcomes = Outcomes::new(2);
        outcomes.fail(
            &Error::new(ErrorKind::Timeout, "late")
                .with("topic", "t")
                .with_indeterminate(),
        );
        for outcome in outcomes.all() {
            let error = outcome.unwrap_err();
            assert!(error.is_indeterminate() && error.is_temporary());
            assert_eq!(error.to_string(), "late (topic: t)");
        }
    }
}
