//! Programs with a store, on SQLite and on Postgres.
//!
//! Postgres is the one that `DUCTAPE_TEST_POSTGRES` names (`eval "$(dev/brokers env postgres)"`); without it these tests run on
//! SQLite alone, unless `DUCTAPE_TEST` asks for `postgres`.

// A test fails by panicking, waits by the real clock, and shows what it saw.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

#[path = "registry/brokers.rs"]
mod brokers;
#[path = "registry/schemas.rs"]
mod schemas;
#[path = "registry/start.rs"]
mod start;
#[allow(dead_code)] // the other suite uses more of it
#[path = "../ductape-store/tests/store/support.rs"]
mod support;
#[path = "registry/topics.rs"]
mod topics;

use ductape_events::prelude::*;

/// Someone paid.
#[topic("shop:paid", key = order)]
pub(crate) struct Paid {
    pub(crate) order: String,
}

#[consumer(group = "billing")]
pub(crate) async fn bill(_paid: Paid) {}
