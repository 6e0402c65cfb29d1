//! Stores of their own, and programs over them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ductape_events::prelude::*;
use ductape_events::store::{Store, StoreKeys, StoreUrl};
use sqlx::{Connection as _, Executor as _};

/// An order was placed.
#[topic("store-tests:order-placed", key = shop)]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OrderPlaced {
    /// Which shop.
    pub(crate) shop: String,
    /// Which order.
    pub(crate) n: u64,
}

pub(crate) fn order(shop: &str, n: u64) -> OrderPlaced {
    OrderPlaced {
        shop: shop.to_owned(),
        n,
    }
}

/// A place for a store, which is removed at the end.
pub(crate) struct Place {
    pub(crate) url: String,
    folder: Option<PathBuf>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

impl Place {
    pub(crate) async fn store(&self) -> Store {
        Store::open(&StoreUrl::parse(&self.url).unwrap(), StoreKeys::none())
            .await
            .unwrap()
    }

    /// A program in the test mode over the store. Its product is this place's own, since Postgres is shared.
    pub(crate) async fn program(&self) -> Ductape {
        let store = self.store().await;
        let product = format!("p{}", self.number());
        let builder = Ductape::builder().without_inventory().topic::<OrderPlaced>();
        builder
            .product(product)
            .in_process()
            .store(store)
            .build()
            .await
            .unwrap()
    }

    fn number(&self) -> u64 {
        self.url.bytes().fold(u64::from(std::process::id()), |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(byte))
        })
    }
}

/// A place of each kind.
pub(crate) async fn places() -> Vec<Place> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let unique = format!(
        "ductape_events_{}_{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    let folder = std::env::temp_dir().join(&unique);
    let mut places = vec![Place {
        url: format!("sqlite:{}", folder.join("store.db").display()),
        folder: Some(folder),
    }];
    if let Ok(url) = std::env::var("DUCTAPE_TEST_POSTGRES") {
        let mut server = sqlx::PgConnection::connect(&url).await.unwrap();
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {unique}"));
        server.execute(sqlx::raw_sql(create)).await.unwrap();
        let (address, _) = url.rsplit_once('/').unwrap();
        places.push(Place {
            url: format!("{address}/{unique}"),
            folder: None,
        });
    }
    places
}

/// Waits for a condition.
pub(crate) async fn wait_until(what: &str, mut come: impl FnMut() -> bool) {
    let until = tokio::time::Instant::now() + Duration::from_secs(20);
    while !come() {
        assert!(tokio::time::Instant::now() < until, "this did not come: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a program in the test mode published, in order.
pub(crate) fn published(program: &Ductape) -> Vec<OrderPlaced> {
    let messages = program.published(OrderPlaced::EVENT);
    messages
        .iter()
        .map(|message| serde_json::from_slice(&message.payload).unwrap())
        .collect()
}
