//! The file's format.
//!
//! A record's number, `seq`, is its log's number in the upper bits and its position in that log in the lower
//! [`POSITION_BITS`]: a log is one contiguous range of the table, without an index, and its length is known without
//! counting. Topics, groups' own messages and groups' dead letters are logs.
//!
//! Of a group, a log's records up to its cursor are settled unless they stand in `leases` (delivered, a row a batch) or
//! in `waiting` (requeued, delayed, or held back by their key); those after it were not looked at yet.

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::embedded::durable::config::DurableConfig;
use crate::embedded::durable::error::translate;
use crate::error::{Error, ErrorKind, Result};

/// The bits of a record's number that are its position; a log can have 2^40 records, a file 2^22 logs.
pub(super) const POSITION_BITS: u32 = 40;

/// The number of the record at `position` of `log`.
pub(super) const fn seq(log: i64, position: i64) -> i64 {
    (log << POSITION_BITS) | position
}

/// The position of the record `seq` in its log.
pub(super) const fn position(seq: i64) -> i64 {
    seq & ((1 << POSITION_BITS) - 1)
}

/// "DEvt": the mark of our files in SQLite's header.
const APPLICATION: i32 = 0x4445_7674;
/// The version of the format.
const FORMAT: i32 = 1;

/// Seen best among 4 to 32 KiB for small messages.
const PAGE_BYTES: i64 = 8192;
/// When the write-ahead log is folded into the file, in pages.
const CHECKPOINT_PAGES: i64 = 4096;
const STATEMENTS: usize = 64;

const TABLES: &str = "
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counters VALUES ('batch', 0);
CREATE TABLE logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT UNIQUE,
    last INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE records (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    due INTEGER,
    ord INTEGER,
    id BLOB NOT NULL,
    key BLOB,
    headers BLOB,
    payload BLOB NOT NULL
);
CREATE INDEX records_due ON records (due) WHERE due IS NOT NULL;
CREATE TABLE header_sets (id INTEGER PRIMARY KEY, headers BLOB NOT NULL UNIQUE);
CREATE TABLE groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic INTEGER NOT NULL,
    name TEXT NOT NULL,
    instance INTEGER NOT NULL,
    dead INTEGER NOT NULL,
    log INTEGER NOT NULL,
    own INTEGER NOT NULL,
    cursor INTEGER NOT NULL,
    own_cursor INTEGER NOT NULL DEFAULT 0,
    version INTEGER NOT NULL DEFAULT 0,
    ready INTEGER NOT NULL DEFAULT 0,
    parked INTEGER NOT NULL DEFAULT 0,
    delayed INTEGER NOT NULL DEFAULT 0,
    scheduled INTEGER NOT NULL DEFAULT 0,
    alive_until INTEGER,
    UNIQUE (topic, name, instance, dead)
);
CREATE INDEX groups_alive ON groups (alive_until) WHERE alive_until IS NOT NULL;
CREATE TABLE leases (id INTEGER PRIMARY KEY, grp INTEGER NOT NULL, owner INTEGER NOT NULL, entries BLOB NOT NULL);
CREATE INDEX leases_group ON leases (grp);
CREATE TABLE waiting (
    grp INTEGER NOT NULL,
    ord INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    state INTEGER NOT NULL,
    due INTEGER NOT NULL,
    deliveries INTEGER NOT NULL,
    key INTEGER,
    id_hash INTEGER,
    behind INTEGER,
    PRIMARY KEY (grp, ord, seq)
) WITHOUT ROWID;
CREATE INDEX waiting_ready ON waiting (grp) WHERE state = 0;
CREATE INDEX waiting_due ON waiting (grp, state, due) WHERE due > 0;
CREATE INDEX waiting_key ON waiting (grp, key, state) WHERE key IS NOT NULL;
CREATE INDEX waiting_id ON waiting (grp, id_hash) WHERE id_hash IS NOT NULL;
CREATE INDEX waiting_behind ON waiting (grp, behind) WHERE behind IS NOT NULL;
CREATE TABLE handled (grp INTEGER NOT NULL, id BLOB NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (grp, id)) WITHOUT ROWID;
CREATE INDEX handled_at ON handled (at);
";

/// Opens the file, checks that it is ours, and makes what a new one needs.
pub(super) fn open(config: &DurableConfig, file: &str) -> Result<Connection> {
    let failed = |error: &rusqlite::Error| translate(error, file, "open");
    // The file exists, with its permissions set; one thread uses the connection.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(&config.path, flags).map_err(|error| failed(&error))?;
    prepare(&conn, config, file).map_err(|fault| match fault {
        Fault::Sqlite(error) => failed(&error),
        Fault::Refused(message) => Error::new(ErrorKind::Unreachable, message)
            .with_temporary(false)
            .with("file", file),
    })?;
    Ok(conn)
}

enum Fault {
    Sqlite(rusqlite::Error),
    Refused(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn prepare(conn: &Connection, config: &DurableConfig, file: &str) -> Result<(), Fault> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.busy_timeout(config.busy_timeout)?;
    check(conn)?;
    conn.pragma_update(None, "page_size", PAGE_BYTES)?;
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Fault::Refused(format!(
            "the store needs SQLite's write-ahead log, and the file system gives `{mode}`; put it on a local disk"
        )));
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    conn.pragma_update(None, "journal_size_limit", CHECKPOINT_PAGES * PAGE_BYTES * 2)?;
    conn.pragma_update(None, "mmap_size", 0)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    let cache_kib = i64::try_from(config.cache_bytes / 1024).unwrap_or(i64::MAX);
    conn.pragma_update(None, "cache_size", -cache_kib.max(64))?;
    if !check(conn)? {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        let tables = make(conn);
        conn.execute_batch(if tables.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        tables?;
    }
    if let Some(bytes) = config.file_bytes_max {
        conn.pragma_update_and_check(
            None,
            "max_page_count",
            (i64::try_from(bytes).unwrap_or(i64::MAX) / PAGE_BYTES).max(32),
            |_| Ok(()),
        )?;
    }
    // From here on the engine waits by itself, more finely: only the start of a transaction finds the file busy.
    conn.busy_timeout(std::time::Duration::ZERO)?;
    tracing::debug!(file, "the store is open");
    Ok(())
}

/// Refuses another program's file and a newer format. A new file is empty.
fn check(conn: &Connection) -> Result<bool, Fault> {
    let application: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let format: i32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let table: Option<String> = conn
        .query_row("SELECT name FROM sqlite_schema LIMIT 1", [], |row| row.get(0))
        .optional()?;
    match (application, format, table) {
        (0, 0, None) => Ok(false),
        (APPLICATION, FORMAT, Some(_)) => Ok(true),
        (APPLICATION, newer, _) if newer > FORMAT => Err(Fault::Refused(format!(
            "the store was written by a newer version (format {newer}, this one knows {FORMAT}); update this program"
        ))),
        (APPLICATION, other, _) => Err(Fault::Refused(format!(
            "the store has format {other}, which this version can't read (it knows {FORMAT}); move the file away"
        ))),
        (_, _, table) => Err(Fault::Refused(format!(
            "the file is another program's SQLite database (it has a table `{}`); give another path",
            table.unwrap_or_default().escape_debug()
        ))),
    }
}

/// Makes the tables, unless another process just did.
fn make(conn: &Connection) -> Result<(), Fault> {
    if check(conn)? {
        return Ok(());
    }
    conn.execute_batch(TABLES)?;
    conn.pragma_update(None, "application_id", APPLICATION)?;
    conn.pragma_update(None, "user_version", FORMAT)?;
    Ok(())
}
