//! One behaviour on SQLite and on Postgres.
//!
//! Postgres is the one that `DUCTAPE_TEST_POSTGRES` names (`eval "$(dev/brokers env postgres)"`); without it these tests run on
//! SQLite alone, unless `DUCTAPE_TEST` asks for `postgres`.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails where it unwraps

mod idempotency;
mod inbox;
mod open;
mod outbox;
mod registry;
mod sessions;
mod support;
mod tracking;
