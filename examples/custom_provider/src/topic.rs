//! A topic: a file that only grows, and what follows from it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ductape_providers::provider::{Backlog, Durability};
use ductape_providers::spec::{SeekTo, Start};
use ductape_providers::{
    Delivery, Error, ErrorKind, Incoming, Outgoing, PublishReceipt, Result, Settlement, TopicName, TopicSpec,
    clock,
};
use tokio::sync::watch;

use crate::error;
use crate::queue::{Entry, Member, Queue};
use crate::record::{QueueName, Record, Written};

/// Everything here that writes blocks, and is called on a thread that may: see `Journal::blocking`.
#[derive(Debug)]
pub(crate) struct Topic {
    name: TopicName,
    path: PathBuf,
    /// Who writes holds it from the look at the state to the change of it, so that lines and state never differ.
    file: Mutex<Appender>,
    /// Held for a moment and never while the disk works, since those who receive take it on tokio's threads.
    state: Mutex<State>,
    /// Tells waiting members to look again.
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct Appender {
    file: File,
    len: u64,
}

/// What the lines say, and who has what in hand, which no line says.
#[derive(Debug, Default)]
struct State {
    log: Vec<Arc<Incoming>>,
    /// Whether the message at this position went to all groups, and so is read again after a seek.
    to_all: Vec<bool>,
    queues: HashMap<QueueName, Queue>,
    next: u64,
}

impl Topic {
    /// Creates the file of a topic.
    pub(crate) fn create(path: PathBuf, name: TopicName) -> Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        let file = file.map_err(|error| error::file("create", &path, error))?;
        let topic = Self::over(path, name, Appender { file, len: 0 });
        let first = Record::Topic {
            event: topic.name.event().to_string(),
            version: topic.name.version(),
        };
        topic.append(&mut topic.file(), vec![first])?;
        Ok(topic)
    }

    /// Reads the file of a topic. A last line that has no end was being written when the process ended: it was confirmed
    /// to nobody, and goes. `None` where that was the first line.
    pub(crate) fn open(path: PathBuf) -> Result<Option<Self>> {
        let opened = OpenOptions::new().read(true).append(true).open(&path);
        let file = opened.map_err(|error| error::file("open", &path, error))?;
        let mut lines = BufReader::new(&file);
        let (mut len, mut number, mut line) = (0, 0, Vec::new());
        let mut topic: Option<(TopicName, State)> = None;
        loop {
            line.clear();
            let read = lines.read_until(b'\n', &mut line);
            read.map_err(|error| error::file("read", &path, error))?;
            if line.pop() != Some(b'\n') {
                break;
            }
            number += 1;
            len += line.len() as u64 + 1;
            let record = serde_json::from_slice(&line).map_err(|why| error::line(&path, number, why))?;
            match (record, &mut topic) {
                (Record::Topic { event, version }, None) => {
                    let event = event.parse().map_err(|why| error::line(&path, number, why))?;
                    topic = Some((TopicName::new(event, version), State::default()));
                }
                (record, Some((name, state))) => state.apply(record, name),
                (_, None) => return Err(error::line(&path, number, "the first one must name the topic")),
            }
        }
        let Some((name, state)) = topic else {
            return Ok(None);
        };
        file.set_len(len)
            .map_err(|error| error::file("mend", &path, error))?;
        let mut topic = Self::over(path, name, Appender { file, len });
        topic.state = Mutex::new(state);
        Ok(Some(topic))
    }

    fn over(path: PathBuf, name: TopicName, file: Appender) -> Self {
        Self {
            name,
            path,
            file: Mutex::new(file),
            state: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    pub(crate) fn name(&self) -> &TopicName {
        &self.name
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn file(&self) -> MutexGuard<'_, Appender> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes lines, waits for the disk, and only then lets the state and everybody who waits know.
    fn append(&self, file: &mut Appender, records: Vec<Record>) -> Result<()> {
        if records.is_empty() {
            self.changed.send_replace(());
            return Ok(());
        }
        let mut lines = Vec::new();
        for record in &records {
            serde_json::to_writer(&mut lines, record).map_err(|why| {
                Error::new(ErrorKind::Unexpected, "a record could not be written as JSON").with_source(why)
            })?;
            lines.push(b'\n');
        }
        let written = file.file.write_all(&lines).and_then(|()| file.file.sync_data());
        if let Err(why) = written {
            let error = error::file("write to", &self.path, why);
            // Without its half, a line that failed was surely not stored; with it we can't say.
            return Err(match file.file.set_len(file.len) {
                Ok(()) => error,
                Err(_) => error.with_indeterminate(),
            });
        }
        file.len += lines.len() as u64;
        let mut state = self.state();
        for record in records {
            state.apply(record, &self.name);
        }
        drop(state);
        self.changed.send_replace(());
        Ok(())
    }

    /// Creates the groups that are missing. Those that exist stay as they are.
    pub(crate) fn declare(&self, spec: &TopicSpec) -> Result<()> {
        let mut file = self.file();
        let records: Vec<Record> = {
            let state = self.state();
            let missing = |group: &&ductape_providers::GroupSpec| !state.has(group.name.as_str());
            let groups = spec.groups.iter().filter(missing);
            groups
                .map(|group| Record::Group {
                    name: group.name.as_str().to_owned(),
                    earliest: group.start == Start::Earliest,
                })
                .collect()
        };
        self.append(&mut file, records)
    }

    /// Publishes messages together: one write and one wait for the disk. Each has an outcome of its own.
    pub(crate) fn publish(&self, messages: &[&Outgoing]) -> Vec<Result<PublishReceipt>> {
        let mut file = self.file();
        let (mut outcomes, mut records) = (Vec::with_capacity(messages.len()), Vec::new());
        {
            let state = self.state();
            let mut position = state.log.len() as u64;
            for message in messages {
                let written = Box::new(Written::from(*message));
                let missing = written.only.as_ref().filter(|queue| !state.has(&queue.group));
                if let Some(queue) = missing {
                    outcomes.push(Err(error::group_missing(&queue.group, &self.name)));
                    continue;
                }
                outcomes.push(Ok(PublishReceipt {
                    durability: Durability::BrokerDisk,
                    position: Some(ductape_providers::message::Position(position)),
                    duplicate: false,
                }));
                records.push(Record::Message(written));
                position += 1;
            }
        }
        if let Err(error) = self.append(&mut file, records) {
            for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_ok()) {
                *outcome = Err(error::again(&error));
            }
        }
        outcomes
    }

    /// Settles what `member` has in hand. What is done leaves its hand before it is written, so that nobody settles it
    /// twice, and waits again where it could not be written.
    pub(crate) fn settle(
        &self,
        queue: &QueueName,
        member: u64,
        batch: &[(u64, Settlement)],
    ) -> Vec<Result<()>> {
        let mut file = self.file();
        let (mut outcomes, mut done) = (Vec::with_capacity(batch.len()), Vec::new());
        {
            let mut state = self.state();
            let queue = state.queues.entry(queue.clone()).or_default();
            for (token, how) in batch {
                if matches!(how, Settlement::RequeueAfter(_)) {
                    // Refused, and still in hand: the runtime holds it until its time, and settles it then.
                    outcomes.push(Err(error::unsupported("requeue for later", "it has no clock")));
                    continue;
                }
                let Some(entry) = queue.settle(member, *token) else {
                    outcomes.push(Err(error::lease_lost()));
                    continue;
                };
                if *how == Settlement::Requeue {
                    queue.push(entry);
                } else {
                    done.push((outcomes.len(), entry));
                }
                outcomes.push(Ok(()));
            }
        }
        let record = Record::Settled {
            queue: queue.clone(),
            positions: done.iter().map(|(_, entry)| entry.position).collect(),
        };
        let records = if done.is_empty() { Vec::new() } else { vec![record] };
        if let Err(error) = self.append(&mut file, records) {
            let mut state = self.state();
            let queue = state.queues.entry(queue.clone()).or_default();
            for (at, entry) in done {
                queue.push(entry);
                outcomes[at] = Err(error::again(&error));
            }
            drop(state);
            self.changed.send_replace(());
        }
        outcomes
    }

    /// Sets a group to another position.
    pub(crate) fn seek(&self, group: &str, to: SeekTo) -> Result<()> {
        let mut file = self.file();
        let position = {
            let state = self.state();
            if !state.has(group) {
                return Err(error::group_missing(group, &self.name));
            }
            let end = state.log.len() as u64;
            match to {
                SeekTo::Earliest => 0,
                SeekTo::Latest => end,
                SeekTo::Position(position) => position.0.min(end),
                SeekTo::Time(time) => {
                    let time = clock::from_millis(clock::to_millis(time));
                    let later = |message: &Arc<Incoming>| message.published_at >= Some(time);
                    state.log.iter().position(later).map_or(end, |at| at as u64)
                }
            }
        };
        let group = group.to_owned();
        self.append(&mut file, vec![Record::Sought { group, position }])
    }

    /// Counts what a group has before it.
    pub(crate) fn backlog(&self, group: &str) -> Result<Backlog> {
        let state = self.state();
        let queue = |dead| {
            state.queues.get(&QueueName {
                group: group.to_owned(),
                dead,
            })
        };
        let (Some(messages), Some(dead)) = (queue(false), queue(true)) else {
            return Err(error::group_missing(group, &self.name));
        };
        Ok(Backlog {
            ready: messages.waiting() as u64,
            delayed: 0,
            in_flight: messages.in_hand() as u64,
            dead_letters: (dead.waiting() + dead.in_hand()) as u64,
        })
    }

    /// A new member of a group.
    pub(crate) fn join(&self, queue: &QueueName, prefetch: NonZeroUsize) -> Result<Member> {
        let mut state = self.state();
        if !state.queues.contains_key(queue) {
            return Err(error::group_missing(&queue.group, &self.name));
        }
        state.next += 1;
        Ok(Member {
            id: state.next,
            prefetch: prefetch.get(),
        })
    }

    /// Hands over what waits. It neither blocks nor waits.
    pub(crate) fn take(&self, queue: &QueueName, member: Member, max: usize, into: &mut Vec<Delivery>) {
        let mut state = self.state();
        let State { queues, next, .. } = &mut *state;
        if let Some(queue) = queues.get_mut(queue) {
            queue.take(member, max, next, into);
        }
    }

    /// Gives back what a member has in hand.
    pub(crate) fn leave(&self, queue: &QueueName, member: Member) {
        if let Some(queue) = self.state().queues.get_mut(queue) {
            queue.give_back(member.id);
        }
        self.changed.send_replace(());
    }
}

impl State {
    fn has(&self, group: &str) -> bool {
        let group = group.to_owned();
        self.queues.contains_key(&QueueName { group, dead: false })
    }

    /// Takes a line that is in the file.
    fn apply(&mut self, record: Record, topic: &TopicName) {
        match record {
            Record::Topic { .. } => {}
            Record::Group { name, earliest } => {
                let position = if earliest { 0 } else { self.log.len() as u64 };
                self.queues
                    .entry(QueueName {
                        group: name.clone(),
                        dead: true,
                    })
                    .or_default();
                self.set(name, position);
            }
            Record::Message(written) => {
                let only = written.only.clone();
                let position = self.log.len() as u64;
                let message = Arc::new(written.into_incoming(topic, position));
                for (name, queue) in &mut self.queues {
                    if only.as_ref().map_or(!name.dead, |only| only == name) {
                        let message = Arc::clone(&message);
                        queue.push(Entry { position, message });
                    }
                }
                self.to_all.push(only.is_none());
                self.log.push(message);
            }
            Record::Settled { queue, positions } => {
                if let Some(queue) = self.queues.get_mut(&queue) {
                    for position in positions {
                        queue.remove(position);
                    }
                }
            }
            Record::Sought { group, position } => self.set(group, position),
        }
    }

    /// The group has before it what stands at `position` and after it.
    fn set(&mut self, group: String, position: u64) {
        let queue = self.queues.entry(QueueName { group, dead: false }).or_default();
        queue.clear();
        let log = (0..).zip(&self.log).zip(&self.to_all);
        for ((at, message), to_all) in log {
            if *to_all && at >= position {
                let message = Arc::clone(message);
                queue.push(Entry {
                    position: at,
                    message,
                });
            }
        }
    }
}
