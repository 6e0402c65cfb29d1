//! Durable mode, each message on the disk when its produce answers, against SQLite used directly; and what a long queue
//! costs in memory.
#![allow(clippy::unwrap_used)] // a bench that can't run has nothing to tell

use std::path::PathBuf;
use std::sync::Arc;

use ductape_benches::{Bar, Clock, Order, Took, counted, handle, handled, print_row, rounds, until_handled};
use ductape_events::prelude::*;
use ductape_providers::embedded::durable::DurableConfig;
use rusqlite::{Connection, params};
use tokio::runtime::Runtime;

const TOGETHER: u64 = 100_000;
const SINGLY: u64 = 10_000;
const RAW_SINGLY: u64 = 2_000;
const TASKS: u64 = 64;
const CONSUMED: u64 = 100_000;
const QUEUED: u64 = 1_000_000;
/// How many rows a transaction of the raw side has: as many as a `produce_all` hands over at once.
const ROWS: u64 = 1024;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let folder = Folder::new();

    // First, while the process is small.
    let growth = runtime.block_on(growth(&folder));
    print_row(
        "durable: growth of the peak RSS with 1,000,000 messages queued, MB",
        growth,
        None,
        Bar::Most(150.0, " MB"),
    );

    let together = rounds(
        5,
        || produce_all(&runtime, &folder),
        || insert(&folder, TOGETHER, ROWS),
    );
    together.print(
        "durable: produce_all, against inserts of 1,024",
        TOGETHER,
        Bar::Rate(150_000.0),
    );

    let singly = rounds(
        5,
        || produce_singly(&runtime, &folder),
        // One commit a message takes so long that fewer must do.
        || times(insert(&folder, RAW_SINGLY, 1), SINGLY / RAW_SINGLY),
    );
    singly.print(
        "durable: 64 tasks with single produces, against inserts one by one",
        SINGLY,
        Bar::Rate(20_000.0),
    );

    let consumed = rounds(5, || consume(&runtime, &folder), || select(&folder));
    consumed.print(
        "durable: consuming, against selects of 64",
        CONSUMED,
        Bar::Rate(100_000.0),
    );
}

fn times(took: Took, n: u64) -> Took {
    let n = u32::try_from(n).unwrap();
    Took {
        real: took.real * n,
        cpu: took.cpu * n,
    }
}

/// A folder on the disk that the build is on, for one store after the other.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("durable");
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// The path of a store that does not exist.
    fn fresh(&self) -> PathBuf {
        let path = self.0.join("store.db");
        for ending in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{ending}", path.display()));
        }
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn connect(folder: &Folder) -> Arc<Ductape> {
    let store = DurableConfig::new(folder.fresh()).open().await.unwrap();
    let ductape = Ductape::builder()
        .without_inventory()
        .without_config()
        .every_broker(Arc::new(store))
        .consumer::<handle>()
        .build()
        .await
        .unwrap();
    Arc::new(ductape)
}

fn produce_all(runtime: &Runtime, folder: &Folder) -> Took {
    runtime.block_on(async {
        let ductape = connect(folder).await;
        let clock = Clock::start();
        let receipts = Order::produce_all(Order::many(0, TOGETHER), &*ductape).await;
        let took = clock.took();
        assert!(receipts.iter().all(Result::is_ok));
        ductape.shutdown().await.unwrap();
        took
    })
}

fn produce_singly(runtime: &Runtime, folder: &Folder) -> Took {
    runtime.block_on(async {
        let ductape = connect(folder).await;
        let clock = Clock::start();
        let tasks = (0..TASKS).map(|task| {
            let ductape = Arc::clone(&ductape);
            tokio::spawn(async move {
                let mut order = Order::example();
                // Shares that differ by one at most.
                for n in 0..SINGLY / TASKS + u64::from(task < SINGLY % TASKS) {
                    order.number(usize::try_from(task).unwrap(), n);
                    let _receipt = order.produce(&*ductape).await.unwrap();
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        let took = clock.took();
        ductape.shutdown().await.unwrap();
        took
    })
}

fn consume(runtime: &Runtime, folder: &Folder) -> Took {
    runtime.block_on(async {
        let ductape = connect(folder).await;
        let receipts = Order::produce_all(Order::many(0, CONSUMED), &*ductape).await;
        assert!(receipts.iter().all(Result::is_ok));
        let clock = Clock::counting(CONSUMED);
        ductape.start().await.unwrap();
        until_handled().await;
        let took = clock.took();
        ductape.shutdown().await.unwrap();
        took
    })
}

async fn growth(folder: &Folder) -> f64 {
    let ductape = connect(folder).await;
    let before = resident();
    for producer in 0..QUEUED / 10_000 {
        let orders = Order::many(usize::try_from(producer).unwrap(), 10_000);
        let receipts = Order::produce_all(orders, &*ductape).await;
        assert!(receipts.iter().all(Result::is_ok));
    }
    let queued = ductape.backlog(Order::EVENT, "bench").await.unwrap().ready;
    assert_eq!((queued, handled()), (QUEUED, 0));
    let after = resident();
    ductape.shutdown().await.unwrap();
    after - before
}

/// The most memory that the process has had, in MB. Zero where the system has no `/proc`.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.unwrap_or_default() * 1024.0 / 1e6
}

fn open(folder: &Folder) -> Connection {
    let conn = Connection::open(folder.fresh()).unwrap();
    conn.execute_batch(
        "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4096;
         CREATE TABLE records (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, id BLOB NOT NULL, key BLOB, payload BLOB NOT NULL);
         CREATE TABLE cursors (name TEXT PRIMARY KEY, seq INTEGER NOT NULL);
         INSERT INTO cursors VALUES ('bench', 0);",
    )
    .unwrap();
    conn
}

fn insert(folder: &Folder, n: u64, rows: u64) -> Took {
    let conn = open(folder);
    let clock = Clock::start();
    insert_into(&conn, n, rows);
    clock.took()
}

fn insert_into(conn: &Connection, n: u64, rows: u64) {
    let mut insert = conn
        .prepare("INSERT INTO records (at, id, key, payload) VALUES (?, ?, ?, ?)")
        .unwrap();
    let mut orders = Order::many(0, n).enumerate().peekable();
    while orders.peek().is_some() {
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        for (at, order) in orders.by_ref().take(usize::try_from(rows).unwrap()) {
            let payload = serde_json::to_vec(&order).unwrap();
            let id = u128::try_from(at).unwrap().to_be_bytes();
            insert
                .execute(params![i64::MAX, id, order.order_id.as_bytes(), payload])
                .unwrap();
        }
        conn.execute_batch("COMMIT").unwrap();
    }
}

/// Reads as much at one time as a consumer has in hand, decodes, and keeps the place that it has come to.
fn select(folder: &Folder) -> Took {
    let conn = open(folder);
    insert_into(&conn, CONSUMED, ROWS);
    conn.execute_batch("PRAGMA synchronous=NORMAL").unwrap();
    let clock = Clock::start();
    let mut select = conn
        .prepare("SELECT seq, payload FROM records WHERE seq > ? ORDER BY seq LIMIT 64")
        .unwrap();
    let mut update = conn
        .prepare("UPDATE cursors SET seq = ? WHERE name = 'bench'")
        .unwrap();
    let mut cursor = 0_i64;
    loop {
        let mut rows = select.query([cursor]).unwrap();
        let before = cursor;
        while let Some(row) = rows.next().unwrap() {
            cursor = row.get(0).unwrap();
            let order: Order = serde_json::from_slice(row.get_ref(1).unwrap().as_blob().unwrap()).unwrap();
            counted(&order);
        }
        if cursor == before {
            return clock.took();
        }
        drop(rows);
        update.execute([cursor]).unwrap();
    }
}
