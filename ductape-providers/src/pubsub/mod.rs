#![doc = include_str!("docs.md")]

mod config;
mod connect;
mod declare;
mod error;
mod examine;
mod live;
mod provider;
mod publish;
mod settle;
mod subscription;
mod wire;

pub(crate) use config::capability;
pub(crate) use connect::{connect, test_connection};
pub use provider::PubSub;
pub use settle::PubSubSettler;
pub use subscription::PubSubSubscription;
