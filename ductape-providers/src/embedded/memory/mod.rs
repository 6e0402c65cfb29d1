#![doc = include_str!("docs.md")]

mod checks;
mod config;
mod entries;
mod handled;
mod keys;
mod provider;
mod queue;
mod queue_pick;
mod queue_settle;
mod ring;
mod subscription;
mod topic;

#[cfg(test)]
mod tests;

pub use config::MemoryConfig;
pub use provider::Memory;
pub use subscription::{MemorySettler, MemorySubscription};
