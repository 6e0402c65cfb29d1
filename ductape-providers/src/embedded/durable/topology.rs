//! Topics and groups: declaring, joining, seeking, counting.

use ductape_schema::GroupName;
use rusqlite::{Connection, OptionalExtension, Result as SqlResult, params};

use crate::clock;
use crate::embedded::durable::cache::{Cache, missing_group, missing_topic};
use crate::embedded::durable::group::{DELAYED, PARKED, READY, SCHEDULED};
use crate::embedded::durable::lease::{ready_due, take_back_ended};
use crate::embedded::durable::schema::{position, seq};
use crate::error::{Error, ErrorKind, Result};
use crate::message::TopicName;
use crate::provider::Backlog;
use crate::spec::{GroupSpec, SeekTo, Source, Start, SubscriptionSpec, TopicSpec};

/// How long an ephemeral group outlives the last sign of life of its process, in milliseconds.
pub(super) const ALIVE_FOR: i64 = 60_000;

/// Creates what is missing of a topic and its groups.
pub(super) fn declare(
    conn: &Connection,
    cache: &mut Cache,
    spec: &TopicSpec,
    now: i64,
) -> SqlResult<Result<()>> {
    cache.name_topic(&spec.topic, spec.physical.as_ref());
    let log = if let Some(log) = cache.topic(conn, &spec.topic)? {
        log
    } else {
        conn.execute(
            "INSERT INTO logs (topic) VALUES (?)",
            [cache.physical(&spec.topic)],
        )?;
        conn.last_insert_rowid()
    };
    for group in &spec.groups {
        if let Err(error) = declare_group(conn, cache, &spec.topic, log, group, now)? {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

fn declare_group(
    conn: &Connection,
    cache: &mut Cache,
    topic: &TopicName,
    log: i64,
    spec: &GroupSpec,
    now: i64,
) -> SqlResult<Result<()>> {
    let known: Option<i64> = conn
        .query_row(
            "SELECT instance FROM groups WHERE topic = ? AND name = ? AND instance IN (0, ?) AND dead = 0",
            params![log, spec.name.as_str(), cache.instance],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(instance) = known {
        let is_ephemeral = instance != 0;
        if is_ephemeral == spec.ephemeral {
            return Ok(Ok(()));
        }
        let (is, wanted) = if is_ephemeral {
            ("ephemeral", "lasting")
        } else {
            ("lasting", "ephemeral")
        };
        let text = format!(
            "group `{}` exists and is {is}, and was declared as {wanted}; give it another name",
            spec.name
        );
        return Ok(Err(Error::new(ErrorKind::TopologyMismatch, text)
            .with("topic", topic)
            .with("group", &spec.name)));
    }
    let (instance, alive) = if spec.ephemeral {
        (cache.instance, Some(now + ALIVE_FOR))
    } else {
        (0, None)
    };
    let cursor = match spec.start {
        Start::Latest => cache.load_log(conn, log)?,
        Start::Earliest => before_oldest(conn, cache, log)?,
    };
    let mut add_log = conn.prepare_cached("INSERT INTO logs DEFAULT VALUES")?;
    let own = add_log.insert([])?;
    let dead = add_log.insert([])?;
    let mut add_group = conn.prepare_cached(
        "INSERT INTO groups (topic, name, instance, dead, log, own, cursor, alive_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let name = spec.name.as_str();
    add_group.execute(params![log, name, instance, false, log, own, cursor, alive])?;
    add_group.execute(params![log, name, instance, true, dead, 0, 0, alive])?;
    Ok(Ok(()))
}

/// The position before the oldest record that the log still has.
fn before_oldest(conn: &Connection, cache: &mut Cache, log: i64) -> SqlResult<i64> {
    let last = cache.load_log(conn, log)?;
    let oldest: Option<i64> = conn
        .prepare_cached("SELECT MIN(seq) FROM records WHERE seq > ? AND seq < ?")?
        .query_row([seq(log, 0), seq(log + 1, 0)], |row| row.get(0))?;
    Ok(oldest.map_or(last, |oldest| position(oldest) - 1))
}

/// The group that a subscription reads.
pub(super) fn join(conn: &Connection, cache: &mut Cache, spec: &SubscriptionSpec) -> SqlResult<Result<i64>> {
    let Some(log) = cache.topic(conn, &spec.topic)? else {
        return Ok(Err(missing_topic(&spec.topic).error()));
    };
    let name = spec.group.name.as_str();
    let dead = spec.source == Source::DeadLetters;
    let Some(id) = cache.group_id(conn, log, name, dead)? else {
        return Ok(Err(missing_group(&spec.topic, name).error()));
    };
    cache.group(conn, id)?;
    Ok(Ok(id))
}

/// Sets a group to another position. Gives its number.
pub(super) fn seek(
    conn: &Connection,
    cache: &mut Cache,
    topic: &TopicName,
    name: &GroupName,
    to: SeekTo,
) -> SqlResult<Result<i64>> {
    let Some(log) = cache.topic(conn, topic)? else {
        return Ok(Err(missing_topic(topic).error()));
    };
    let Some(id) = cache.group_id(conn, log, name.as_str(), false)? else {
        return Ok(Err(missing_group(topic, name.as_str()).error()));
    };
    let last = cache.load_log(conn, log)?;
    let cursor = match to {
        SeekTo::Earliest => before_oldest(conn, cache, log)?,
        SeekTo::Latest => last,
        SeekTo::Position(to) => i64::try_from(to.0)
            .unwrap_or(i64::MAX)
            .saturating_sub(1)
            .clamp(0, last),
        SeekTo::Time(time) => {
            let first: Option<i64> = conn
                .prepare_cached(
                    "SELECT seq FROM records WHERE seq > ? AND seq <= ? AND at >= ? ORDER BY seq LIMIT 1",
                )?
                .query_row([seq(log, 0), seq(log, last), clock::to_nanos(time)], |row| {
                    row.get(0)
                })
                .optional()?;
            first.map_or(last, |first| position(first) - 1)
        }
    };
    let Some(own) = cache.group(conn, id)?.map(|group| group.own) else {
        return Ok(Err(missing_group(topic, name.as_str()).error()));
    };
    let own_last = cache.load_log(conn, own)?;
    if let Some(group) = cache.group(conn, id)? {
        group.forget_unsettled(conn)?;
        group.cursor = cursor;
        if to == SeekTo::Latest {
            group.own_cursor = own_last;
        }
        group.hot = true;
    }
    Ok(Ok(id))
}

/// Counts what a group has before it.
pub(super) fn backlog(
    conn: &Connection,
    cache: &mut Cache,
    topic: &TopicName,
    name: &GroupName,
    now: i64,
) -> SqlResult<Result<Backlog>> {
    let Some(log) = cache.topic(conn, topic)? else {
        return Ok(Err(missing_topic(topic).error()));
    };
    let mut backlog = Backlog::default();
    for dead in [false, true] {
        let Some(id) = cache.group_id(conn, log, name.as_str(), dead)? else {
            return Ok(Err(missing_group(topic, name.as_str()).error()));
        };
        let Some(group) = cache.group(conn, id)? else {
            return Ok(Err(missing_group(topic, name.as_str()).error()));
        };
        take_back_ended(conn, group, now)?;
        ready_due(conn, group, now)?;
        let (main, own) = (group.log, group.own);
        let (cursor, own_cursor) = (group.cursor, group.own_cursor);
        let waiting = group.waits(READY) + group.waits(PARKED);
        let delayed = group.waits(DELAYED) + group.waits(SCHEDULED);
        let in_flight = group.in_flight();
        let mut ready = waiting;
        let mut later = delayed;
        for (log, cursor) in [(main, cursor), (own, own_cursor)] {
            if log == 0 {
                continue;
            }
            let last = cache.load_log(conn, log)?;
            if last > cursor {
                let scheduled: i64 = conn
                    .prepare_cached("SELECT COUNT(*) FROM records WHERE due > ? AND seq > ? AND seq <= ?")?
                    .query_row([now, seq(log, cursor), seq(log, last)], |row| row.get(0))?;
                ready += last - cursor - scheduled;
                later += scheduled;
            }
        }
        let (ready, later) = (ready.max(0).cast_unsigned(), later.max(0).cast_unsigned());
        if dead {
            backlog.dead_letters = ready + later + in_flight as u64;
        } else {
            backlog.ready = ready;
            backlog.delayed = later;
            backlog.in_flight = in_flight as u64;
        }
    }
    Ok(Ok(backlog))
}

/// Deletes a group with what it has: an ephemeral one whose subscription has gone.
pub(super) fn drop_group(conn: &Connection, cache: &mut Cache, id: i64) -> SqlResult<()> {
    let ids: Vec<(i64, i64, i64)> = conn
        .prepare_cached(
            "SELECT other.id, other.own, CASE other.dead WHEN 1 THEN other.log ELSE 0 END FROM groups AS other
             JOIN groups AS this USING (topic, name, instance) WHERE this.id = ?",
        )?
        .query_map([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<SqlResult<_>>()?;
    for (id, own, dead) in ids {
        for sql in [
            "DELETE FROM waiting WHERE grp = ?",
            "DELETE FROM leases WHERE grp = ?",
            "DELETE FROM handled WHERE grp = ?",
            "DELETE FROM groups WHERE id = ?",
        ] {
            conn.prepare_cached(sql)?.execute([id])?;
        }
        // Their records are deleted in steps, see `maintenance`.
        conn.prepare_cached("UPDATE logs SET dropped = 1 WHERE id IN (?, ?)")?
            .execute([own, dead])?;
        cache.groups.remove(&id);
    }
    Ok(())
}
