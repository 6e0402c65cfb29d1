//! Wrong input of every kind: each gets its code, one clear message, and loses nothing.

// A test fails by panicking, waits by the real clock, and shows what it saw.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

#[path = "bad_input/config.rs"]
mod config;
#[path = "bad_input/events.rs"]
mod events;
#[path = "bad_input/examined.rs"]
mod examined;
#[path = "bad_input/full_disk.rs"]
mod full_disk;
#[path = "bad_input/names.rs"]
mod names;
#[path = "bad_input/payloads.rs"]
mod payloads;
#[path = "bad_input/start.rs"]
mod start;
#[path = "bad_input/stores.rs"]
mod stores;
