//! A store of its own for each test, of each kind.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use ductape_store::{Store, StoreKeys, StoreUrl};
use sqlx::{Connection as _, Executor as _, PgConnection};

/// A place for a store, which is removed at the end.
pub(crate) struct Place {
    pub(crate) url: String,
    folder: Option<PathBuf>,
    database: Option<String>,
}

impl Place {
    pub(crate) fn parsed(&self) -> StoreUrl {
        StoreUrl::parse(&self.url).unwrap()
    }

    pub(crate) async fn open(&self) -> Store {
        self.open_with(StoreKeys::none()).await
    }

    pub(crate) async fn open_with(&self, keys: StoreKeys) -> Store {
        Store::open(&self.parsed(), keys)
            .await
            .unwrap_or_else(|error| panic!("{}: {error:?}", self.parsed()))
    }

    /// Removes what is in it.
    pub(crate) async fn empty(&self) {
        if let Some(file) = self.file() {
            std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
        } else {
            let mut database = PgConnection::connect(&self.url).await.unwrap();
            let all = "DROP SCHEMA public CASCADE; CREATE SCHEMA public";
            database.execute(sqlx::raw_sql(all)).await.unwrap();
        }
    }

    /// The SQLite file.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.folder
            .as_ref()
            .map(|folder| folder.join("kept").join("store.db"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
        if let Some(database) = self.database.take() {
            // A runtime of its own: this one may be ending.
            let dropped = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let mut server = PgConnection::connect(&postgres().unwrap()).await.unwrap();
                    let drop = format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)");
                    server
                        .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(drop)))
                        .await
                        .unwrap();
                });
            });
            let _ = dropped.join();
        }
    }
}

fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "ductape_test_{}_{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A place for a SQLite file.
pub(crate) fn sqlite() -> Place {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique());
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    Place {
        url: format!("sqlite:{}", folder.join("kept").join("store.db").display()),
        folder: Some(folder),
        database: None,
    }
}

/// The server's address, where there is one.
pub(crate) fn postgres() -> Option<String> {
    let url = env::var("DUCTAPE_TEST_POSTGRES")
        .ok()
        .filter(|url| !url.is_empty());
    let asked = env::var("DUCTAPE_TEST").is_ok_and(|names| names.split(',').any(|name| name == "postgres"));
    assert!(
        url.is_some() || !asked,
        "DUCTAPE_TEST asks for postgres, and DUCTAPE_TEST_POSTGRES is not set"
    );
    url
}

/// A place of each kind.
pub(crate) async fn places() -> Vec<Place> {
    let mut places = vec![sqlite()];
    if let Some(url) = postgres() {
        let database = unique();
        let mut server = PgConnection::connect(&url).await.unwrap();
        let create = format!("CREATE DATABASE {database}");
        server
            .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(create)))
            .await
            .unwrap();
        let (address, _) = url.rsplit_once('/').unwrap();
        places.push(Place {
            url: format!("{address}/{database}"),
            folder: None,
            database: Some(database),
        });
    }
    places
}
