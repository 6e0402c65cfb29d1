//! Which schema may follow which.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking
#![allow(missing_docs, missing_debug_implementations, dead_code, unreachable_pub)] // the types here are only described

#[path = "compatibility/bounds.rs"]
mod bounds;
#[path = "compatibility/types.rs"]
mod types;
