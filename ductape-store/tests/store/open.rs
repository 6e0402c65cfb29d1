//! Opening, and bringing up to date.

use std::env;
use std::process::{Command, Stdio};

use ductape_store::{Store, StoreErrorKind, StoreKeys, StoreUrl};
use sqlx::Row as _;
use sqlx::any::AnyPoolOptions;

use crate::support::{places, sqlite};

pub(crate) async fn raw(url: &str) -> sqlx::AnyPool {
    sqlx::any::install_default_drivers();
    let url = url.replacen("sqlite:", "sqlite://", 1);
    AnyPoolOptions::new()
        .max_connections(1)
        .connect(&url)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_store_opens_again() {
    for place in places().await {
        place.open().await.close().await;
        place.open().await.close().await;
    }
}

#[tokio::test]
async fn memory_needs_no_place() {
    let store = Store::open(&StoreUrl::memory(), StoreKeys::none()).await.unwrap();
    assert_eq!(store.to_string(), "sqlite::memory:");
}

/// Opens the store that the variable names, for the test below.
#[tokio::test]
async fn one_of_ten() {
    if let Ok(url) = env::var("DUCTAPE_TEST_ONE_OF_TEN") {
        let url = StoreUrl::parse(&url).unwrap();
        Store::open(&url, StoreKeys::none()).await.unwrap().close().await;
    }
}

#[tokio::test]
async fn ten_processes_at_once_bring_a_store_up_once() {
    for place in places().await {
        let start = |_| {
            Command::new(env::current_exe().unwrap())
                .args(["--exact", "open::one_of_ten", "--test-threads=1"])
                .env("DUCTAPE_TEST_ONE_OF_TEN", &place.url)
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        };
        let processes: Vec<_> = (0..10).map(start).collect();
        for mut process in processes {
            assert!(process.wait().unwrap().success(), "{}", place.parsed());
        }
        let pool = raw(&place.url).await;
        let rows = sqlx::query("SELECT COUNT(*), COUNT(DISTINCT version) FROM ductape_migrations");
        let row = rows.fetch_one(&pool).await.unwrap();
        let (all, different): (i64, i64) = (row.get(0), row.get(1));
        assert!(all > 0 && all == different, "{all} {different}");
        pool.close().await;
    }
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused() {
    for place in places().await {
        place.open().await.close().await;
        let pool = raw(&place.url).await;
        let newer = "INSERT INTO ductape_migrations (version, description, success, checksum, execution_time) \
                     SELECT 9999, 'later', success, checksum, 1 FROM ductape_migrations WHERE version = 1";
        sqlx::query(newer).execute(&pool).await.unwrap();
        pool.close().await;
        let error = Store::open(&place.parsed(), StoreKeys::none()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::TooNew, "{error}");
        assert!(error.to_string().contains("step 9999"), "{error}");
        assert!(!error.to_string().contains("CANARY"), "{error}");
    }
}

#[tokio::test]
async fn tables_that_others_changed_are_told() {
    for place in places().await {
        place.open().await.close().await;
        let pool = raw(&place.url).await;
        let changed = "UPDATE ductape_migrations SET checksum = $1 WHERE version = 1";
        sqlx::query(changed)
            .bind(vec![1_u8; 48])
            .execute(&pool)
            .await
            .unwrap();
        pool.close().await;
        let error = Store::open(&place.parsed(), StoreKeys::none()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
    }
}

#[tokio::test]
async fn what_is_no_store_is_told() {
    let place = sqlite();
    let file = place.file().unwrap();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, vec![b'x'; 8192]).unwrap();
    let error = Store::open(&place.parsed(), StoreKeys::none()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error:?}");
    let nowhere = StoreUrl::parse("sqlite:/proc/nothing/store.db").unwrap();
    let error = Store::open(&nowhere, StoreKeys::none()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unreachable, "{error:?}");
    // Nobody listens at this port.
    let nobody = StoreUrl::parse("postgres://u:hunter2-CANARY@127.0.0.1:9/x").unwrap();
    let error = Store::open(&nobody, StoreKeys::none()).await.unwrap_err();
    assert!(error.is_temporary(), "{error:?}");
    assert!(!format!("{error:?}").contains("CANARY"), "{error:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_their_owner_s_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = sqlite();
    let store = place.open().await;
    let folder = place.file().unwrap().parent().unwrap().to_owned();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let mut files = 0;
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += 1;
    }
    assert!(files >= 2, "the store, and its log");
    store.close().await;
}
