//! What a store adds: idempotent publishes, an outbox that leaves with the program's own transactions, and sessions. On SQLite, and on the
//! Postgres that `DUCTAPE_TEST_POSTGRES` names.

// A test fails by panicking, and waits by the real clock.
#![allow(clippy::disallowed_methods, clippy::panic, clippy::unwrap_used)]

#[path = "store/idempotency.rs"]
mod idempotency;
#[path = "store/outbox.rs"]
mod outbox;
#[path = "store/sessions.rs"]
mod sessions;
#[path = "store/support.rs"]
mod support;
