//! Delivering: what a group has before it becomes leases of a subscription.

use bytes::Bytes;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Result, Row, params};

use crate::clock;
use crate::embedded::durable::cache::Cache;
use crate::embedded::durable::engine::Sub;
use crate::embedded::durable::group::{DELAYED, Entry, Group, PARKED, READY, SCHEDULED, ord};
use crate::embedded::durable::schema::{POSITION_BITS, position, seq};
use crate::embedded::durable::settle::{come_back, freed, park, wait};
use crate::embedded::durable::wire::{SET_LEN, hash, headers_of, id_hash, id_of};
use crate::headers::Headers;
use crate::message::{Incoming, Position};
use crate::provider::{Delivery, Receipt};

/// The bits of a receipt that are the place in its batch.
pub(super) const INDEX_BITS: u32 = 12;
/// The most deliveries of one batch.
pub(super) const BATCH_MAX: usize = 1 << INDEX_BITS;
/// The most messages that one fill looks at, so that a transaction stays short.
const LOOKED_MAX: usize = 4096;
/// The most messages that are set aside because another member holds their key; then it is waited for.
const PARKED_MAX: i64 = 4096;

/// The columns of a record, in the order that [`Filling`] reads them.
macro_rules! record {
    ($rest:literal) => {
        concat!(
            "SELECT seq, at, due, ord, id, key, headers, payload FROM records ",
            $rest
        )
    };
}

/// What a fill gave.
pub(super) struct Filled {
    pub(super) deliveries: Vec<Delivery>,
    /// Whether there may be more.
    pub(super) more: bool,
}

/// Delivers at most `capacity` messages of `group` to `sub`. What has come back or is due was made ready before.
pub(super) fn fill(
    conn: &Connection,
    cache: &mut Cache,
    group: &mut Group,
    sub: &Sub,
    capacity: usize,
    now: i64,
) -> Result<Filled> {
    let mut filling = Filling {
        conn,
        cache,
        group,
        sub,
        now,
        capacity: capacity.min(BATCH_MAX),
        batch: 0,
        looked: 0,
        deliveries: Vec::new(),
    };
    filling.take_waiting()?;
    let stuck = filling.take_logs()?;
    let more = filling.is_full() && !stuck;
    Ok(Filled {
        deliveries: filling.deliveries,
        more,
    })
}

/// Gives deliveries whose lease has ended to whoever comes.
pub(super) fn take_back_ended(conn: &Connection, group: &mut Group, now: i64) -> Result<()> {
    if group.next_end.is_none_or(|end| end > now) {
        return Ok(());
    }
    for (batch, owner, index) in group.find(|_, entry| entry.until <= now) {
        if let Some(entry) = group.release(batch, owner, index) {
            come_back(conn, group, &entry, READY, 0, entry.deliveries)?;
        }
    }
    group.read_next_end();
    group.hot = true;
    Ok(())
}

/// Makes what is due ready.
pub(super) fn ready_due(conn: &Connection, group: &mut Group, now: i64) -> Result<()> {
    if group.next_due.is_none_or(|due| due > now) {
        return Ok(());
    }
    for state in [DELAYED, SCHEDULED] {
        if group.waits(state) > 0 {
            let due = conn
                .prepare_cached(
                    "UPDATE waiting SET state = 0, due = 0 WHERE grp = ? AND state = ? AND due > 0 AND due <= ?",
                )?
                .execute(params![group.id, state, now])?;
            let due = i64::try_from(due).unwrap_or(i64::MAX);
            group.count(state, -due);
            group.count(READY, due);
        }
    }
    group.read_next_due(conn)?;
    group.hot = true;
    Ok(())
}

struct Filling<'a> {
    conn: &'a Connection,
    cache: &'a mut Cache,
    group: &'a mut Group,
    sub: &'a Sub,
    now: i64,
    capacity: usize,
    batch: i64,
    looked: usize,
    deliveries: Vec<Delivery>,
}

/// A row of `waiting`.
struct Waiting {
    ord: i64,
    seq: i64,
    deliveries: u32,
}

/// What is to be done with a message.
enum Verdict {
    Deliver,
    /// It waits behind its key, or behind this id: another member has it, or it has to be handled before.
    Park {
        behind: Option<i64>,
        leased: bool,
    },
    /// The group has handled its id.
    Drop,
}

impl Filling<'_> {
    fn is_full(&self) -> bool {
        self.deliveries.len() >= self.capacity || self.looked >= LOOKED_MAX
    }

    /// Delivers what came back, was due, or waited for its key.
    fn take_waiting(&mut self) -> Result<()> {
        while self.group.waits(READY) > 0 && !self.is_full() {
            let rows = self.waiting(
                "SELECT ord, seq, deliveries FROM waiting WHERE grp = ?1 AND state = 0 AND ?2 IS NULL
                 ORDER BY ord, seq LIMIT ?3",
                None,
            )?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                if self.is_full() {
                    break;
                }
                if let Some(key) = self.take_one(&row, READY)? {
                    self.take_tail(key)?;
                }
            }
        }
        Ok(())
    }

    /// Delivers what is parked behind `key`, which this member now holds: whoever has a key takes its tail along.
    fn take_tail(&mut self, key: i64) -> Result<()> {
        while self.group.waits(PARKED) > 0 && !self.is_full() {
            let rows = self.waiting(
                "SELECT ord, seq, deliveries FROM waiting WHERE grp = ?1 AND key = ?2 AND state = 1
                 ORDER BY ord, seq LIMIT ?3",
                Some(key),
            )?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                if self.is_full() || self.take_one(&row, PARKED)?.is_none() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn waiting(&self, sql: &str, key: Option<i64>) -> Result<Vec<Waiting>> {
        let room = i64::try_from((self.capacity - self.deliveries.len()).max(16)).unwrap_or(i64::MAX);
        self.conn
            .prepare_cached(sql)?
            .query_map(params![self.group.id, key, room], |row| {
                Ok(Waiting {
                    ord: row.get(0)?,
                    seq: row.get(1)?,
                    deliveries: row.get(2)?,
                })
            })?
            .collect()
    }

    /// Delivers a message that waits in `state`, if it may be; then its key.
    fn take_one(&mut self, waiting: &Waiting, state: i64) -> Result<Option<i64>> {
        let &Waiting { ord, seq, deliveries } = waiting;
        self.looked += 1;
        let conn = self.conn;
        let mut statement = conn.prepare_cached(record!("WHERE seq = ?"))?;
        let mut record = statement.query([seq])?;
        let Some(row) = record.next()? else {
            // Only a file that was changed from outside lacks a record that waits.
            tracing::error!(seq, "the store has lost a message");
            let key = conn
                .prepare_cached("SELECT key FROM waiting WHERE grp = ? AND ord = ? AND seq = ?")?
                .query_row([self.group.id, ord, seq], |row| row.get(0))?;
            self.unwait(ord, seq, state)?;
            freed(conn, self.group, key, None)?;
            return Ok(None);
        };
        let (key, id) = self.marks(row)?;
        match self.judge(row, ord, seq, key, id)? {
            Verdict::Deliver => {
                self.unwait(ord, seq, state)?;
                self.deliver(row, ord, seq, key, id, deliveries.saturating_add(1))?;
                return Ok(key);
            }
            Verdict::Park { behind, .. } => {
                conn.prepare_cached(
                    "UPDATE waiting SET state = 1, behind = ? WHERE grp = ? AND ord = ? AND seq = ?",
                )?
                .execute(params![behind, self.group.id, ord, seq])?;
                self.group.count(state, -1);
                self.group.count(PARKED, 1);
            }
            Verdict::Drop => {
                self.unwait(ord, seq, state)?;
                freed(conn, self.group, key, id)?;
            }
        }
        Ok(None)
    }

    fn unwait(&mut self, ord: i64, seq: i64, state: i64) -> Result<()> {
        self.conn
            .prepare_cached("DELETE FROM waiting WHERE grp = ? AND ord = ? AND seq = ?")?
            .execute([self.group.id, ord, seq])?;
        self.group.count(state, -1);
        Ok(())
    }

    /// Delivers what was not looked at yet: the topic's log and the group's own, in the order of their publishing.
    /// Says whether it is stuck behind keys that other members hold.
    fn take_logs(&mut self) -> Result<bool> {
        let last = self.cache.load_log(self.conn, self.group.log)?;
        let own_last = match self.group.own {
            0 => 0,
            own => self.cache.load_log(self.conn, own)?,
        };
        while !self.is_full() {
            let mut until = last;
            let mut own_next = false;
            if self.group.own_cursor < own_last {
                if let Some(behind) = self.own_behind()? {
                    own_next = true;
                    until = last.min(behind);
                } else {
                    self.group.own_cursor = own_last;
                    self.group.touch();
                }
            }
            if self.group.cursor < until {
                if self.scan(self.group.log, until, usize::MAX)? {
                    return Ok(true);
                }
            } else if own_next {
                if self.scan(self.group.own, own_last, 1)? {
                    return Ok(true);
                }
            } else {
                break;
            }
        }
        Ok(false)
    }

    /// The topic's position that the next of the group's own messages stands behind.
    fn own_behind(&self) -> Result<Option<i64>> {
        let after = seq(self.group.own, self.group.own_cursor);
        let mut statement = self
            .conn
            .prepare_cached("SELECT ord FROM records WHERE seq > ? AND seq < ? ORDER BY seq LIMIT 1")?;
        let mut rows = statement.query([after, seq(self.group.own + 1, 0)])?;
        match rows.next()? {
            Some(row) => Ok(Some(row.get::<_, Option<i64>>(0)?.unwrap_or(0) / 2)),
            None => Ok(None),
        }
    }

    /// Looks at `log` up to `last`, and at no more than `most` messages. Says whether it is stuck.
    fn scan(&mut self, log: i64, last: i64, most: usize) -> Result<bool> {
        let is_own = log == self.group.own;
        let mut cursor = if is_own {
            self.group.own_cursor
        } else {
            self.group.cursor
        };
        let limit = i64::try_from(most.min(LOOKED_MAX)).unwrap_or(i64::MAX);
        let conn = self.conn;
        let mut statement =
            conn.prepare_cached(record!("WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"))?;
        let mut rows = statement.query([seq(log, cursor), seq(log, last), limit])?;
        let mut stuck = false;
        let mut seen = 0;
        loop {
            if self.is_full() || seen == most {
                break;
            }
            let Some(row) = rows.next()? else {
                if seen < limit.try_into().unwrap_or(usize::MAX) {
                    cursor = last;
                }
                break;
            };
            let seq: i64 = row.get(0)?;
            let due: Option<i64> = row.get(2)?;
            let ord = row
                .get::<_, Option<i64>>(3)?
                .unwrap_or_else(|| ord(position(seq)));
            let (key, id) = self.marks(row)?;
            let entry = Entry {
                index: 0,
                deliveries: 0,
                ord,
                seq,
                until: 0,
                key,
                id_hash: id,
            };
            if let Some(due) = due.filter(|due| *due > self.now) {
                wait(conn, self.group, &entry, SCHEDULED, due, 0)?;
            } else {
                match self.judge(row, ord, seq, key, id)? {
                    Verdict::Deliver => self.deliver(row, ord, seq, key, id, 1)?,
                    Verdict::Park { leased: true, .. } if self.group.waits(PARKED) >= PARKED_MAX => {
                        stuck = true;
                        break;
                    }
                    Verdict::Park { behind, .. } => park(conn, self.group, &entry, behind)?,
                    Verdict::Drop => {}
                }
            }
            seen += 1;
            self.looked += 1;
            cursor = position(seq);
        }
        if is_own {
            self.group.own_cursor = cursor;
        } else {
            self.group.cursor = cursor;
        }
        self.group.touch();
        Ok(stuck)
    }

    /// What a message's key and, where it counts, its id are told apart by.
    fn marks(&self, row: &Row<'_>) -> Result<(Option<i64>, Option<i64>)> {
        let key = match row.get_ref(5)? {
            ValueRef::Blob(key) => Some(hash(key)),
            _ => None,
        };
        let id = if self.sub.once {
            Some(id_hash(row.get_ref(4)?))
        } else {
            None
        };
        Ok((key, id))
    }

    fn judge(&self, row: &Row<'_>, ord: i64, seq: i64, key: Option<i64>, id: Option<i64>) -> Result<Verdict> {
        let group = &*self.group;
        let waits = group.waits(READY) + group.waits(PARKED) + group.waits(DELAYED) > 0;
        if let Some(id) = id {
            // What is sent to the group alone is meant to be handled, also when the group has handled it before.
            if seq >> POSITION_BITS != group.own {
                let mut handled = self
                    .conn
                    .prepare_cached("SELECT 1 FROM handled WHERE grp = ? AND id = ?")?;
                if handled.exists(params![group.id, ToSqlOutput::Borrowed(row.get_ref(4)?)])? {
                    return Ok(Verdict::Drop);
                }
            }
            if group.ids.contains_key(&id) {
                return Ok(Verdict::Park {
                    behind: Some(id),
                    leased: true,
                });
            }
            let mut earlier = self.conn.prepare_cached(
                "SELECT 1 FROM waiting WHERE grp = ? AND id_hash = ? AND (ord, seq) < (?, ?) AND state <= 2 LIMIT 1",
            )?;
            if waits && earlier.exists([group.id, id, ord, seq])? {
                return Ok(Verdict::Park {
                    behind: Some(id),
                    leased: false,
                });
            }
        }
        if let Some(key) = key {
            if group
                .held
                .get(&key)
                .is_some_and(|held| held.owner != self.sub.owner)
            {
                return Ok(Verdict::Park {
                    behind: None,
                    leased: true,
                });
            }
            let earlier = if self.sub.strict {
                "SELECT 1 FROM waiting
                 WHERE grp = ? AND key = ? AND state IN (0, 1, 2) AND (ord, seq) < (?, ?) LIMIT 1"
            } else {
                "SELECT 1 FROM waiting
                 WHERE grp = ? AND key = ? AND state IN (0, 1) AND (ord, seq) < (?, ?) LIMIT 1"
            };
            if waits
                && self
                    .conn
                    .prepare_cached(earlier)?
                    .exists([group.id, key, ord, seq])?
            {
                return Ok(Verdict::Park {
                    behind: None,
                    leased: false,
                });
            }
        }
        Ok(Verdict::Deliver)
    }

    fn deliver(
        &mut self,
        row: &Row<'_>,
        ord: i64,
        seq: i64,
        key: Option<i64>,
        id_hash: Option<i64>,
        count: u32,
    ) -> Result<()> {
        if self.batch == 0 {
            self.batch = self.cache.next_batch(self.conn)?;
            self.deliveries.reserve(self.capacity.min(256));
        }
        let index = u16::try_from(self.deliveries.len()).unwrap_or(u16::MAX);
        let message = self.message(row, seq, count)?;
        self.group.lease(
            self.batch,
            self.sub.owner,
            Entry {
                index,
                deliveries: count,
                ord,
                seq,
                until: self.now.saturating_add(self.sub.lease),
                key,
                id_hash,
            },
        );
        let token = self.batch.cast_unsigned() << INDEX_BITS | u64::from(index);
        self.deliveries.push(Delivery {
            message,
            receipt: Receipt::new(token),
        });
        Ok(())
    }

    /// The record as a message: its bytes are copied once, into one buffer.
    fn message(&mut self, row: &Row<'_>, seq: i64, count: u32) -> Result<Incoming> {
        let key = row.get_ref(5)?.as_blob_or_null()?;
        let headers = row.get_ref(6)?.as_blob_or_null()?.unwrap_or_default();
        let payload = row.get_ref(7)?.as_blob()?;
        let (set, own) = match headers {
            [low, high, own @ ..] => (u16::from_le_bytes([*low, *high]), own),
            _ => (0, &[] as &[u8]),
        };
        debug_assert!(headers.is_empty() || headers.len() >= SET_LEN);
        let shared = self.cache.headers(self.conn, set)?;
        let key_len = key.map_or(0, <[u8]>::len);
        let mut buffer = Vec::with_capacity(payload.len() + key_len + own.len());
        buffer.extend_from_slice(payload);
        buffer.extend_from_slice(key.unwrap_or_default());
        buffer.extend_from_slice(own);
        let mut rest = Bytes::from(buffer);
        let payload = rest.split_to(payload.len());
        let key = key.map(|_| rest.split_to(key_len));
        let headers = headers_of(shared, rest).unwrap_or_else(|| {
            tracing::error!(seq, "the store has lost a message's headers");
            Headers::new()
        });
        Ok(Incoming {
            topic: self.sub.topic.clone(),
            id: id_of(row.get_ref(4)?),
            key,
            headers,
            payload,
            published_at: Some(clock::from_nanos(row.get(1)?)),
            position: (seq >> POSITION_BITS == self.group.topic)
                .then(|| Position(position(seq).cast_unsigned())),
            delivery_count: count.try_into().ok(),
        })
    }
}
