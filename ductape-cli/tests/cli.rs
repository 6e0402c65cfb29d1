//! `ductape` on a store that a program has filled.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ductape_events::prelude::*;
use ductape_events::store::StoreUrl;

/// What generators of types make of it: `dev/test types` has them do so.
const FOLDER: &str = "DUCTAPE_SCHEMAS_FOLDER";

/// Where something goes.
#[payload]
struct Address {
    street: String,
    city: Option<String>,
}

#[payload]
#[serde(tag = "by", rename_all = "camelCase")]
enum Payment {
    Card { last_four: String },
    Transfer { iban: String },
    Cash,
}

/// Someone ordered something.
#[topic("shop:order-placed", key = order_id)]
struct OrderPlaced {
    order_id: String,
    total: f64,
    address: Address,
    others: Vec<Address>,
    payment: Payment,
    amounts: BTreeMap<String, u32>,
    note: Option<String>,
}

/// An order left.
#[topic("shop:order-sent", version = 2)]
struct OrderSent(Address);

#[consumer(group = "billing")]
async fn bill(_order: OrderPlaced) {}

/// A folder that is gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ductape-cli-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn store(&self) -> PathBuf {
        self.0.join("store.db")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn fill(store: &Path) {
    let builder = Ductape::builder()
        .in_process()
        .product("the-shop")
        .environment("prd");
    let ductape = builder.store(StoreUrl::file(store)).build().await.unwrap();
    ductape.shutdown().await.unwrap();
}

fn ductape(store: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ductape"))
        .args([
            "--store",
            &format!("sqlite:{}", store.display()),
            "--product",
            "the-shop",
            "--environment",
            "prd",
        ])
        .args(arguments)
        .env_remove("DUCTAPE_STORE_KEY")
        .output()
        .unwrap()
}

fn text(output: &[u8]) -> String {
    String::from_utf8(output.to_vec()).unwrap()
}

#[tokio::test]
async fn what_a_program_has_registered_is_told() {
    let scratch = Scratch::new("told");
    fill(&scratch.store()).await;

    let topics = ductape(&scratch.store(), &["topics"]);
    assert_eq!(
        text(&topics.stdout),
        "shop:order-placed\tv1\tOrder Placed\nshop:order-sent\tv2\tOrder Sent\n",
        "{topics:?}"
    );

    let document = ductape(&scratch.store(), &["asyncapi"]);
    let document: serde_json::Value = serde_json::from_slice(&document.stdout).unwrap();
    assert_eq!(document["info"]["title"], "the-shop");
    assert_eq!(
        document["operations"]["receive.shop.order-placed.billing"]["action"],
        "receive"
    );
    assert_eq!(document["servers"]["shop"]["protocol"], "embedded");

    let out = std::env::var_os(FOLDER).map_or_else(|| scratch.0.join("schemas"), PathBuf::from);
    let written = ductape(&scratch.store(), &["schemas", out.to_str().unwrap()]);
    assert!(written.status.success(), "{written:?}");
    let schema = std::fs::read(out.join("shop/order-placed.v1.schema.json")).unwrap();
    let schema: serde_json::Value = serde_json::from_slice(&schema).unwrap();
    assert_eq!(schema["title"], "OrderPlaced");
    assert!(out.join("shop/order-sent.v2.schema.json").is_file());
}

#[tokio::test]
async fn what_can_t_be_is_refused() {
    let scratch = Scratch::new("refused");
    let said = |output: &Output| text(&output.stderr);

    let missing = ductape(&scratch.store(), &["topics"]);
    assert!(
        !missing.status.success() && said(&missing).contains("there is no store at"),
        "{missing:?}"
    );
    assert!(!scratch.store().exists(), "it was made");

    std::fs::write(
        scratch.store(),
        "this is no database, and long enough to be told from an empty file",
    )
    .unwrap();
    let other = ductape(&scratch.store(), &["topics"]);
    assert!(
        !other.status.success() && said(&other).starts_with("ductape: "),
        "{other:?}"
    );

    let unknown = ductape(&scratch.store(), &["topic"]);
    assert!(
        !unknown.status.success() && said(&unknown).contains("topics"),
        "{unknown:?}"
    );

    std::fs::remove_file(scratch.store()).unwrap();
    fill(&scratch.store()).await;
    let out = scratch.0.join("schemas");
    let product = ductape(
        &scratch.store(),
        &["schemas", out.to_str().unwrap(), "--product", "another"],
    );
    assert!(!product.status.success(), "{product:?}");
    std::fs::write(&out, "a file").unwrap();
    let file = ductape(&scratch.store(), &["schemas", out.to_str().unwrap()]);
    assert!(
        !file.status.success() && said(&file).contains("can't be written"),
        "{file:?}"
    );
}
