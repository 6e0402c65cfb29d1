//! The thread that owns the connection: everything that waits becomes one transaction, and is answered after its commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Result as SqlResult};
use tokio::time::Instant;

use crate::clock;
use crate::embedded::durable::cache::Cache;
use crate::embedded::durable::config::{DurableConfig, Synchronous};
use crate::embedded::durable::error::{is_fatal, translate};
use crate::embedded::durable::lease::{fill, ready_due, take_back_ended};
use crate::embedded::durable::maintenance::Maintenance;
use crate::embedded::durable::place::Identity;
use crate::embedded::durable::queue::{Command, End, Mailbox, Queue};
use crate::embedded::durable::schema;
use crate::message::TopicName;
use crate::provider::Delivery;

/// How often a waiting receiver looks for what other processes have written; the longer where nothing came for a while.
const POLL_MIN: Duration = Duration::from_millis(5);
const POLL_MAX: Duration = Duration::from_millis(20);
/// How often maintenance is done while there is much, and while there is little to do.
const STEP_BUSY: Duration = Duration::from_millis(20);
const STEP_IDLE: Duration = Duration::from_secs(2);
/// How long the thread may write without a pause, and how long it then pauses, so that other processes get the lock.
const RUN_MAX: Duration = Duration::from_millis(25);
const PAUSE: Duration = Duration::from_micros(500);
/// How long it sleeps between tries to get the lock.
const LOCK_SLEEP_MIN: Duration = Duration::from_micros(50);
const LOCK_SLEEP_MAX: Duration = Duration::from_micros(400);
const LOCK_SLEEP_LATE: Duration = Duration::from_millis(2);

/// After how many rows a transaction takes no more.
const ROWS_MAX: usize = 16 * 1024;

/// A subscription of this process.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // independent facts, as in the specs that they come from
pub(super) struct Sub {
    pub(super) owner: i64,
    pub(super) group: i64,
    pub(super) topic: TopicName,
    pub(super) strict: bool,
    pub(super) once: bool,
    /// Milliseconds.
    pub(super) lease: i64,
    pub(super) prefetch: usize,
    pub(super) ephemeral: bool,
    pub(super) wants: bool,
    pub(super) mailbox: Arc<Mailbox>,
}

pub(super) struct Engine {
    config: DurableConfig,
    pub(super) file: String,
    pub(super) queue: Arc<Queue>,
    pub(super) conn: Option<Connection>,
    pub(super) cache: Cache,
    pub(super) subs: BTreeMap<u64, Sub>,
    pub(super) next_sub: u64,
    maintenance: Maintenance,
    next_step: Instant,
    data_version: Option<i64>,
    full: Option<bool>,
    last_now: i64,
    quiet_since: Instant,
    running_since: Option<Instant>,
    pub(super) closing: bool,
    identity: Option<Identity>,
}

/// How a transaction failed.
pub(super) struct Failure {
    pub(super) error: rusqlite::Error,
    /// Whether it may have been committed all the same.
    pub(super) unknown: bool,
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self {
            error,
            unknown: false,
        }
    }
}

impl Engine {
    pub(super) fn new(
        config: DurableConfig,
        file: String,
        queue: Arc<Queue>,
        conn: Connection,
        instance: i64,
    ) -> Self {
        Self {
            identity: Identity::of(&config.path),
            config,
            file,
            queue,
            conn: Some(conn),
            cache: Cache::new(instance),
            subs: BTreeMap::new(),
            next_sub: 1,
            maintenance: Maintenance::default(),
            next_step: clock::now(),
            data_version: None,
            full: None,
            last_now: 0,
            quiet_since: clock::now(),
            running_since: None,
            closing: false,
        }
    }

    /// Works until the store is closed or nobody holds it any more.
    pub(super) fn run(mut self) {
        let mut commands = Vec::new();
        loop {
            let patience = self.patience();
            if !patience.is_zero() {
                self.running_since = None;
            }
            if !self.queue.take(&mut commands, patience) {
                break;
            }
            loop {
                let rest = commands.split_off(cycle_len(&commands));
                self.cycle(&mut commands);
                if self.closing {
                    return;
                }
                self.maintain();
                self.pause();
                commands = rest;
                if commands.is_empty() {
                    break;
                }
            }
        }
    }

    /// How long there is nothing to do unless somebody asks.
    fn patience(&self) -> Duration {
        let now = clock::now();
        let mut patience = self.next_step.saturating_duration_since(now);
        let wall = self.last_now;
        for sub in self.subs.values().filter(|sub| sub.wants) {
            let poll = if now.saturating_duration_since(self.quiet_since) < Duration::from_secs(1) {
                POLL_MIN
            } else {
                POLL_MAX
            };
            patience = patience.min(poll);
            if let Some(group) = self.cache.groups.get(&sub.group) {
                if group.hot {
                    return Duration::ZERO;
                }
                for time in [group.next_due, group.next_end].into_iter().flatten() {
                    let left = u64::try_from(time.saturating_sub(wall)).unwrap_or(0).max(1);
                    patience = patience.min(Duration::from_millis(left));
                }
            }
        }
        patience
    }

    fn now(&mut self) -> i64 {
        // A clock that was set back must not give leases or delays a second life.
        let wall = i64::try_from(clock::to_millis(clock::wall())).unwrap_or(i64::MAX);
        self.last_now = self.last_now.max(wall);
        self.last_now
    }

    fn cycle(&mut self, commands: &mut Vec<Command>) {
        for command in commands.iter() {
            if let Command::Want(id) = command
                && let Some(sub) = self.subs.get_mut(id)
            {
                sub.wants = true;
                if let Some(group) = self.cache.groups.get_mut(&sub.group) {
                    group.hot = true;
                }
            }
        }
        commands.retain(|command| !matches!(command, Command::Want(_)));
        if commands.is_empty() {
            if self.may_fill() {
                self.fill_alone();
            }
            return;
        }
        self.quiet_since = clock::now();
        match self.attempt(commands, true) {
            Ok(()) => {}
            Err(failure)
                if failure.unknown || is_busy(&failure.error) || commands.len() == 1 && !self.any_wants() =>
            {
                for command in commands.iter_mut() {
                    self.fail(command, &failure);
                }
            }
            // One of them may have spoilt it for all: each by itself.
            Err(_) => {
                for command in commands.iter_mut() {
                    if let Err(failure) = self.attempt(std::slice::from_mut(command), false) {
                        self.fail(command, &failure);
                    }
                }
                self.fill_alone();
            }
        }
        commands.clear();
    }

    fn any_wants(&self) -> bool {
        self.subs.values().any(|sub| sub.wants)
    }

    /// Whether a waiting receiver may find something: cheap, and without the lock.
    fn may_fill(&mut self) -> bool {
        if !self.any_wants() {
            return false;
        }
        let now = self.now();
        if let Some(conn) = &self.conn {
            let version = data_version(conn).ok();
            if version.is_none() || version != self.data_version {
                self.quiet_since = clock::now();
                return true;
            }
        }
        let ready = |sub: &Sub| {
            self.cache.groups.get(&sub.group).is_none_or(|group| {
                let due = |time: Option<i64>| time.is_some_and(|time| time <= now);
                group.hot || due(group.next_due) || due(group.next_end)
            })
        };
        self.subs.values().any(|sub| sub.wants && ready(sub))
    }

    fn fill_alone(&mut self) {
        if let Err(failure) = self.attempt(&mut [], true) {
            if is_busy(&failure.error) {
                return;
            }
            for sub in self.subs.values_mut().filter(|sub| sub.wants) {
                sub.wants = false;
                sub.mailbox.fail(translate(&failure.error, &self.file, "receive"));
            }
        }
    }

    /// Runs `commands`, and deliveries, as one transaction, and answers.
    fn attempt(&mut self, commands: &mut [Command], deliver: bool) -> Result<(), Failure> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.reopen()?,
        };
        let mut staged = Vec::new();
        match self.transact(&conn, commands, deliver, &mut staged) {
            Ok(()) => {
                self.conn = Some(conn);
                for command in commands.iter_mut() {
                    self.answer(command);
                }
                for (id, deliveries) in staged {
                    self.hand_over(id, deliveries);
                }
                Ok(())
            }
            Err(failure) => {
                // An automatic rollback may have come before.
                drop(conn.execute_batch("ROLLBACK"));
                self.cache.forget();
                self.data_version = None;
                if is_fatal(&failure.error) {
                    tracing::error!(error = %failure.error, file = self.file, "the store is opened again");
                } else {
                    self.conn = Some(conn);
                }
                Err(failure)
            }
        }
    }

    fn reopen(&mut self) -> Result<Connection, Failure> {
        self.full = None;
        self.data_version = None;
        self.identity = Identity::of(&self.config.path);
        schema::open(&self.config, &self.file).map_err(|error| {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
            Failure::from(rusqlite::Error::SqliteFailure(code, Some(error.to_string())))
        })
    }

    fn transact(
        &mut self,
        conn: &Connection,
        commands: &mut [Command],
        deliver: bool,
        staged: &mut Vec<(u64, Vec<Delivery>)>,
    ) -> Result<(), Failure> {
        // A lost lease or acknowledgement only means one more delivery: what confirms nothing need not wait for the disk.
        let confirms = |command: &Command| {
            matches!(
                command,
                Command::Publish(_) | Command::Declare(..) | Command::Close(_)
            )
        };
        let full = self.config.synchronous == Synchronous::Full && commands.iter().any(confirms);
        if self.full != Some(full) {
            conn.execute_batch(if full {
                "PRAGMA synchronous=FULL"
            } else {
                "PRAGMA synchronous=NORMAL"
            })?;
            self.full = Some(full);
        }
        self.begin(conn)?;
        let version = data_version(conn)?;
        if self.data_version.replace(version) != Some(version) {
            self.cache.outdate();
        }
        let now = self.now();
        for command in commands.iter_mut() {
            self.execute(conn, command, now)?;
        }
        self.cache.wake_readers();
        if deliver {
            self.deliver(conn, now, staged)?;
        }
        self.cache.flush(conn)?;
        conn.prepare_cached("COMMIT")?
            .execute([])
            .map_err(|error| Failure {
                unknown: is_fatal(&error),
                error,
            })?;
        Ok(())
    }

    /// Begins a transaction with the write lock, waiting for other processes.
    fn begin(&self, conn: &Connection) -> SqlResult<()> {
        let started = clock::now();
        let mut sleep = LOCK_SLEEP_MIN;
        loop {
            match conn.prepare_cached("BEGIN IMMEDIATE")?.execute([]) {
                Err(error) if is_busy(&error) => {
                    let waited = clock::now().saturating_duration_since(started);
                    if waited >= self.config.busy_timeout {
                        return Err(error);
                    }
                    thread::sleep(sleep);
                    let most = if waited < Duration::from_millis(100) {
                        LOCK_SLEEP_MAX
                    } else {
                        LOCK_SLEEP_LATE
                    };
                    sleep = (sleep * 3 / 2).min(most);
                }
                begun => return begun.map(drop),
            }
        }
    }

    fn deliver(
        &mut self,
        conn: &Connection,
        now: i64,
        staged: &mut Vec<(u64, Vec<Delivery>)>,
    ) -> SqlResult<()> {
        let mut unserved = std::collections::HashSet::new();
        let mut tried = std::collections::HashSet::new();
        for (id, sub) in &mut self.subs {
            if !sub.wants {
                continue;
            }
            let wanted = sub.mailbox.lock().wanted;
            if wanted == 0 {
                sub.wants = false;
                continue;
            }
            if self.cache.group(conn, sub.group)?.is_none() {
                sub.wants = false;
                sub.mailbox.end(End::GroupGone);
                continue;
            }
            let Some(mut group) = self.cache.groups.remove(&sub.group) else {
                continue;
            };
            take_back_ended(conn, &mut group, now)?;
            ready_due(conn, &mut group, now)?;
            let hot = group.hot;
            let capacity = wanted.min(sub.prefetch.saturating_sub(group.owned(sub.owner)));
            if hot && capacity > 0 {
                tried.insert(sub.group);
                let filled = fill(conn, &mut self.cache, &mut group, sub, capacity, now)?;
                if filled.more {
                    unserved.insert(sub.group);
                }
                if !filled.deliveries.is_empty() {
                    staged.push((*id, filled.deliveries));
                }
            } else if hot {
                // Its own settlements make it hot again.
                tried.insert(sub.group);
            }
            self.cache.groups.insert(sub.group, group);
        }
        for id in tried {
            if let Some(group) = self.cache.groups.get_mut(&id) {
                group.hot = unserved.contains(&id);
            }
        }
        Ok(())
    }

    fn hand_over(&mut self, id: u64, deliveries: Vec<Delivery>) {
        if let Some(sub) = self.subs.get_mut(&id) {
            sub.wants = false;
            let mut mail = sub.mailbox.lock();
            mail.deliveries.extend(deliveries);
            mail.wanted = 0;
            drop(mail);
            sub.mailbox.filled.notify_one();
        }
    }

    fn maintain(&mut self) {
        let now = clock::now();
        if now < self.next_step {
            return;
        }
        let more = self.step().unwrap_or_else(|failure| {
            tracing::debug!(error = %failure.error, file = self.file, "maintenance is put off");
            false
        });
        self.next_step = clock::now() + if more { STEP_BUSY } else { STEP_IDLE };
    }

    fn step(&mut self) -> Result<bool, Failure> {
        // What is written to a file that has been deleted is lost, however well it was synchronised.
        if self.conn.is_some() && Identity::of(&self.config.path) != self.identity {
            tracing::error!(
                file = self.file,
                "the store's file was moved or deleted while it was open"
            );
            self.conn = None;
            self.cache.forget();
        }
        let Some(conn) = self.conn.take() else {
            return Ok(false);
        };
        let done = self.step_on(&conn);
        if done.is_err() {
            drop(conn.execute_batch("ROLLBACK"));
            self.cache.forget();
            self.data_version = None;
        }
        self.conn = Some(conn);
        done
    }

    fn step_on(&mut self, conn: &Connection) -> Result<bool, Failure> {
        if self.full != Some(false) {
            conn.execute_batch("PRAGMA synchronous=NORMAL")?;
            self.full = Some(false);
        }
        // Another process that is writing does its own maintenance: no need to wait.
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let version = data_version(conn)?;
        if self.data_version.replace(version) != Some(version) {
            self.cache.outdate();
        }
        let now = self.now();
        let more = self.maintenance.step(conn, &mut self.cache, &self.config, now)?;
        self.cache.flush(conn)?;
        conn.prepare_cached("COMMIT")?.execute([])?;
        Ok(more)
    }

    /// Lets other processes in after a long run.
    fn pause(&mut self) {
        let now = clock::now();
        let since = *self.running_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= RUN_MAX {
            thread::sleep(PAUSE);
            self.running_since = None;
        }
    }
}

/// However the thread ends, nobody waits for it in vain.
impl Drop for Engine {
    fn drop(&mut self) {
        self.queue.abandon();
        for sub in self.subs.values() {
            sub.mailbox.end(End::StoreClosed);
        }
    }
}

/// How many of `commands` become one transaction, so that it stays short enough for those who wait for other things.
fn cycle_len(commands: &[Command]) -> usize {
    let mut rows = 0;
    let fits = |command: &&Command| {
        let before = rows;
        if let Command::Publish(work) = command {
            rows += work.len();
        }
        before < ROWS_MAX
    };
    commands.iter().take_while(fits).count()
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

/// Changes when another connection has committed.
fn data_version(conn: &Connection) -> SqlResult<i64> {
    conn.prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))
}

/// A number that nobody else has.
pub(super) fn random() -> i64 {
    loop {
        let random = uuid::Uuid::now_v7().as_u64_pair().1.cast_signed();
        if random != 0 {
            return random;
        }
    }
}
