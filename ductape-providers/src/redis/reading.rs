//! Asking the server for deliveries. What was asked for is kept while nobody waits for it, so that a receive may be dropped.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{Value, cmd};

use super::config::RESPONSE_TIMEOUT;
use super::error;
use super::link::value;
use super::member::{Arrived, Entry, Member, Recover};
use super::scripts::{CLAIM, FETCH};
use super::wire::{EntryId, Read, list, number, read, reference};
use crate::clock;
use crate::error::{Error, Result};

/// What came of asking: entries, and the epoch in which they were asked for.
pub(super) struct Answer {
    epoch: u64,
    entries: Result<Vec<Assigned>>,
    /// How many were looked for, where it was for what was left unsettled.
    claimed: Option<usize>,
    connection: Option<MultiplexedConnection>,
}

/// An entry that the server assigned to this member.
#[derive(Debug)]
pub(super) struct Assigned {
    entry: Entry,
    count: u32,
    read: Read,
}

/// The same, as it came.
struct Raw {
    entry: Entry,
    count: u32,
    fields: Value,
}

/// Reads entries, once the headers that they have in common with others are known.
async fn understood(member: &Member, raw: Vec<Raw>) -> Result<Vec<Assigned>> {
    let shared = &member.shared;
    shared
        .fetch(
            &member.server,
            raw.iter().filter_map(|raw| reference(&raw.fields)),
        )
        .await?;
    let read = raw.into_iter().map(|Raw { entry, count, fields }| Assigned {
        entry,
        count,
        read: read(&member.topic, entry.id, list(fields), shared),
    });
    Ok(read.collect())
}

/// What a subscription has asked for.
#[derive(Default)]
pub(super) struct Asked {
    connection: Option<MultiplexedConnection>,
    read: Option<BoxFuture<'static, Answer>>,
    fetch: Option<BoxFuture<'static, Answer>>,
}

impl Asked {
    pub(super) fn is_reading(&self) -> bool {
        self.read.is_some()
    }

    pub(super) fn is_fetching(&self) -> bool {
        self.fetch.is_some()
    }

    /// Gives up what was asked for, and the connection.
    pub(super) fn abandon(&mut self) {
        *self = Self::default();
    }

    /// Waits for new entries.
    pub(super) fn start_read(&mut self, member: &Arc<Member>, count: usize) {
        let (member, connection) = (Arc::clone(member), self.connection.take());
        self.read = Some(Box::pin(async move {
            let epoch = member.lock().epoch;
            match read_new(&member, connection, count).await {
                Ok((connection, entries)) => Answer {
                    epoch,
                    entries: Ok(entries),
                    claimed: None,
                    connection: Some(connection),
                },
                Err(error) => Answer {
                    epoch,
                    entries: Err(error),
                    claimed: None,
                    connection: None,
                },
            }
        }));
    }

    /// Reads entries again that this member has.
    pub(super) fn start_fetch(&mut self, member: &Arc<Member>, entries: Vec<Entry>) {
        let member = Arc::clone(member);
        self.fetch = Some(Box::pin(async move {
            let epoch = member.lock().epoch;
            let entries = fetch(&member, &entries).await;
            Answer {
                epoch,
                entries,
                claimed: None,
                connection: None,
            }
        }));
    }

    /// Looks for what was left unsettled.
    pub(super) fn start_claim(&mut self, member: &Arc<Member>, count: usize) {
        let member = Arc::clone(member);
        self.fetch = Some(Box::pin(async move {
            let (epoch, recover) = {
                let state = member.lock();
                (state.epoch, state.recover)
            };
            let whose = (recover == Recover::Own).then_some(member.name.as_str());
            let entries = claim(&member, Duration::ZERO, whose, count).await;
            Answer {
                epoch,
                entries,
                claimed: Some(count),
                connection: None,
            }
        }));
    }

    /// Waits for the next answer; for ever when nothing was asked. Cancel safe.
    pub(super) async fn answer(&mut self) -> Answer {
        let read = async {
            match self.read.as_mut() {
                Some(read) => read.await,
                None => std::future::pending().await,
            }
        };
        let fetch = async {
            match self.fetch.as_mut() {
                Some(fetch) => fetch.await,
                None => std::future::pending().await,
            }
        };
        let (was_read, mut answer) = tokio::select! {
            biased;
            answer = fetch => (false, answer),
            answer = read => (true, answer),
        };
        if was_read {
            self.read = None;
            self.connection = answer.connection.take();
        } else {
            self.fetch = None;
        }
        answer
    }
}

/// Takes an answer in.
pub(super) fn take_in(member: &Member, answer: Answer) -> Result<()> {
    let mut state = member.lock();
    if state.epoch != answer.epoch {
        // What it is about was lost meanwhile, and the read ended for it: another member has it, or will.
        return Ok(());
    }
    match answer.entries {
        Ok(entries) => {
            if let Some(wanted) = answer.claimed
                && entries.len() < wanted
            {
                state.recover = Recover::Nothing;
            }
            let at = clock::now();
            for Assigned { entry, count, read } in entries {
                // A requeued delivery counts as the one before it.
                let count = state
                    .again
                    .get(&entry)
                    .copied()
                    .unwrap_or(count.saturating_add(read.earlier));
                state.arrive(Arrived {
                    entry,
                    count,
                    message: read.message,
                    at,
                });
            }
            Ok(())
        }
        Err(error) => {
            // The server may have assigned entries all the same.
            state.recover = state.recover.max(Recover::Own);
            Err(error)
        }
    }
}

async fn open_reader(member: &Member) -> Result<MultiplexedConnection> {
    member.lock().reader = None;
    let mut connection = member.server.link.dedicated().await?;
    connection.set_response_timeout(member.block() + RESPONSE_TIMEOUT);
    let mut who = cmd("CLIENT");
    who.arg("ID");
    // A user who may not ask is one whose waiting reads end by themselves.
    if let Ok(id) = value(connection.send_packed_command(&who).await) {
        member.lock().reader = number(&id);
    }
    Ok(connection)
}

async fn read_new(
    member: &Member,
    connection: Option<MultiplexedConnection>,
    count: usize,
) -> Result<(MultiplexedConnection, Vec<Assigned>)> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => open_reader(member).await?,
    };
    let mut command = redis::Cmd::with_capacity(16, 256);
    command
        .arg("XREADGROUP")
        .arg("GROUP")
        .arg(&member.group)
        .arg(&member.name)
        .arg("COUNT")
        .arg(count)
        .arg("BLOCK")
        .arg(member.block().as_millis().to_string())
        .arg("STREAMS");
    for stream in &member.streams {
        command.arg(stream);
    }
    for _ in &member.streams {
        command.arg(">");
    }
    let answer = value(connection.send_packed_command(&command).await)?;
    let raw = new_entries(member, answer)?;
    Ok((connection, understood(member, raw).await?))
}

/// The entries of an answer to `XREADGROUP`: a list of streams, each with its entries.
fn new_entries(member: &Member, answer: Value) -> Result<Vec<Raw>> {
    let mut all = Vec::new();
    for stream in list(answer) {
        let mut parts = list(stream).into_iter();
        let (Some(Value::BulkString(name)), Some(entries)) = (parts.next(), parts.next()) else {
            return Err(error::odd_answer("receive"));
        };
        let Some(at) = member.streams.iter().position(|known| known.as_bytes() == name) else {
            continue;
        };
        let entries = list(entries);
        all.reserve(entries.len());
        for entry in entries {
            let mut parts = list(entry).into_iter();
            let (Some(id), fields) = (parts.next(), parts.next()) else {
                return Err(error::odd_answer("receive"));
            };
            let id = EntryId::of(&id).ok_or_else(|| error::odd_answer("receive"))?;
            all.push(Raw {
                entry: Entry { stream: at, id },
                count: 1,
                fields: fields.unwrap_or_default(),
            });
        }
    }
    Ok(all)
}

async fn fetch(member: &Member, entries: &[Entry]) -> Result<Vec<Assigned>> {
    let mut call = FETCH.call(&member.stream_names());
    call.arg(&member.group).arg(&member.name);
    for entry in entries {
        call.arg(entry.word());
    }
    let found = understood(member, taken(member, member.run(&call).await?)?).await?;
    let mut state = member.lock();
    for entry in entries
        .iter()
        .filter(|entry| !found.iter().any(|found| found.entry == **entry))
    {
        // Somebody else's by now, or gone.
        state.again.remove(entry);
    }
    Ok(found)
}

/// Takes over what has been unsettled for `idle`, of one member or of all.
pub(super) async fn claim(
    member: &Member,
    idle: Duration,
    whose: Option<&str>,
    count: usize,
) -> Result<Vec<Assigned>> {
    let mut call = CLAIM.call(&member.stream_names());
    call.arg(&member.group)
        .arg(&member.name)
        .arg(idle.as_millis().to_string())
        .arg(whose.unwrap_or_default())
        .arg(count);
    for known in member.known() {
        call.arg(known);
    }
    understood(member, taken(member, member.run(&call).await?)?).await
}

/// Makes what a keeper claimed an answer of now.
pub(super) fn take_in_claimed(member: &Member, epoch: u64, entries: Vec<Assigned>) -> Result<()> {
    let answer = Answer {
        epoch,
        entries: Ok(entries),
        claimed: None,
        connection: None,
    };
    take_in(member, answer)
}

/// The entries of an answer of `CLAIM` or `FETCH`. What is gone is told.
fn taken(member: &Member, answer: Value) -> Result<Vec<Raw>> {
    let mut lists = list(answer).into_iter();
    let (Some(found), Some(gone)) = (lists.next(), lists.next()) else {
        return Err(error::odd_answer("claim"));
    };
    let entry_of = |stream: &Value, id: &Value| -> Result<Entry, Error> {
        let odd = || error::odd_answer("claim");
        let stream = number(stream)
            .and_then(|n| usize::try_from(n).ok())
            .and_then(|n| n.checked_sub(1));
        let stream = stream
            .filter(|stream| *stream < member.streams.len())
            .ok_or_else(odd)?;
        let id = EntryId::of(id).ok_or_else(odd)?;
        Ok(Entry { stream, id })
    };
    for lost in list(gone) {
        if let [stream, id] = &list(lost)[..] {
            let entry = entry_of(stream, id)?;
            tracing::error!(
                topic = %member.topic, group = member.group, stream = member.streams[entry.stream], entry = %entry.id,
                "a message was deleted from its stream before it was handled; trim less, or handle faster"
            );
        }
    }
    let mut all = Vec::new();
    for item in list(found) {
        let mut parts = list(item).into_iter();
        let (Some(stream), Some(id), Some(count), fields) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(error::odd_answer("claim"));
        };
        let entry = entry_of(&stream, &id)?;
        let count = number(&count).and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        all.push(Raw {
            entry,
            count,
            fields: fields.unwrap_or_default(),
        });
    }
    Ok(all)
}
