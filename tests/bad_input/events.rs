//! The events of these tests, and what they have in common.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use ductape_events::prelude::*;
use ductape_events::{DuctapeBuilder, ErrorCode};

/// An order was placed.
#[topic("bad:order-placed", key = id)]
#[derive(Clone, Debug)]
pub(crate) struct OrderPlaced {
    pub(crate) id: String,
    pub(crate) quantity: u32,
    #[serde(default)]
    pub(crate) note: String,
}

impl OrderPlaced {
    pub(crate) fn new(id: impl Into<String>, note: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            quantity: 1,
            note: note.into(),
        }
    }
}

/// The ids of the orders that were handled.
#[derive(Debug, Default)]
pub(crate) struct Seen(pub(crate) Mutex<Vec<String>>);

#[consumer(group = "watch", retry(attempts = 2, base = "1ms"))]
pub(crate) async fn watch(order: OrderPlaced, seen: State<Seen>) {
    seen.0.lock().unwrap().push(order.id);
}

/// A program that has the topic, without a consumer, on the brokers of `config`.
pub(crate) fn program(config: &str) -> DuctapeBuilder {
    Ductape::builder()
        .without_inventory()
        .config_text(config)
        .environment("dev")
        .topic::<OrderPlaced>()
}

/// A program in this process.
pub(crate) fn in_process() -> DuctapeBuilder {
    Ductape::builder()
        .without_inventory()
        .without_config()
        .in_process()
        .topic::<OrderPlaced>()
}

/// Expects an error with this code and these parts of its text.
#[track_caller]
pub(crate) fn expect<T: std::fmt::Debug>(result: Result<T, BrokerError>, code: ErrorCode, parts: &[&str]) {
    let error = result.expect_err("it must be refused");
    assert_eq!(error.code(), code, "{error}");
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert!(text.len() < 1_500, "{text}");
}

/// A new folder.
pub(crate) fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("ductape-bad-input-{}-{n}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}
