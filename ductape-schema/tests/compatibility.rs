//! Which schema may follow which.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)] // a test fails by panicking, and takes its time
#![allow(
    missing_docs,
    missing_debug_implementations,
    dead_code,
    unreachable_pub,
    clippy::option_option
)] // the types here are only described

#[path = "compatibility/bounds.rs"]
mod bounds;
#[path = "compatibility/closed.rs"]
mod closed;
#[path = "compatibility/messages.rs"]
mod messages;
#[path = "compatibility/property.rs"]
mod property;
#[path = "compatibility/random.rs"]
mod random;
#[path = "compatibility/rules.rs"]
mod rules;
#[path = "compatibility/types.rs"]
mod types;
