//! Settling: what becomes of a lease.

use std::time::Duration;

use rusqlite::{Connection, Result as SqlResult, params};
use tokio::sync::oneshot;

use crate::embedded::durable::engine::Sub;
use crate::embedded::durable::group::{DELAYED, Entry, Group, PARKED, READY, SCHEDULED};
use crate::embedded::durable::lease::INDEX_BITS;
use crate::error::Result;
use crate::provider::Settlement;

/// Deliveries to settle. The answer says which were lost.
pub(super) struct SettleWork {
    pub(super) sub: u64,
    pub(super) items: Vec<(u64, Settlement)>,
    pub(super) lost: Vec<usize>,
    pub(super) to: Option<oneshot::Sender<Result<Vec<usize>>>>,
}

/// Deliveries to extend. The answer says how many were lost.
pub(super) struct ExtendWork {
    pub(super) sub: u64,
    pub(super) tokens: Vec<u64>,
    pub(super) by: Duration,
    pub(super) lost: usize,
    pub(super) to: Option<oneshot::Sender<Result<usize>>>,
}

/// The batch and the place in it that a receipt stands for.
fn place_of(token: u64) -> (i64, u16) {
    let index = u16::try_from(token & ((1 << INDEX_BITS) - 1)).unwrap_or(u16::MAX);
    ((token >> INDEX_BITS).cast_signed(), index)
}

/// `duration` in milliseconds, rounded up.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

impl SettleWork {
    pub(super) fn execute(
        &mut self,
        conn: &Connection,
        group: &mut Group,
        sub: &Sub,
        now: i64,
    ) -> SqlResult<()> {
        for (at, (token, how)) in self.items.iter().enumerate() {
            let (batch, index) = place_of(*token);
            let Some(entry) = group.release(batch, sub.owner, index) else {
                self.lost.push(at);
                continue;
            };
            match how {
                Settlement::Ack => {
                    if sub.once {
                        conn.prepare_cached(
                            "INSERT OR REPLACE INTO handled (grp, id, at) SELECT ?, id, ? FROM records WHERE seq = ?",
                        )?
                        .execute([group.id, now, entry.seq])?;
                    }
                    freed(conn, group, entry.key, entry.id_hash)?;
                }
                Settlement::Reject => freed(conn, group, entry.key, entry.id_hash)?,
                Settlement::Requeue => {
                    let deliveries = entry.deliveries.saturating_sub(1);
                    come_back(conn, group, &entry, READY, 0, deliveries)?;
                }
                Settlement::RequeueAfter(Duration::ZERO) => {
                    come_back(conn, group, &entry, READY, 0, entry.deliveries)?;
                }
                Settlement::RequeueAfter(delay) => {
                    // The millisecond that has begun may be almost over.
                    let due = now.saturating_add(1).saturating_add(millis(*delay));
                    come_back(conn, group, &entry, DELAYED, due, entry.deliveries)?;
                    if !sub.strict {
                        freed(conn, group, entry.key, None)?;
                    }
                }
            }
        }
        group.hot = true;
        Ok(())
    }
}

impl ExtendWork {
    pub(super) fn execute(&mut self, group: &mut Group, sub: &Sub, now: i64) {
        let until = now.saturating_add(millis(self.by));
        for token in &self.tokens {
            let (batch, index) = place_of(*token);
            if !group.extend(batch, sub.owner, index, until) {
                self.lost += 1;
            }
        }
    }
}

/// Gives everything of `owner` back. What it has not seen (`unseen`) does not count as delivered.
pub(super) fn give_back(conn: &Connection, group: &mut Group, owner: i64, unseen: &[u64]) -> SqlResult<()> {
    let unseen: Vec<_> = unseen.iter().map(|token| place_of(*token)).collect();
    for (batch, owner, index) in group.find(|of, _| of == owner) {
        if let Some(entry) = group.release(batch, owner, index) {
            let uncounted = u32::from(unseen.contains(&(batch, index)));
            let deliveries = entry.deliveries.saturating_sub(uncounted);
            come_back(conn, group, &entry, READY, 0, deliveries)?;
        }
    }
    group.hot = true;
    Ok(())
}

/// Notes that a message waits in `state`, until `due` where it has a time.
pub(super) fn wait(
    conn: &Connection,
    group: &mut Group,
    entry: &Entry,
    state: i64,
    due: i64,
    deliveries: u32,
) -> SqlResult<()> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO waiting (grp, ord, seq, state, due, deliveries, key, id_hash)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        group.id,
        entry.ord,
        entry.seq,
        state,
        due,
        deliveries,
        entry.key,
        entry.id_hash
    ])?;
    group.count(state, 1);
    if state == DELAYED || state == SCHEDULED {
        group.next_due = Some(group.next_due.map_or(due, |next| next.min(due)));
    }
    Ok(())
}

/// Notes that a message that was not delivered yet waits behind the id `behind`, or else behind its key.
pub(super) fn park(
    conn: &Connection,
    group: &mut Group,
    entry: &Entry,
    behind: Option<i64>,
) -> SqlResult<()> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO waiting (grp, ord, seq, state, due, deliveries, key, id_hash, behind)
         VALUES (?, ?, ?, 1, 0, 0, ?, ?, ?)",
    )?
    .execute(params![
        group.id,
        entry.ord,
        entry.seq,
        entry.key,
        entry.id_hash,
        behind
    ])?;
    group.count(PARKED, 1);
    Ok(())
}

/// Notes that a delivery waits again, and makes the first of its key or id ready that was set aside before it: of two
/// that wait for each other neither would come.
pub(super) fn come_back(
    conn: &Connection,
    group: &mut Group,
    entry: &Entry,
    state: i64,
    due: i64,
    deliveries: u32,
) -> SqlResult<()> {
    wait(conn, group, entry, state, due, deliveries)?;
    promote(conn, group, entry.key, entry.id_hash, (entry.ord, entry.seq))
}

/// Makes the first that waits behind a key, and behind an id, ready, once no delivery has it any more.
///
/// One is enough: whoever gets it takes the tail along, and its settlement frees the next.
pub(super) fn freed(
    conn: &Connection,
    group: &mut Group,
    key: Option<i64>,
    id: Option<i64>,
) -> SqlResult<()> {
    promote(conn, group, key, id, (i64::MAX, i64::MAX))
}

/// As [`freed`], of what stands before `(ord, seq)` alone.
fn promote(
    conn: &Connection,
    group: &mut Group,
    key: Option<i64>,
    id: Option<i64>,
    (ord, seq): (i64, i64),
) -> SqlResult<()> {
    if group.waits(PARKED) == 0 {
        return Ok(());
    }
    let first_of_key = "UPDATE waiting SET state = 0, behind = NULL WHERE grp = ?1 AND (ord, seq) IN
        (SELECT ord, seq FROM waiting WHERE grp = ?1 AND key = ?2 AND state = 1 AND (ord, seq) < (?3, ?4)
         ORDER BY ord, seq LIMIT 1)";
    let first_of_id = "UPDATE waiting SET state = 0, behind = NULL WHERE grp = ?1 AND (ord, seq) IN
        (SELECT ord, seq FROM waiting WHERE grp = ?1 AND behind = ?2 AND (ord, seq) < (?3, ?4)
         ORDER BY ord, seq LIMIT 1)";
    let key = key.filter(|key| !group.held.contains_key(key));
    let id = id.filter(|id| !group.ids.contains_key(id));
    for (sql, behind) in [(first_of_key, key), (first_of_id, id)] {
        let Some(behind) = behind else { continue };
        let promoted = conn.prepare_cached(sql)?.execute([group.id, behind, ord, seq])?;
        let promoted = i64::try_from(promoted).unwrap_or(i64::MAX);
        group.count(PARKED, -promoted);
        group.count(READY, promoted);
    }
    Ok(())
}
