//! What the thread remembers of the file between transactions.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::embedded::durable::group::Group;
use crate::embedded::durable::publish::{Destination, HeaderSet, Missing};
use crate::embedded::durable::wire::{decode_headers, encode_headers};
use crate::error::ErrorKind;
use crate::headers::{Header, Headers};
use crate::message::{Route, TopicName};

/// The most sets of shared headers that are stored once; beyond it they are written with each message.
const SETS_MAX: u16 = 4096;

/// What the thread remembers of the file. What other processes may have changed is read again before it is used.
#[derive(Debug, Default)]
pub(super) struct Cache {
    /// Names this opened store among all; ephemeral groups belong to one.
    pub(super) instance: i64,
    pub(super) groups: HashMap<i64, Group>,
    /// Physical names that are not the usual ones.
    physical: HashMap<TopicName, String>,
    topics: HashMap<TopicName, i64>,
    logs: HashMap<i64, Log>,
    sets: HashMap<Arc<[u8]>, u16>,
    headers: HashMap<u16, Headers>,
    batch: Option<i64>,
    batch_changed: bool,
}

#[derive(Debug)]
struct Log {
    last: i64,
    changed: bool,
}

impl Cache {
    pub(super) fn new(instance: i64) -> Self {
        Self {
            instance,
            ..Self::default()
        }
    }

    /// Another process has written: what it may have changed is read again.
    pub(super) fn outdate(&mut self) {
        self.logs.clear();
        self.batch = None;
        for group in self.groups.values_mut() {
            group.stale = true;
            group.hot = true;
        }
    }

    /// The transaction was rolled back: what was remembered of it is not true.
    pub(super) fn forget(&mut self) {
        self.groups.clear();
        self.topics.clear();
        self.logs.clear();
        self.sets.clear();
        self.headers.clear();
        self.batch = None;
        self.batch_changed = false;
    }

    pub(super) fn name_topic(&mut self, topic: &TopicName, physical: Option<&String>) {
        match physical {
            Some(physical) => {
                if self.physical.insert(topic.clone(), physical.clone()).as_ref() != Some(physical) {
                    self.topics.remove(topic);
                }
            }
            None => {
                if self.physical.remove(topic).is_some() {
                    self.topics.remove(topic);
                }
            }
        }
    }

    pub(super) fn physical(&self, topic: &TopicName) -> String {
        self.physical
            .get(topic)
            .cloned()
            .unwrap_or_else(|| topic.physical())
    }

    /// The topic's log.
    pub(super) fn topic(&mut self, conn: &Connection, topic: &TopicName) -> Result<Option<i64>> {
        if let Some(log) = self.topics.get(topic) {
            return Ok(Some(*log));
        }
        let found = conn
            .prepare_cached("SELECT id FROM logs WHERE topic = ?")?
            .query_row([self.physical(topic)], |row| row.get(0))
            .optional()?;
        if let Some(log) = found {
            self.topics.insert(topic.clone(), log);
        }
        Ok(found)
    }

    /// The group's number: a lasting one, or an ephemeral one of this store.
    pub(super) fn group_id(
        &self,
        conn: &Connection,
        topic: i64,
        name: &str,
        dead: bool,
    ) -> Result<Option<i64>> {
        conn.prepare_cached(
            "SELECT id FROM groups WHERE topic = ? AND name = ? AND instance IN (0, ?) AND dead = ? LIMIT 1",
        )?
        .query_row(params![topic, name, self.instance, dead], |row| row.get(0))
        .optional()
    }

    /// The group as it is now; `None` when it is gone.
    pub(super) fn group(&mut self, conn: &Connection, id: i64) -> Result<Option<&mut Group>> {
        if self.groups.get(&id).is_none_or(|group| group.stale) {
            let known = self.groups.remove(&id);
            if let Some(group) = Group::refreshed(known, conn, id)? {
                self.groups.insert(id, group);
            }
        }
        Ok(self.groups.get_mut(&id))
    }

    /// Where messages of `topic` by `route` go.
    pub(super) fn destination(
        &mut self,
        conn: &Connection,
        topic: &TopicName,
        route: &Route,
    ) -> Result<std::result::Result<Destination, Missing>> {
        let Some(log) = self.topic(conn, topic)? else {
            return Ok(Err(missing_topic(topic)));
        };
        self.load_log(conn, log)?;
        let (name, dead) = match route {
            Route::Topic => {
                return Ok(Ok(Destination {
                    log,
                    is_topic: true,
                    behind: None,
                }));
            }
            Route::Group(name) => (name, false),
            Route::DeadLetters(name) => (name, true),
        };
        let Some(id) = self.group_id(conn, log, name.as_str(), dead)? else {
            return Ok(Err(missing_group(topic, name.as_str())));
        };
        let Some(group) = self.group(conn, id)? else {
            return Ok(Err(missing_group(topic, name.as_str())));
        };
        let own = if dead { group.log } else { group.own };
        self.load_log(conn, own)?;
        Ok(Ok(Destination {
            log: own,
            is_topic: false,
            behind: (!dead).then_some(log),
        }))
    }

    /// The last position of `log`, which was loaded before.
    pub(super) fn last(&self, log: i64) -> i64 {
        self.logs.get(&log).map_or(0, |log| log.last)
    }

    pub(super) fn load_log(&mut self, conn: &Connection, log: i64) -> Result<i64> {
        if let Some(log) = self.logs.get(&log) {
            return Ok(log.last);
        }
        let last = conn
            .prepare_cached("SELECT last FROM logs WHERE id = ?")?
            .query_row([log], |row| row.get(0))
            .optional()?
            .unwrap_or(0);
        self.logs.insert(log, Log { last, changed: false });
        Ok(last)
    }

    /// The next position of `log`, which was loaded before.
    pub(super) fn append(&mut self, log: i64) -> i64 {
        let log = self.logs.entry(log).or_insert(Log {
            last: 0,
            changed: false,
        });
        log.last += 1;
        log.changed = true;
        log.last
    }

    /// A number for a batch of deliveries that no batch has had.
    pub(super) fn next_batch(&mut self, conn: &Connection) -> Result<i64> {
        let last = match self.batch {
            Some(last) => last,
            None => conn
                .prepare_cached("SELECT value FROM counters WHERE name = 'batch'")?
                .query_row([], |row| row.get(0))?,
        };
        self.batch = Some(last + 1);
        self.batch_changed = true;
        Ok(last + 1)
    }

    /// How `set` is written with each message.
    pub(super) fn header_set(&mut self, conn: &Connection, set: &[Header]) -> Result<HeaderSet> {
        let mut bytes = Vec::new();
        encode_headers(set, &mut bytes);
        if bytes.is_empty() {
            return Ok(HeaderSet::Stored(0));
        }
        if let Some(id) = self.sets.get(bytes.as_slice()) {
            return Ok(HeaderSet::Stored(*id));
        }
        let bytes: Arc<[u8]> = bytes.into();
        let stored: Option<u16> = conn
            .prepare_cached("SELECT id FROM header_sets WHERE headers = ?")?
            .query_row([&*bytes], |row| row.get(0))
            .optional()?;
        let id = if let Some(id) = stored {
            id
        } else {
            let sets: u16 = conn
                .prepare_cached("SELECT COALESCE(MAX(id), 0) FROM header_sets")?
                .query_row([], |row| row.get(0))?;
            if sets >= SETS_MAX {
                return Ok(HeaderSet::Inline(bytes));
            }
            conn.prepare_cached("INSERT INTO header_sets (id, headers) VALUES (?, ?)")?
                .execute(params![sets + 1, &*bytes])?;
            sets + 1
        };
        self.sets.insert(bytes, id);
        Ok(HeaderSet::Stored(id))
    }

    /// The shared headers that are stored as `id`.
    pub(super) fn headers(&mut self, conn: &Connection, id: u16) -> Result<Headers> {
        if id == 0 {
            return Ok(Headers::new());
        }
        if let Some(set) = self.headers.get(&id) {
            return Ok(set.clone());
        }
        let bytes: Option<Vec<u8>> = conn
            .prepare_cached("SELECT headers FROM header_sets WHERE id = ?")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        let mut set = Vec::new();
        let decoded =
            bytes.and_then(|bytes| decode_headers(Bytes::from(bytes), |name, value| set.push((name, value))));
        if decoded.is_none() {
            tracing::error!(set = id, "the store has lost headers that messages share");
        }
        let set = Headers::shared(set.into());
        self.headers.insert(id, set.clone());
        Ok(set)
    }

    /// Marks the groups that read from a log that was appended to.
    pub(super) fn wake_readers(&mut self) {
        let logs = &self.logs;
        let grown = |id: i64| logs.get(&id).is_some_and(|log| log.changed);
        for group in self.groups.values_mut() {
            if !group.hot && (grown(group.log) || grown(group.own)) {
                group.hot = true;
            }
        }
    }

    /// Writes what has changed.
    pub(super) fn flush(&mut self, conn: &Connection) -> Result<()> {
        for (id, log) in self.logs.iter_mut().filter(|(_, log)| log.changed) {
            conn.prepare_cached("UPDATE logs SET last = ? WHERE id = ?")?
                .execute([log.last, *id])?;
            log.changed = false;
        }
        for group in self.groups.values_mut() {
            group.flush(conn)?;
        }
        if self.batch_changed {
            conn.prepare_cached("UPDATE counters SET value = ? WHERE name = 'batch'")?
                .execute([self.batch])?;
            self.batch_changed = false;
        }
        Ok(())
    }
}

pub(super) fn missing_topic(topic: &TopicName) -> Missing {
    Missing {
        kind: ErrorKind::TopicMissing,
        text: format!("no topic `{topic}` in the store; declare it first"),
        topic: topic.to_string(),
        group: None,
    }
}

pub(super) fn missing_group(topic: &TopicName, group: &str) -> Missing {
    Missing {
        kind: ErrorKind::GroupMissing,
        text: format!("topic `{topic}` has no group `{group}` in the store; declare it first"),
        topic: topic.to_string(),
        group: Some(group.to_owned()),
    }
}
