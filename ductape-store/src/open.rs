//! Opening a store, and its connections.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Once};
use std::time::Duration;

use secrecy::ExposeSecret as _;
use sqlx::any::{Any, AnyPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor as _, Transaction};

use crate::dialect::Dialect;
use crate::error::{Result, StoreError, StoreErrorKind};
use crate::migrate;
use crate::seal::StoreKeys;
use crate::url::{Place, StoreUrl};

/// How many connections read, and in Postgres also write.
const CONNECTIONS: u32 = 8;
/// How long a call waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connected database, brought up to this version's tables. Cloning costs a counter.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    url: StoreUrl,
    /// SQLite has one writer at a time, and waits in line for it here rather than in its file.
    write: AnyPool,
    read: AnyPool,
    keys: StoreKeys,
}

impl Store {
    /// Connects to the store, makes it when it is not there, and brings its tables up to this version.
    ///
    /// Ten processes that open one store at once bring it up once: the others wait. Tables are never taken back to an older
    /// version. A SQLite file, and what stands beside it, can be read by its owner alone, as can the folder when it is made here.
    ///
    /// # Errors
    ///
    /// [`Unreachable`](StoreErrorKind::Unreachable), [`ConfigInvalid`](StoreErrorKind::ConfigInvalid) (a user or a password that is
    /// refused), [`TooNew`](StoreErrorKind::TooNew), [`Damaged`](StoreErrorKind::Damaged).
    pub async fn open(url: &StoreUrl, keys: StoreKeys) -> Result<Self> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);
        let dialect = url.dialect();
        let (write, read) = match url.place() {
            Place::Memory => {
                // Each connection would have a memory of its own.
                let only = pool(dialect, 1).max_lifetime(None).idle_timeout(None);
                let only = only.connect("sqlite::memory:").await?;
                (only.clone(), only)
            }
            Place::File(path) => {
                let (path, address) = (path.clone(), file_address(path)?);
                let made = tokio::task::spawn_blocking(move || make_private(&path)).await;
                made.map_err(|error| {
                    StoreError::new(StoreErrorKind::Failed, "the store's file was not made")
                        .with_source(error)
                })??;
                try_to_connect(dialect, &address).await?;
                let write = pool(dialect, 1).connect(&address).await?;
                (write, pool(dialect, CONNECTIONS).connect(&address).await?)
            }
            Place::Postgres(url) => {
                try_to_connect(dialect, url.expose_secret()).await?;
                let both = pool(dialect, CONNECTIONS).connect(url.expose_secret()).await?;
                (both.clone(), both)
            }
        };
        let store = Self {
            inner: Arc::new(Inner {
                url: url.clone(),
                write,
                read,
                keys,
            }),
        };
        migrate::run(&store).await?;
        Ok(store)
    }

    /// Ends all connections; what is under way ends first.
    pub async fn close(&self) {
        self.inner.read.close().await;
        self.inner.write.close().await;
    }

    pub(crate) fn url(&self) -> &StoreUrl {
        &self.inner.url
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.inner.url.dialect()
    }

    pub(crate) fn keys(&self) -> &StoreKeys {
        &self.inner.keys
    }

    /// What answers queries.
    pub(crate) fn reader(&self) -> &AnyPool {
        &self.inner.read
    }

    /// What takes single statements that write.
    pub(crate) fn writer(&self) -> &AnyPool {
        &self.inner.write
    }

    pub(crate) async fn connection(&self) -> Result<PoolConnection<Any>> {
        Ok(self.inner.write.acquire().await?)
    }

    /// Begins a transaction that writes. Dropped without a commit, it is rolled back.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Any>> {
        Ok(self.inner.write.begin_with(self.dialect().begin()).await?)
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.url.fmt(f)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("url", &self.inner.url)
            .finish_non_exhaustive()
    }
}

/// Connects once, for the reason why not: a pool tries again until its time is over, and says only that.
async fn try_to_connect(dialect: Dialect, address: &str) -> Result<()> {
    let connect = async {
        let mut connection = AnyConnection::connect(address).await?;
        connection.execute(sqlx::raw_sql(dialect.prepare())).await?;
        connection.close().await
    };
    match tokio::time::timeout(ACQUIRE_TIMEOUT, connect).await {
        Ok(connected) => Ok(connected?),
        Err(_) => Err(StoreError::new(
            StoreErrorKind::Unreachable,
            format!("the store did not answer within {ACQUIRE_TIMEOUT:?}"),
        )),
    }
}

fn pool(dialect: Dialect, connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                connection.execute(sqlx::raw_sql(dialect.prepare())).await?;
                Ok(())
            })
        })
}

fn file_address(path: &Path) -> Result<String> {
    let path = path.to_str().ok_or_else(|| {
        StoreError::new(
            StoreErrorKind::ConfigInvalid,
            format!("the store's path `{}` is not UTF-8", path.display()),
        )
    })?;
    Ok(format!("sqlite://{}?mode=rwc", escaped(path)))
}

/// `path` as it stands in a URL, where `%`, `?` and `#` mean something else.
fn escaped(path: &str) -> String {
    path.replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}

/// Makes the file, and its folder, for its owner alone; SQLite gives what it puts beside it the same permissions.
fn make_private(path: &Path) -> Result<()> {
    let cannot = |what: &Path, error: std::io::Error| {
        StoreError::new(
            StoreErrorKind::Unreachable,
            format!("can't make `{}`", what.display()),
        )
        .with_source(error)
    };
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty() && !folder.exists())
    {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(|error| cannot(folder, error))?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| cannot(path, error))?;
    Ok(())
}
