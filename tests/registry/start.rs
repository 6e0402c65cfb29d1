//! Which store a program opens, and what it says when it can't.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ductape_events::prelude::*;
use ductape_events::store::{Store, StoreKeys, StoreUrl};

use crate::support::{Place, places, postgres, sqlite};
use crate::{Paid, bill};

const CANARY: &str = "hunter2-CANARY";

/// A program that the tests below start with variables of its own: says how its start went.
#[tokio::test]
async fn a_program() {
    let Ok(timeout) = env::var("DUCTAPE_TEST_STARTUP_MS") else {
        return;
    };
    tracing_subscriber::fmt().with_ansi(false).init();
    let timeout = Duration::from_millis(timeout.parse().unwrap());
    let builder = Ductape::builder()
        .without_inventory()
        .consumer::<bill>()
        .startup_timeout(timeout);
    match builder.build().await {
        Ok(ductape) => {
            Paid { order: "1".into() }.produce(&ductape).await.unwrap();
            match ductape.messaging().list().await {
                Ok(brokers) => println!("BUILT {}", brokers[0].tag),
                Err(error) => println!("BUILT without: {error}"),
            }
            ductape.shutdown().await.unwrap();
        }
        Err(error) => println!("REFUSED temporary={} {error:?}", error.is_temporary()),
    }
}

/// Starts the program in `folder`, and answers what it said.
fn program(folder: &Path, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "start::a_program", "--test-threads=1", "--nocapture"])
        .current_dir(folder);
    for name in [
        "DUCTAPE_STORE",
        "DUCTAPE_STORE_KEY",
        "DUCTAPE_CONFIG",
        "DUCTAPE_ENV",
        "DUCTAPE_PRODUCT",
    ] {
        command.env_remove(name);
    }
    command
        .env("DUCTAPE_TEST_STARTUP_MS", "5000")
        .envs(variables.iter().copied());
    let output = command.output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!said.contains("CANARY"), "{said}");
    assert!(output.status.success(), "{said}");
    said
}

/// A folder of its own.
fn folder() -> (Place, std::path::PathBuf) {
    let place = sqlite();
    let folder = place.file().unwrap().parent().unwrap().to_owned();
    std::fs::create_dir_all(&folder).unwrap();
    (place, folder)
}

#[tokio::test]
async fn the_usual_store_is_a_file_beside_the_program() {
    let (_place, folder) = folder();
    let said = program(&folder, &[]);
    assert!(said.contains("BUILT shop"), "{said}");
    for line in [
        "broker `shop`: added",
        "topic `shop:paid`: added",
        "consumer `billing` of shop:paid",
    ] {
        assert_eq!(said.matches(line).count(), 1, "{line}: {said}");
    }
    assert!(folder.join(".ductape/store.db").exists());
    let again = program(&folder, &[]);
    assert!(
        again.contains("BUILT shop") && !again.contains("added"),
        "{again}"
    );
}

#[tokio::test]
async fn off_is_no_store() {
    let (_place, folder) = folder();
    let said = program(&folder, &[("DUCTAPE_STORE", "off")]);
    assert!(
        said.contains("BUILT without: STORE_FAILED: the registry needs a store"),
        "{said}"
    );
    assert!(
        said.contains("DUCTAPE_STORE") && !folder.join(".ductape/store.db").exists(),
        "{said}"
    );
    std::fs::write(
        folder.join("ductape.toml"),
        "store = 'off'\n[brokers.shop.environments.dev]\ntype = 'EMBEDDED'\n",
    )
    .unwrap();
    assert!(program(&folder, &[]).contains("BUILT without: STORE_FAILED"));
    // The variable comes before the file.
    let said = program(&folder, &[("DUCTAPE_STORE", "sqlite:mine.db")]);
    assert!(
        said.contains("BUILT shop") && folder.join("mine.db").exists(),
        "{said}"
    );
}

#[tokio::test]
async fn the_store_that_a_variable_names_is_used() {
    for place in places().await {
        let (_folder, folder) = folder();
        let said = program(&folder, &[("DUCTAPE_STORE", &place.url)]);
        assert!(said.contains("BUILT shop"), "{said}");
        assert!(!folder.join(".ductape/store.db").exists());
        let store = place.open().await;
        let consumers = store
            .registry()
            .consumers("app", "dev", Some(("shop", "paid")), std::time::UNIX_EPOCH)
            .await;
        assert_eq!(consumers.unwrap()[0].tag, "billing");
    }
}

#[tokio::test]
async fn what_is_no_store_or_no_key_is_told_without_showing_it() {
    let (_place, folder) = folder();
    for (name, value, told) in [
        (
            "DUCTAPE_STORE",
            format!("mysql://u:{CANARY}@h"),
            "the variable `DUCTAPE_STORE` can't be used: the store's address is neither",
        ),
        (
            "DUCTAPE_STORE_KEY",
            CANARY.to_owned(),
            "the variable `DUCTAPE_STORE_KEY` can't be used: key 1 of the store is not 32 bytes",
        ),
    ] {
        let said = program(&folder, &[(name, value.as_str())]);
        assert!(
            said.contains("REFUSED temporary=false CONFIG_INVALID") && said.contains(told),
            "{said}"
        );
    }
    let file =
        format!("store = 'mysql://u:{CANARY}@h'\n[brokers.shop.environments.dev]\ntype = 'EMBEDDED'\n");
    std::fs::write(folder.join("ductape.toml"), file).unwrap();
    let said = program(&folder, &[]);
    assert!(
        said.contains("`store` of the configuration can't be used"),
        "{said}"
    );
}

#[tokio::test]
async fn a_store_that_is_down_is_waited_for_and_then_told() {
    // A port that was free a moment ago, and that nobody listens at.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let (_place, folder) = folder();
    let url = format!("postgres://u:{CANARY}@127.0.0.1:{port}/x");
    let began = Instant::now();
    let said = program(
        &folder,
        &[("DUCTAPE_STORE", &url), ("DUCTAPE_TEST_STARTUP_MS", "700")],
    );
    assert!(began.elapsed() >= Duration::from_millis(700), "{said}");
    for part in [
        "REFUSED temporary=true CONNECTION_FAILED",
        "which the variable `DUCTAPE_STORE` names",
        "DUCTAPE_STORE=off",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_at_once() {
    let Some(url) = postgres() else { return };
    let (_place, folder) = folder();
    let (before, after) = url.split_once('@').unwrap();
    let (user, _) = before.rsplit_once(':').unwrap();
    let wrong = format!("{user}:{CANARY}-wrong@{after}");
    let began = Instant::now();
    let said = program(
        &folder,
        &[("DUCTAPE_STORE", &wrong), ("DUCTAPE_TEST_STARTUP_MS", "60000")],
    );
    assert!(said.contains("REFUSED temporary=false CONFIG_INVALID"), "{said}");
    assert!(
        said.contains("check the user, the password and the database"),
        "{said}"
    );
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_told() {
    for place in places().await {
        place.open().await.close().await;
        sqlx::any::install_default_drivers();
        let pool = sqlx::AnyPool::connect(&place.url.replacen("sqlite:", "sqlite://", 1))
            .await
            .unwrap();
        let newer = "INSERT INTO ductape_migrations (version, description, success, checksum, execution_time) \
                     SELECT 9999, 'later', success, checksum, 1 FROM ductape_migrations WHERE version = 1";
        sqlx::query(newer).execute(&pool).await.unwrap();
        pool.close().await;
        let (_folder, folder) = folder();
        let said = program(&folder, &[("DUCTAPE_STORE", &place.url)]);
        for part in [
            "REFUSED temporary=false STORE_FAILED",
            "made by a newer version",
            "update the program",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

#[tokio::test]
async fn a_store_that_another_brings_up_is_waited_for_up_to_the_limit() {
    let (place, folder) = folder();
    let lock = std::fs::File::create(format!("{}.lock", place.file().unwrap().display())).unwrap();
    lock.lock().unwrap();
    let began = Instant::now();
    let said = program(
        &folder,
        &[("DUCTAPE_STORE", &place.url), ("DUCTAPE_TEST_STARTUP_MS", "700")],
    );
    assert!(
        said.contains("REFUSED temporary=true CONNECTION_FAILED"),
        "{said}"
    );
    assert!(said.contains("was not ready within 700ms"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    drop(lock);
    let said = program(&folder, &[("DUCTAPE_STORE", &place.url)]);
    assert!(said.contains("BUILT shop"), "{said}");
}

#[tokio::test]
async fn a_store_that_is_given_open_stays_open() {
    for place in places().await {
        let store = place.open().await;
        for product in ["one", "two"] {
            let builder = Ductape::builder()
                .without_inventory()
                .in_process()
                .consumer::<bill>()
                .product(product);
            let ductape = builder.store(store.clone()).build().await.unwrap();
            assert_eq!(ductape.messaging().list().await.unwrap().len(), 1);
            ductape.shutdown().await.unwrap();
        }
        assert_eq!(store.registry().brokers("two").await.unwrap().len(), 1);
        let builder = Ductape::builder().without_inventory().in_process();
        let ductape = builder.store(place.parsed()).build().await.unwrap();
        ductape.shutdown().await.unwrap();
        let error = ductape.messaging().list().await.unwrap_err();
        assert!(error.to_string().contains("the store was closed"), "{error}");
    }
}

#[tokio::test]
async fn a_test_program_has_no_store_unless_it_is_given_one() {
    let ductape = Ductape::builder()
        .without_inventory()
        .in_process()
        .consumer::<bill>()
        .build()
        .await
        .unwrap();
    let error = ductape.messaging().fetch("shop").await.unwrap_err();
    assert_eq!(error.code(), ductape_events::ErrorCode::StoreFailed);
    let memory = Store::open(&StoreUrl::memory(), StoreKeys::none()).await.unwrap();
    assert_eq!(memory.registry().brokers("app").await.unwrap(), []);
}
