//! A member of a group: the thread that owns the client, and what happens when partitions are shared anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, ClientContext, Message as _, Offset, TopicPartitionList};
use tokio::time::Instant;

use super::ask::{ask_committed, marks_list, read_marks};
use super::config::ASK_TIMEOUT;
use super::error::{of_client, of_code};
use super::retries::Retries;
use super::shared::Shared;
use super::state::{Ask, Partition, Queue, Received};
use super::tracker::Mark;
use super::watch::Watch;
use super::wire::Reader;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};

/// How long the thread waits for a message before it looks at what else is to be done.
const POLL: Duration = Duration::from_millis(25);
/// The most messages that are taken in at one time.
const BATCH_MAX: usize = 512;
/// How often settlements are committed at most; the first one after a pause is committed at once.
const COMMIT_EVERY: Duration = Duration::from_millis(300);
/// How long a full buffer waits for the program before its partitions are paused, which costs a new fetch.
const PAUSE_AFTER: Duration = Duration::from_millis(500);
/// How long partitions that go to another member wait for what is in hand of them. The other members work on meanwhile.
const REVOKE_WAIT: Duration = Duration::from_secs(10);
/// How long the client may take to begin elsewhere.
const SEEK_WAIT: Duration = Duration::from_secs(3);
/// How often it is looked whether the retries have other partitions; the client looks as often at those of the topic.
const RETRIES_LOOK_EVERY: Duration = Duration::from_mins(1);

/// What a member reads.
#[derive(Debug)]
pub(super) struct Reads {
    /// The topic, or the dead letters.
    pub(super) main: String,
    /// What is sent to the group alone.
    pub(super) retry: Option<String>,
    /// Where a group of this process's own begins; `None` where Kafka shares the partitions.
    pub(super) start: Option<Vec<i64>>,
    /// Whether `main` is the topic itself.
    pub(super) in_log: bool,
}

impl Reads {
    fn queue(&self, topic: &str) -> Option<Queue> {
        if topic == self.main {
            return Some(Queue::Main);
        }
        (self.retry.as_deref() == Some(topic)).then_some(Queue::Retry)
    }

    fn topic(&self, queue: Queue) -> &str {
        match queue {
            Queue::Main => &self.main,
            Queue::Retry => self.retry.as_deref().unwrap_or_default(),
        }
    }

    fn partitions(&self, list: &TopicPartitionList) -> Vec<Partition> {
        let elements = list.elements();
        let partition = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            Some(Partition {
                queue: self.queue(element.topic())?,
                number: element.partition(),
            })
        };
        elements.iter().filter_map(partition).collect()
    }

    fn list(&self, marks: &[(Partition, Mark)]) -> Result<TopicPartitionList> {
        marks_list(
            marks
                .iter()
                .map(|(partition, mark)| (self.topic(partition.queue), partition.number, mark)),
        )
    }
}

/// Hears what the client tells, and shares partitions.
pub(super) struct Context {
    shared: Arc<Shared>,
    reads: Arc<Reads>,
    retries: Retries,
    watch: Watch,
    /// How often partitions were shared or set anew.
    round: AtomicU64,
    /// Whether the pause of what this member reads must be set anew.
    shared_anew: AtomicBool,
    /// Whether the last commit was made.
    ending: AtomicBool,
}

type Client = BaseConsumer<Context>;

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, client: &Client, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let cooperative = matches!(client.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let done = if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let all = self.retries.come_with(client, &self.reads, list);
            self.assign(client, &all);
            if cooperative {
                client.incremental_assign(&all)
            } else {
                client.assign(&all)
            }
        } else {
            let all = self.retries.go_with(&self.reads, list);
            if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS {
                self.revoke(client, &all);
            } else {
                let error = Code::from(error);
                tracing::warn!(%error, topic = self.reads.main, "partitions could not be shared");
            }
            if cooperative {
                client.incremental_unassign(&all)
            } else {
                client.unassign()
            }
        };
        if let Err(error) = done {
            tracing::warn!(%error, topic = self.reads.main, "partitions could not be taken over or given away");
        }
    }
}

impl Context {
    fn assign(&self, client: &Client, list: &TopicPartitionList) {
        let partitions = self.reads.partitions(list);
        if partitions.is_empty() {
            return;
        }
        let round = self.round.fetch_add(1, Ordering::AcqRel) + 1;
        let found = ask_committed(client, list).and_then(|found| read_marks(&found));
        let mut marks = HashMap::new();
        match found {
            Ok(found) => {
                for (topic, number, mark) in found {
                    if let Some(queue) = self.reads.queue(&topic) {
                        let mark = mark.map(|mark| self.bounded(client, &topic, number, mark));
                        marks.insert(Partition { queue, number }, mark);
                    }
                }
            }
            // What was done out of order is done again then.
            Err(error) => {
                tracing::warn!(%error, topic = self.reads.main, "it is not known what the group has done");
            }
        }
        let assigned: Vec<(Partition, Option<Mark>)> = partitions
            .iter()
            .map(|partition| (*partition, marks.remove(partition).flatten()))
            .collect();
        self.shared.assigned(round, &assigned);
        self.shared_anew.store(true, Ordering::Release);
        // Written down before anything is delivered: what ends this process is then known to have been begun.
        self.commit(client, &partitions, false);
    }

    /// Says up to where earlier owners may have come: as far as one has in hand beyond what it told, but not beyond what was
    /// there.
    fn bounded(&self, client: &Client, topic: &str, number: i32, mut mark: Mark) -> Mark {
        if mark.begun > 0 {
            let may_be = mark.begun_to.saturating_add(self.shared.prefetch());
            let end = client.fetch_watermarks(topic, number, ASK_TIMEOUT);
            mark.begun_to = end.map_or(mark.begun_to, |(_, end)| end.min(may_be));
        }
        mark
    }

    fn revoke(&self, client: &Client, list: &TopicPartitionList) {
        let partitions = self.reads.partitions(list);
        self.round.fetch_add(1, Ordering::AcqRel);
        if self.ending.load(Ordering::Acquire) {
            // Committed already; nothing is in hand any more.
        } else if client.assignment_lost() {
            tracing::warn!(
                topic = self.reads.main,
                "the group gave this member's partitions to others; what was in hand comes again"
            );
        } else {
            self.shared.withhold(&partitions);
            self.shared.wait_settled(&partitions, REVOKE_WAIT);
            self.commit(client, &partitions, true);
        }
        self.shared.revoked(&partitions);
    }

    /// Commits, and waits for it.
    fn commit(&self, client: &Client, partitions: &[Partition], ends: bool) {
        let marks = self.shared.marks(partitions, ends);
        if marks.is_empty() {
            return;
        }
        if let Err(error) = commit(client, &self.reads, &marks, CommitMode::Sync) {
            tracing::warn!(%error, topic = self.reads.main, "settlements could not be committed; what they were of comes again");
            self.shared.soil(&marks);
        }
    }
}

fn commit(client: &Client, reads: &Reads, marks: &[(Partition, Mark)], mode: CommitMode) -> Result<()> {
    let list = reads.list(marks)?;
    client
        .commit(&list, mode)
        .map_err(|error| of_client(&error, "commit"))
}

/// The thread of a member.
struct Thread {
    client: Client,
    shared: Arc<Shared>,
    reads: Arc<Reads>,
    reader: Reader,
    batch: Vec<Received>,
    committed_at: Option<Instant>,
    full_since: Option<Instant>,
    paused: bool,
    retry_paused: bool,
    looked_at: Instant,
    /// Whether the last look found other retries than this member has.
    differed: bool,
}

/// A client that may become a member.
pub(super) struct Candidate {
    pub(super) client: Client,
    shared: Arc<Shared>,
    reads: Arc<Reads>,
}

impl Candidate {
    pub(super) fn new(config: &ClientConfig, reads: Reads, shared: Arc<Shared>) -> Result<Self> {
        let reads = Arc::new(reads);
        let context = Context {
            shared: Arc::clone(&shared),
            reads: Arc::clone(&reads),
            retries: Retries::default(),
            watch: Watch::default(),
            round: AtomicU64::new(0),
            shared_anew: AtomicBool::new(false),
            ending: AtomicBool::new(false),
        };
        let client = Client::from_config_and_context(config, context)
            .map_err(|error| of_client(&error, "subscribe"))?;
        Ok(Self {
            client,
            shared,
            reads,
        })
    }

    /// Joins the group, and starts the thread.
    pub(super) fn join(self, reader: Reader) -> Result<()> {
        let failed = |error: &KafkaError| of_client(error, "subscribe");
        match &self.reads.start {
            None => {
                let context = self.client.context();
                context.retries.look(&self.client, &self.reads)?;
                let subscribed = self.client.subscribe(&[&self.reads.main]);
                subscribed.map_err(|error| failed(&error))?;
            }
            Some(start) => {
                let mut list = TopicPartitionList::with_capacity(start.len());
                let mut assigned = Vec::with_capacity(start.len());
                for (number, offset) in (0..).zip(start) {
                    list.add_partition_offset(&self.reads.main, number, Offset::Offset(*offset))
                        .map_err(|error| failed(&error))?;
                    assigned.push((
                        Partition {
                            queue: Queue::Main,
                            number,
                        },
                        None,
                    ));
                }
                self.shared.assigned(0, &assigned);
                self.client.assign(&list).map_err(|error| failed(&error))?;
            }
        }
        let thread = Thread {
            client: self.client,
            shared: self.shared,
            reads: self.reads,
            reader,
            batch: Vec::with_capacity(BATCH_MAX),
            committed_at: None,
            full_since: None,
            paused: false,
            retry_paused: false,
            looked_at: clock::now(),
            differed: false,
        };
        let started = std::thread::Builder::new()
            .name("ductape-kafka-member".to_owned())
            .spawn(move || thread.run());
        started
            .map(drop)
            .map_err(|error| Error::new(ErrorKind::Unexpected, "no thread can be started").with_source(error))
    }
}

impl Thread {
    fn run(mut self) {
        while !self.shared.is_closing() {
            for ask in self.shared.asks() {
                self.answer(ask);
            }
            self.commit_settled();
            let due = self.shared.release_due();
            self.pause_retries();
            self.look_at_retries();
            let wait = due.map_or(POLL, |due| due.min(POLL));
            let room = self.shared.room();
            if room == 0 {
                self.wait_for_room(wait);
            } else {
                self.resume();
                self.take_in(room, wait);
            }
            if let Some((code, error)) = self.client.context().watch.take_refused() {
                if self.client.context().watch.is_fatal() {
                    self.shared.fail(of_code(code, "receive"));
                } else {
                    tracing::warn!(%error, topic = self.reads.main, "the cluster refuses the connection; trying again");
                }
            }
        }
        self.end();
    }

    /// Takes in what is there, or the first that comes.
    fn take_in(&mut self, room: usize, wait: Duration) {
        let most = room.min(BATCH_MAX);
        let mut wait = wait;
        while self.batch.len() < most {
            let Some(polled) = self.client.poll(wait) else {
                break;
            };
            wait = Duration::ZERO;
            let record = match polled {
                Ok(record) => record,
                Err(KafkaError::PartitionEOF(_)) => {
                    self.shared.at_the_end();
                    break;
                }
                Err(error) => {
                    failed(&self.shared, &self.reads, &error);
                    break;
                }
            };
            let Some(queue) = self.reads.queue(record.topic()) else {
                continue;
            };
            let read = self
                .reader
                .read(&record, self.reads.in_log && queue == Queue::Main);
            self.batch.push(Received {
                queue,
                partition: record.partition(),
                offset: record.offset(),
                round: self.client.context().round.load(Ordering::Acquire),
                due: read.due.filter(|_| queue == Queue::Retry),
                message: read.message,
            });
        }
        if !self.batch.is_empty() {
            self.shared.push(&mut self.batch);
        }
    }

    /// The program has as much as is kept for it.
    fn wait_for_room(&mut self, wait: Duration) {
        let since = *self.full_since.get_or_insert_with(clock::now);
        if !self.paused && clock::now().duration_since(since) < PAUSE_AFTER {
            self.shared.wait_changed(wait);
            return;
        }
        // The group is to know that this member lives, so the client is asked on; nothing more is to come of that.
        if !self.paused || self.client.context().shared_anew.swap(false, Ordering::AcqRel) {
            self.paused = self.pause(None, true);
        }
        self.take_in(1, wait);
    }

    fn resume(&mut self) {
        self.full_since = None;
        if self.paused {
            self.paused = !self.pause(None, false);
            // Resumed with the others.
            self.retry_paused = false;
        }
    }

    /// Retries that wait for their time are kept in this process up to a bound, and then in their topic.
    fn pause_retries(&mut self) {
        if self.reads.retry.is_none() || self.paused {
            return;
        }
        let anew = self.retry_paused && self.client.context().shared_anew.swap(false, Ordering::AcqRel);
        if (!self.retry_paused || anew) && self.shared.parked_is_full() {
            self.retry_paused = self.pause(Some(Queue::Retry), true);
        } else if self.retry_paused && self.shared.parked_is_half_empty() {
            self.retry_paused = !self.pause(Some(Queue::Retry), false);
        }
    }

    /// A member that has other retries than it should, at two looks, ends and is made anew.
    fn look_at_retries(&mut self) {
        let now = clock::now();
        if self.reads.retry.is_none() || now.duration_since(self.looked_at) < RETRIES_LOOK_EVERY {
            return;
        }
        self.looked_at = now;
        let partitions = self.shared.partitions().into_iter();
        let mains: Vec<i32> = partitions
            .filter(|partition| partition.queue == Queue::Main)
            .map(|partition| partition.number)
            .collect();
        let retries = &self.client.context().retries;
        let differs = retries.differ(&self.client, &self.reads, &mains);
        if differs && self.differed {
            let text = "the topic of the group's retries has other partitions than before; subscribe anew";
            let error = Error::new(ErrorKind::TopologyMismatch, text).with("provider", "kafka");
            let error = error.with("topic", &self.reads.main);
            tracing::warn!(%error, "the subscription is lost");
            self.shared.fail(error);
        }
        self.differed = differs;
    }

    fn pause(&self, of: Option<Queue>, pause: bool) -> bool {
        let mut list = TopicPartitionList::new();
        for partition in self.shared.partitions() {
            if of.is_none_or(|queue| queue == partition.queue) {
                list.add_partition(self.reads.topic(partition.queue), partition.number);
            }
        }
        if list.count() == 0 {
            return true;
        }
        let done = if pause {
            self.client.pause(&list)
        } else {
            self.client.resume(&list)
        };
        if let Err(error) = &done {
            tracing::debug!(%error, topic = self.reads.main, pause, "partitions could not be paused or resumed");
        }
        done.is_ok()
    }

    /// Commits what was settled, without waiting for it.
    fn commit_settled(&mut self) {
        let now = clock::now();
        let recently = self
            .committed_at
            .is_some_and(|at| now.duration_since(at) < COMMIT_EVERY);
        if self.reads.start.is_some() || recently {
            return;
        }
        let marks = self.shared.marks_due(now);
        if marks.is_empty() {
            return;
        }
        self.committed_at = Some(now);
        if let Err(error) = commit(&self.client, &self.reads, &marks, CommitMode::Async) {
            tracing::debug!(%error, topic = self.reads.main, "settlements were not committed; they are again");
            self.shared.soil(&marks);
        }
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Seek(to, answer) => {
                let _ = answer.send(self.seek(&to));
            }
        }
    }

    /// Sets partitions of the topic: committed first, so that it outlives this member.
    fn seek(&mut self, to: &[(i32, i64)]) -> Result<()> {
        let of = |offset: i64| Mark {
            offset,
            begun_to: offset,
            ..Mark::default()
        };
        let marks: Vec<(Partition, Mark)> = to
            .iter()
            .map(|(number, offset)| {
                (
                    Partition {
                        queue: Queue::Main,
                        number: *number,
                    },
                    of(*offset),
                )
            })
            .collect();
        if self.reads.start.is_none() {
            commit(&self.client, &self.reads, &marks, CommitMode::Sync)?;
        }
        let mut list = TopicPartitionList::new();
        for (number, offset) in to {
            list.add_partition_offset(&self.reads.main, *number, Offset::Offset(*offset))
                .map_err(|error| of_client(&error, "seek"))?;
        }
        let round = self.client.context().round.fetch_add(1, Ordering::AcqRel) + 1;
        let sought = self.client.seek_partitions(list, SEEK_WAIT);
        self.shared.sought(round, to);
        sought.map(drop).map_err(|error| of_client(&error, "seek"))
    }

    /// Commits what was settled, leaves the group and tells who waits.
    fn end(self) {
        let Self {
            client,
            shared,
            reads,
            ..
        } = self;
        if reads.start.is_none() {
            let partitions = shared.partitions();
            client.context().commit(&client, &partitions, true);
        }
        client.context().ending.store(true, Ordering::Release);
        // Leaves the group. Partitions are taken back meanwhile; nothing of them is in hand any more.
        drop(client);
        shared.over();
    }
}

/// What the client tells of its own accord: most of it passes.
fn failed(shared: &Shared, reads: &Reads, error: &KafkaError) {
    let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
    let error = of_client(error, "receive").with("topic", &reads.main);
    let lost = matches!(
        error.kind(),
        ErrorKind::TopicMissing | ErrorKind::TopologyMismatch
    );
    let refused = error.kind() == ErrorKind::Unauthorized && !error.to_string().contains("Authentication");
    if fatal || lost || refused {
        tracing::warn!(%error, "the subscription is lost");
        shared.fail(error);
    } else {
        tracing::debug!(%error, "the client tells of a failure that passes");
    }
}
