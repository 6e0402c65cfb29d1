//! The provider that needs no server.
//!
//! [`memory`] keeps everything in this process and is the fastest that a provider can be; what is in it is gone with the
//! process. With another broker's capability it is the in-process test mode.
//!
//! [`durable`] keeps everything in a SQLite file, which several processes of one machine share.

pub mod durable;
pub mod memory;

pub use durable::{Durable, DurableConfig};
pub use memory::{Memory, MemoryConfig, MemorySettler, MemorySubscription};
