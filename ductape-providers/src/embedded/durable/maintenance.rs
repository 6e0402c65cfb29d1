//! What is done in small steps between other work: settled records are deleted, dead processes' groups swept, handled
//! ids forgotten.

use std::collections::HashMap;

use rusqlite::{Connection, Result, params};

use crate::embedded::durable::cache::Cache;
use crate::embedded::durable::config::DurableConfig;
use crate::embedded::durable::schema::{POSITION_BITS, position, seq};
use crate::embedded::durable::settle::millis;
use crate::embedded::durable::topology::{ALIVE_FOR, drop_group};

/// The most rows that one step deletes: a few milliseconds.
const ROWS_MAX: i64 = 4000;
/// The most logs that one step looks at.
const LOGS_MAX: i64 = 64;
/// The most ephemeral groups that one step sweeps.
const GROUPS_MAX: i64 = 16;

/// Where the steps have come to.
#[derive(Debug, Default)]
pub(super) struct Maintenance {
    next_log: i64,
    /// Up to where each log has been looked at in this round. What still waited then is looked at in the next.
    looked: HashMap<i64, i64>,
    forget_looked_at: i64,
    /// When the groups of this store give the next sign of life.
    alive_at: i64,
}

/// How often everything is looked at anew, in milliseconds.
const ROUND: i64 = 600_000;

impl Maintenance {
    /// Does one step; says whether there is more to do at once.
    pub(super) fn step(
        &mut self,
        conn: &Connection,
        cache: &mut Cache,
        config: &DurableConfig,
        now: i64,
    ) -> Result<bool> {
        if now >= self.alive_at {
            conn.prepare_cached("UPDATE groups SET alive_until = ? WHERE instance = ?")?
                .execute([now + ALIVE_FOR, cache.instance])?;
            self.alive_at = now + ALIVE_FOR / 6;
        }
        if now >= self.forget_looked_at {
            self.looked.clear();
            self.forget_looked_at = now + ROUND;
        }
        Self::sweep(conn, cache, now)?;
        let handled = conn
            .prepare_cached(
                "DELETE FROM handled WHERE (grp, id) IN (SELECT grp, id FROM handled WHERE at < ? ORDER BY at LIMIT ?)",
            )?
            .execute([now.saturating_sub(millis(config.handled_for)), ROWS_MAX])?;
        let records = self.prune(conn, cache, config, now)?;
        Ok(handled >= 1000 || records >= 1000)
    }

    fn sweep(conn: &Connection, cache: &mut Cache, now: i64) -> Result<()> {
        let ids: Vec<i64> = conn
            .prepare_cached("SELECT id FROM groups WHERE alive_until < ? AND instance <> ? LIMIT ?")?
            .query_map([now, cache.instance, GROUPS_MAX], |row| row.get(0))?
            .collect::<Result<_>>()?;
        for id in ids {
            drop_group(conn, cache, id)?;
        }
        Ok(())
    }

    fn prune(
        &mut self,
        conn: &Connection,
        cache: &mut Cache,
        config: &DurableConfig,
        now: i64,
    ) -> Result<i64> {
        let logs: Vec<(i64, bool, bool)> = conn
            .prepare_cached(
                "SELECT id, topic IS NOT NULL, dropped FROM logs WHERE id > ? ORDER BY id LIMIT ?",
            )?
            .query_map([self.next_log, LOGS_MAX], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<Result<_>>()?;
        let mut deleted = 0;
        for (log, is_topic, dropped) in &logs {
            deleted += if *dropped {
                self.delete_dropped(conn, *log, ROWS_MAX - deleted)?
            } else {
                self.prune_log(conn, cache, config, *log, *is_topic, ROWS_MAX - deleted, now)?
            };
            // A log with much to delete does not keep the others waiting.
            self.next_log = *log;
            if deleted >= ROWS_MAX {
                return Ok(deleted);
            }
        }
        if logs.len() < usize::try_from(LOGS_MAX).unwrap_or(usize::MAX) {
            self.next_log = 0;
        }
        Ok(deleted)
    }

    #[allow(clippy::too_many_arguments)] // one caller, which has them all at hand
    fn prune_log(
        &mut self,
        conn: &Connection,
        cache: &mut Cache,
        config: &DurableConfig,
        log: i64,
        is_topic: bool,
        most: i64,
        now: i64,
    ) -> Result<i64> {
        let Some(settled) = settled_up_to(conn, cache, log)? else {
            return Ok(0);
        };
        let looked = self.looked.get(&log).copied().unwrap_or(0);
        if settled <= looked {
            return Ok(0);
        }
        let mut end = looked;
        let mut seen = 0;
        // Only a topic can be read again; what was sent to one group is done with.
        let keep_from = now
            .saturating_sub(millis(config.retention))
            .saturating_mul(1_000_000);
        let keep_after = settled.saturating_sub(i64::try_from(config.retained_max).unwrap_or(i64::MAX));
        {
            let mut statement = conn.prepare_cached(
                "SELECT seq, at FROM records WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
            )?;
            let mut rows = statement.query([seq(log, looked), seq(log, settled), most])?;
            while let Some(row) = rows.next()? {
                let (at_position, at): (i64, i64) = (position(row.get(0)?), row.get(1)?);
                if is_topic && at > keep_from && at_position > keep_after {
                    break;
                }
                end = at_position;
                seen += 1;
            }
        }
        if seen == 0 {
            return Ok(0);
        }
        conn.prepare_cached(
            "DELETE FROM records WHERE seq > ?1 AND seq <= ?2 AND NOT EXISTS (
                SELECT 1 FROM groups JOIN waiting ON waiting.grp = groups.id
                    AND waiting.ord = COALESCE(records.ord, (records.seq & ((1 << ?4) - 1)) * 2)
                    AND waiting.seq = records.seq
                WHERE groups.log = ?3 OR groups.own = ?3)",
        )?
        .execute(params![seq(log, looked), seq(log, end), log, POSITION_BITS])?;
        self.looked.insert(log, end);
        Ok(seen)
    }

    fn delete_dropped(&mut self, conn: &Connection, log: i64, most: i64) -> Result<i64> {
        let deleted = conn
            .prepare_cached(
                "DELETE FROM records WHERE seq IN (SELECT seq FROM records WHERE seq > ? AND seq < ? LIMIT ?)",
            )?
            .execute([seq(log, 0), seq(log + 1, 0), most])?;
        if deleted == 0 {
            conn.prepare_cached("DELETE FROM logs WHERE id = ?")?
                .execute([log])?;
            self.looked.remove(&log);
        }
        Ok(i64::try_from(deleted).unwrap_or(i64::MAX))
    }
}

/// The position up to which every group is done with `log`, but for what stands in `waiting`.
fn settled_up_to(conn: &Connection, cache: &mut Cache, log: i64) -> Result<Option<i64>> {
    let mut settled = cache.load_log(conn, log)?;
    if settled == 0 {
        return Ok(None);
    }
    let ids: Vec<i64> = conn
        .prepare_cached("SELECT id FROM groups WHERE log = ?1 OR own = ?1")?
        .query_map([log], |row| row.get(0))?
        .collect::<Result<_>>()?;
    for id in ids {
        let Some(group) = cache.group(conn, id)? else {
            continue;
        };
        let cursor = if group.own == log {
            group.own_cursor
        } else {
            group.cursor
        };
        settled = settled.min(cursor);
        if let Some(seq) = group.lowest_in_flight(log) {
            settled = settled.min(position(seq) - 1);
        }
    }
    Ok(Some(settled))
}
