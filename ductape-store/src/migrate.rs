//! Bringing a store's tables up to this version: forward only, once, however many programs start at once.

use std::fs::{File, TryLockError};
use std::time::Duration;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use crate::dialect::Dialect;
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::open::Store;
use crate::url::Place;

/// The table that says which steps were done.
const TABLE: &str = "ductape_migrations";
/// How often a SQLite file's lock is asked for while another program brings the file up.
const LOCK_POLL: Duration = Duration::from_millis(20);

macro_rules! steps {
    ($($version:literal $name:literal),* $(,)?) => {
        [$((
            $version,
            $name,
            include_str!(concat!("../migrations/sqlite/", $name, ".sql")),
            include_str!(concat!("../migrations/postgres/", $name, ".sql")),
        )),*]
    };
}

/// A step a room: what was released is never changed, only followed. Each that a store lacks is done, also one before others that it
/// has, so no step may build on another's tables.
const STEPS: &[(i64, &str, &str, &str)] =
    &steps![1 "registry", 2 "tracking", 3 "idempotency", 4 "outbox", 5 "sessions"];

/// Brings the store up to this version.
pub(crate) async fn run(store: &Store) -> Result<()> {
    let _lock = lock(store).await?;
    let mut connection = store.connection().await?;
    let mut migrator = Migrator::with_migrations(steps(store.dialect()));
    migrator.dangerous_set_table_name(TABLE);
    let done = migrator.run_direct(None, &mut *connection, false).await;
    done.map_err(|error| failed(error, store))
}

fn steps(dialect: Dialect) -> Vec<Migration> {
    let step = |(version, name, sqlite, postgres): &(i64, &'static str, &'static str, &'static str)| {
        let sql = dialect.pick(sqlite, postgres);
        Migration::new(
            *version,
            (*name).into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    };
    STEPS.iter().map(step).collect()
}

/// What keeps other programs from doing the same: Postgres has a lock for it, which the migrator takes; beside a SQLite file stands
/// one, which is let go when this program ends, however it ends.
async fn lock(store: &Store) -> Result<Option<File>> {
    let Place::File(path) = store.url().place() else {
        return Ok(None);
    };
    let mut beside = path.clone().into_os_string();
    beside.push(".lock");
    let opened = tokio::task::spawn_blocking(move || {
        let mut options = File::options();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(beside)
    });
    let cannot = || StoreError::new(StoreErrorKind::Unreachable, format!("can't lock {}", store.url()));
    let file = opened.await.map_err(|error| cannot().with_source(error))?;
    let file = file.map_err(|error| cannot().with_source(error))?;
    // Asked for again and again: a thread that waited for it would keep a program from ending that has given up.
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_POLL).await,
            Err(TryLockError::Error(error)) => return Err(cannot().with_source(error)),
        }
    }
}

fn failed(error: MigrateError, store: &Store) -> StoreError {
    let newest = STEPS.last().map_or(0, |step| step.0);
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => StoreError::from(error),
        MigrateError::VersionMissing(version) => StoreError::new(
            StoreErrorKind::TooNew,
            format!(
                "{store} was made by a newer version: its tables are at step {version}, and this program knows {newest}; update \
                 the program, or name another store"
            ),
        ),
        error => StoreError::new(
            StoreErrorKind::Damaged,
            format!("the tables of {store} are not those that this library made"),
        )
        .with_source(error),
    }
}
