//! Publishing: rows are made where the caller runs, and written by the thread.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, Result as SqlResult, params};
use tokio::sync::oneshot;

use crate::clock;
use crate::embedded::durable::cache::Cache;
use crate::embedded::durable::group::ord;
use crate::embedded::durable::schema::seq;
use crate::embedded::durable::wire::{IdColumn, SET_LEN, encode_headers};
use crate::error::{Error, ErrorKind, Result};
use crate::headers::Header;
use crate::message::{Outgoing, Position, Route, TopicName};

/// Messages as they will be written.
pub(super) struct PublishWork {
    rows: Vec<Row>,
    destinations: Vec<(TopicName, Route)>,
    sets: Vec<Arc<[Header]>>,
    headers: Vec<u8>,
    outcomes: Vec<Result<Option<Position>>>,
    to: Option<oneshot::Sender<Vec<Result<Option<Position>>>>>,
}

struct Row {
    destination: usize,
    id: IdColumn,
    key: Option<Bytes>,
    /// In `sets`.
    set: Option<usize>,
    /// Where its own headers end in `headers`; they begin where the ones before end.
    headers_end: usize,
    payload: Bytes,
    /// Nanoseconds since 1970.
    at: i64,
    /// Milliseconds since 1970, rounded up.
    due: Option<i64>,
}

impl PublishWork {
    pub(super) fn with_capacity(rows: usize) -> (Self, oneshot::Receiver<Vec<Result<Option<Position>>>>) {
        let (to, from) = oneshot::channel();
        let work = Self {
            rows: Vec::with_capacity(rows),
            destinations: Vec::new(),
            sets: Vec::new(),
            headers: Vec::new(),
            outcomes: Vec::with_capacity(rows),
            to: Some(to),
        };
        (work, from)
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn add(&mut self, message: &Outgoing) {
        let same = |(topic, route): &(TopicName, Route)| *topic == message.topic && *route == message.route;
        // What is published together mostly goes to one place: the last is looked at first.
        let destination = self.destinations.iter().rposition(same).unwrap_or_else(|| {
            self.destinations
                .push((message.topic.clone(), message.route.clone()));
            self.destinations.len() - 1
        });
        let (shared, own) = message.headers.parts();
        let set = shared.map(|shared| {
            self.sets
                .iter()
                .rposition(|set| Arc::ptr_eq(set, shared))
                .unwrap_or_else(|| {
                    self.sets.push(Arc::clone(shared));
                    self.sets.len() - 1
                })
        });
        if !own.is_empty() {
            self.headers.extend_from_slice(&[0; SET_LEN]);
            encode_headers(own, &mut self.headers);
        }
        self.rows.push(Row {
            destination,
            id: IdColumn::of(&message.id),
            key: message.key.clone(),
            set,
            headers_end: self.headers.len(),
            payload: message.payload.clone(),
            at: clock::to_nanos(message.published_at),
            due: message.not_before.map(clock::to_millis_ceil),
        });
    }

    /// Sends the outcomes.
    pub(super) fn send(&mut self) {
        if let Some(to) = self.to.take() {
            drop(to.send(std::mem::take(&mut self.outcomes)));
        }
    }

    pub(super) fn fail(&mut self, error: impl Fn() -> Error) {
        self.outcomes = self.rows.iter().map(|_| Err(error())).collect();
        self.send();
    }

    /// Writes the rows, in order, and keeps their outcomes.
    pub(super) fn execute(&mut self, conn: &Connection, cache: &mut Cache, now: i64) -> SqlResult<()> {
        self.outcomes.clear();
        let mut logs = Vec::with_capacity(self.destinations.len());
        for (topic, route) in &self.destinations {
            logs.push(cache.destination(conn, topic, route)?);
        }
        let mut sets = Vec::with_capacity(self.sets.len());
        for set in &self.sets {
            sets.push(cache.header_set(conn, set)?);
        }
        let mut insert = conn.prepare_cached(
            "INSERT INTO records (seq, at, due, ord, id, key, headers, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        let mut scratch = Vec::new();
        let mut headers_start = 0;
        for row in &self.rows {
            let own = headers_start..row.headers_end;
            headers_start = row.headers_end;
            let log = match &logs[row.destination] {
                Ok(log) => *log,
                Err(missing) => {
                    self.outcomes.push(Err(missing.error()));
                    continue;
                }
            };
            let set = row.set.map(|set| &sets[set]);
            let headers = match (set, own.is_empty()) {
                (None | Some(HeaderSet::Stored(0)), true) => None,
                (None, false) => Some(&self.headers[own]),
                (Some(HeaderSet::Stored(id)), true) => {
                    scratch.clear();
                    scratch.extend_from_slice(&id.to_le_bytes());
                    Some(scratch.as_slice())
                }
                (Some(HeaderSet::Stored(id)), false) => {
                    self.headers[own.start..own.start + SET_LEN].copy_from_slice(&id.to_le_bytes());
                    Some(&self.headers[own])
                }
                (Some(HeaderSet::Inline(bytes)), _) => {
                    scratch.clear();
                    scratch.extend_from_slice(&[0; SET_LEN]);
                    scratch.extend_from_slice(bytes);
                    scratch.extend_from_slice(self.headers[own].get(SET_LEN..).unwrap_or_default());
                    Some(scratch.as_slice())
                }
            };
            let position = cache.append(log.log);
            let ord = log.behind.map(|topic| ord(cache.last(topic)) + 1);
            let due = row.due.filter(|due| *due > now);
            insert.execute(params![
                seq(log.log, position),
                row.at,
                due,
                ord,
                row.id,
                row.key.as_deref(),
                headers,
                &*row.payload
            ])?;
            self.outcomes
                .push(Ok(log.is_topic.then(|| Position(position.cast_unsigned()))));
        }
        Ok(())
    }
}

/// Where messages of one topic and route are appended.
#[derive(Clone, Copy)]
pub(super) struct Destination {
    pub(super) log: i64,
    pub(super) is_topic: bool,
    /// For a group's own log, the topic's: what is sent to the group stands behind what the topic has by then.
    pub(super) behind: Option<i64>,
}

/// Why there is none.
pub(super) struct Missing {
    pub(super) kind: ErrorKind,
    pub(super) text: String,
    pub(super) topic: String,
    pub(super) group: Option<String>,
}

impl Missing {
    pub(super) fn error(&self) -> Error {
        let error = Error::new(self.kind, self.text.clone()).with("topic", &self.topic);
        match &self.group {
            Some(group) => error.with("group", group),
            None => error,
        }
    }
}

/// Headers that many messages share.
pub(super) enum HeaderSet {
    /// The number of a row of `header_sets`; 0 for no headers.
    Stored(u16),
    /// Written with each message, since there are too many sets already.
    Inline(Arc<[u8]>),
}
