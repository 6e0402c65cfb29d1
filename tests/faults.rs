//! What a killed process loses: nothing. Real processes on one durable store, killed at random moments.

// A test fails by panicking, waits by the real clock, and shows what it saw.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

#[path = "faults/kills.rs"]
mod kills;
#[path = "faults/leases.rs"]
mod leases;
#[path = "faults/lines.rs"]
mod lines;
#[path = "faults/processes.rs"]
mod processes;
#[path = "faults/servers.rs"]
mod servers;
#[path = "faults/shutdown.rs"]
mod shutdown;
