//! The durable store: a SQLite file that several processes on one machine share.
#![doc = include_str!("docs.md")]

mod cache;
mod config;
mod engine;
mod error;
mod execute;
mod group;
mod lease;
mod maintenance;
mod place;
mod provider;
mod publish;
mod queue;
mod schema;
mod settle;
mod subscription;
mod topology;
mod wire;

#[cfg(test)]
mod tests;

pub use config::{DurableConfig, Synchronous};
pub use provider::Durable;
pub use subscription::{DurableSettler, DurableSubscription};
