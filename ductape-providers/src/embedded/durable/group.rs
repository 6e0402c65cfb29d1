//! A group as the thread knows it: its cursors, what is delivered, and how much waits.
//!
//! It mirrors the file, which other processes change too: it is read again when its version has moved on, and forgotten
//! when a transaction is rolled back.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension, Result, params};

/// The state of a row in `waiting`. The order matters: see [`READY`] and its neighbours in queries with `<=`.
pub(super) const READY: i64 = 0;
/// It waits until what it is behind (its key, or its id) is settled.
pub(super) const PARKED: i64 = 1;
/// It failed, and waits for its time.
pub(super) const DELAYED: i64 = 2;
/// It was published for a later time.
pub(super) const SCHEDULED: i64 = 3;

/// A delivered message that is not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its place in the batch: the lower part of the receipt.
    pub(super) index: u16,
    pub(super) deliveries: u32,
    pub(super) ord: i64,
    pub(super) seq: i64,
    /// Milliseconds since 1970.
    pub(super) until: i64,
    pub(super) key: Option<i64>,
    pub(super) id_hash: Option<i64>,
}

/// What was delivered at one time to one subscription: a row of `leases`.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) owner: i64,
    pub(super) entries: Vec<Option<Entry>>,
    pub(super) left: usize,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) owner: i64,
    count: u32,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: i64,
    pub(super) topic: i64,
    pub(super) log: i64,
    /// The log of what is sent to the group alone; 0 for a group of dead letters.
    pub(super) own: i64,
    pub(super) cursor: i64,
    pub(super) own_cursor: i64,
    version: i64,
    /// Rows in `waiting` by their state.
    pub(super) waiting: [i64; 4],
    pub(super) batches: HashMap<i64, Batch>,
    /// Keys of delivered messages.
    pub(super) held: HashMap<i64, Held>,
    /// Ids of delivered messages, by hash, where `once` is asked.
    pub(super) ids: HashMap<i64, u32>,
    /// Unsettled deliveries per subscription.
    pub(super) owned: HashMap<i64, usize>,
    /// The first time that something delayed is due.
    pub(super) next_due: Option<i64>,
    /// Not later than the first time that a lease ends.
    pub(super) next_end: Option<i64>,
    /// Whether there may be something to deliver.
    pub(super) hot: bool,
    /// Whether another process may have changed it.
    pub(super) stale: bool,
    changed: bool,
    changed_batches: BTreeSet<i64>,
}

/// The order of the message at `position` of a group's topic. What is sent to a group alone stands between two.
pub(super) const fn ord(position: i64) -> i64 {
    position * 2
}

impl Group {
    /// Reads the group again if it has changed; `None` when it is gone.
    pub(super) fn refreshed(known: Option<Self>, conn: &Connection, id: i64) -> Result<Option<Self>> {
        let version: Option<i64> = conn
            .prepare_cached("SELECT version FROM groups WHERE id = ?")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        match (known, version) {
            (_, None) => Ok(None),
            (Some(mut group), Some(version)) if group.version == version => {
                group.stale = false;
                Ok(Some(group))
            }
            _ => Self::load(conn, id).map(Some),
        }
    }

    fn load(conn: &Connection, id: i64) -> Result<Self> {
        let mut group = conn
            .prepare_cached(
                "SELECT topic, log, own, cursor, own_cursor, version, ready, parked, delayed, scheduled
                 FROM groups WHERE id = ?",
            )?
            .query_row([id], |row| {
                Ok(Self {
                    id,
                    topic: row.get(0)?,
                    log: row.get(1)?,
                    own: row.get(2)?,
                    cursor: row.get(3)?,
                    own_cursor: row.get(4)?,
                    version: row.get(5)?,
                    waiting: [row.get(6)?, row.get(7)?, row.get(8)?, row.get(9)?],
                    batches: HashMap::new(),
                    held: HashMap::new(),
                    ids: HashMap::new(),
                    owned: HashMap::new(),
                    next_due: None,
                    next_end: None,
                    hot: true,
                    stale: false,
                    changed: false,
                    changed_batches: BTreeSet::new(),
                })
            })?;
        let mut statement = conn.prepare_cached("SELECT id, owner, entries FROM leases WHERE grp = ?")?;
        let mut rows = statement.query([id])?;
        while let Some(row) = rows.next()? {
            let (batch, owner): (i64, i64) = (row.get(0)?, row.get(1)?);
            for entry in decode(row.get_ref(2)?.as_blob()?) {
                group.insert(batch, owner, entry);
            }
        }
        group.read_next_due(conn)?;
        Ok(group)
    }

    pub(super) fn read_next_due(&mut self, conn: &Connection) -> Result<()> {
        let first = |state: i64| {
            conn.prepare_cached("SELECT MIN(due) FROM waiting WHERE grp = ? AND state = ? AND due > 0")?
                .query_row(params![self.id, state], |row| row.get::<_, Option<i64>>(0))
        };
        let delayed = if self.waiting[2] > 0 {
            first(DELAYED)?
        } else {
            None
        };
        let scheduled = if self.waiting[3] > 0 {
            first(SCHEDULED)?
        } else {
            None
        };
        self.next_due = [delayed, scheduled].into_iter().flatten().min();
        Ok(())
    }

    pub(super) fn waits(&self, state: i64) -> i64 {
        usize::try_from(state)
            .ok()
            .and_then(|state| self.waiting.get(state))
            .copied()
            .unwrap_or(0)
    }

    pub(super) fn count(&mut self, state: i64, by: i64) {
        if let Some(count) = usize::try_from(state)
            .ok()
            .and_then(|state| self.waiting.get_mut(state))
        {
            *count += by;
        }
        self.changed = true;
    }

    pub(super) fn touch(&mut self) {
        self.changed = true;
    }

    pub(super) fn owned(&self, owner: i64) -> usize {
        self.owned.get(&owner).copied().unwrap_or(0)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.owned.values().sum()
    }

    /// The lowest number of `log` that is delivered and not settled.
    pub(super) fn lowest_in_flight(&self, log: i64) -> Option<i64> {
        let entries = self
            .batches
            .values()
            .flat_map(|batch| batch.entries.iter().flatten());
        entries
            .map(|entry| entry.seq)
            .filter(|seq| seq >> super::schema::POSITION_BITS == log)
            .min()
    }

    fn insert(&mut self, batch: i64, owner: i64, entry: Entry) {
        if let Some(key) = entry.key {
            self.held.entry(key).or_insert(Held { owner, count: 0 }).count += 1;
        }
        if let Some(id) = entry.id_hash {
            *self.ids.entry(id).or_insert(0) += 1;
        }
        *self.owned.entry(owner).or_insert(0) += 1;
        self.next_end = Some(self.next_end.map_or(entry.until, |end| end.min(entry.until)));
        let batch = self.batches.entry(batch).or_insert_with(|| Batch {
            owner,
            entries: Vec::new(),
            left: 0,
        });
        let index = usize::from(entry.index);
        if batch.entries.len() <= index {
            batch.entries.resize(index + 1, None);
        }
        batch.entries[index] = Some(entry);
        batch.left += 1;
    }

    /// Notes that `entry` was delivered to `owner` in `batch`.
    pub(super) fn lease(&mut self, batch: i64, owner: i64, entry: Entry) {
        self.insert(batch, owner, entry);
        self.changed_batches.insert(batch);
        self.changed = true;
    }

    /// Takes a delivery out; `None` when it is not `owner`'s any more.
    pub(super) fn release(&mut self, batch_id: i64, owner: i64, index: u16) -> Option<Entry> {
        let batch = self
            .batches
            .get_mut(&batch_id)
            .filter(|batch| batch.owner == owner)?;
        let entry = batch.entries.get_mut(usize::from(index))?.take()?;
        batch.left -= 1;
        self.changed_batches.insert(batch_id);
        self.changed = true;
        if let Some(key) = entry.key {
            let free = self.held.get_mut(&key).is_some_and(|held| {
                held.count -= 1;
                held.count == 0
            });
            if free {
                self.held.remove(&key);
            }
        }
        if let Some(id) = entry.id_hash {
            let free = self.ids.get_mut(&id).is_some_and(|count| {
                *count -= 1;
                *count == 0
            });
            if free {
                self.ids.remove(&id);
            }
        }
        if let Some(count) = self.owned.get_mut(&owner) {
            *count -= 1;
            if *count == 0 {
                self.owned.remove(&owner);
            }
        }
        Some(entry)
    }

    /// Lets `owner` keep a delivery until `until`; whether it still was its own.
    pub(super) fn extend(&mut self, batch_id: i64, owner: i64, index: u16, until: i64) -> bool {
        let Some(batch) = self
            .batches
            .get_mut(&batch_id)
            .filter(|batch| batch.owner == owner)
        else {
            return false;
        };
        let Some(Some(entry)) = batch.entries.get_mut(usize::from(index)) else {
            return false;
        };
        entry.until = until;
        // The time may be shorter than what is left.
        self.next_end = Some(self.next_end.map_or(until, |end| end.min(until)));
        self.changed_batches.insert(batch_id);
        self.changed = true;
        true
    }

    /// The deliveries of `owner`, or those whose lease has ended at `now`.
    pub(super) fn find(&self, wanted: impl Fn(i64, &Entry) -> bool) -> Vec<(i64, i64, u16)> {
        let mut found: Vec<_> = self
            .batches
            .iter()
            .flat_map(|(id, batch)| {
                let entries = batch.entries.iter().flatten();
                entries
                    .filter(|entry| wanted(batch.owner, entry))
                    .map(|entry| (*id, batch.owner, entry.index))
            })
            .collect();
        found.sort_unstable();
        found
    }

    pub(super) fn read_next_end(&mut self) {
        let entries = self
            .batches
            .values()
            .flat_map(|batch| batch.entries.iter().flatten());
        self.next_end = entries.map(|entry| entry.until).min();
    }

    /// Forgets everything that is not settled.
    pub(super) fn forget_unsettled(&mut self, conn: &Connection) -> Result<()> {
        conn.prepare_cached("DELETE FROM leases WHERE grp = ?")?
            .execute([self.id])?;
        conn.prepare_cached("DELETE FROM waiting WHERE grp = ?")?
            .execute([self.id])?;
        self.waiting = [0; 4];
        self.batches.clear();
        self.held.clear();
        self.ids.clear();
        self.owned.clear();
        self.changed_batches.clear();
        self.next_due = None;
        self.next_end = None;
        self.changed = true;
        Ok(())
    }

    /// Writes what has changed.
    pub(super) fn flush(&mut self, conn: &Connection) -> Result<()> {
        if !self.changed {
            return Ok(());
        }
        let mut buffer = Vec::new();
        for id in std::mem::take(&mut self.changed_batches) {
            match self.batches.get(&id) {
                Some(batch) if batch.left > 0 => {
                    buffer.clear();
                    encode(batch.entries.iter().flatten(), &mut buffer);
                    conn.prepare_cached(
                        "INSERT OR REPLACE INTO leases (id, grp, owner, entries) VALUES (?, ?, ?, ?)",
                    )?
                    .execute(params![id, self.id, batch.owner, buffer])?;
                }
                _ => {
                    conn.prepare_cached("DELETE FROM leases WHERE id = ?")?
                        .execute([id])?;
                    self.batches.remove(&id);
                }
            }
        }
        self.version += 1;
        conn.prepare_cached(
            "UPDATE groups SET cursor = ?, own_cursor = ?, version = ?, ready = ?, parked = ?, delayed = ?, scheduled = ?
             WHERE id = ?",
        )?
        .execute(params![
            self.cursor,
            self.own_cursor,
            self.version,
            self.waiting[0],
            self.waiting[1],
            self.waiting[2],
            self.waiting[3],
            self.id
        ])?;
        self.changed = false;
        Ok(())
    }
}

const ENTRY_LEN: usize = 48;
const HAS_KEY: u16 = 1 << 15;
const HAS_ID: u16 = 1 << 14;

fn encode<'a>(entries: impl Iterator<Item = &'a Entry>, into: &mut Vec<u8>) {
    for entry in entries {
        let mut index = entry.index;
        if entry.key.is_some() {
            index |= HAS_KEY;
        }
        if entry.id_hash.is_some() {
            index |= HAS_ID;
        }
        into.extend_from_slice(&index.to_le_bytes());
        into.extend_from_slice(&[0; 2]);
        into.extend_from_slice(&entry.deliveries.to_le_bytes());
        for number in [
            entry.ord,
            entry.seq,
            entry.until,
            entry.key.unwrap_or(0),
            entry.id_hash.unwrap_or(0),
        ] {
            into.extend_from_slice(&number.to_le_bytes());
        }
    }
}

fn decode(bytes: &[u8]) -> impl Iterator<Item = Entry> {
    bytes.as_chunks::<ENTRY_LEN>().0.iter().map(|chunk| {
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&chunk[at..at + 8]);
            i64::from_le_bytes(bytes)
        };
        let index = u16::from_le_bytes([chunk[0], chunk[1]]);
        Entry {
            index: index & !(HAS_KEY | HAS_ID),
            deliveries: u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]),
            ord: number(8),
            seq: number(16),
            until: number(24),
            key: (index & HAS_KEY != 0).then(|| number(32)),
            id_hash: (index & HAS_ID != 0).then(|| number(40)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{Entry, decode, encode};

    #[test]
    fn leases_come_back_as_they_were_written() {
        let entry = |index, key, id_hash| Entry {
            index,
            deliveries: 7,
            ord: 2,
            seq: i64::MAX,
            until: -1,
            key,
            id_hash,
        };
        let entries = [
            entry(0, None, None),
            entry(4095, Some(0), None),
            entry(9, Some(-5), Some(6)),
        ];
        let mut bytes = Vec::new();
        encode(entries.iter(), &mut bytes);
        assert_eq!(decode(&bytes).collect::<Vec<_>>(), entries);
    }
}
