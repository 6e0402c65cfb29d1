//! The behaviour suite on the embedded providers, on one that can do little, and on ones that are broken on purpose.

#![allow(clippy::unwrap_used)] // a test may panic, and so may what it is made of

mod agreement;
mod broken;
mod durable;
mod faults;
mod machinery;
mod memory;
mod tiny;
