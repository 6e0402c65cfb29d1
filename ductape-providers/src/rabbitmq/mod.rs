#![doc = include_str!("docs.md")]

mod backlog;
mod channels;
mod config;
mod connect;
mod declare;
mod error;
mod examine;
mod hold;
mod link;
mod names;
mod provider;
mod publish;
mod queue;
mod sent;
mod settle;
mod subscription;
mod tags;
mod wire;

pub(crate) use config::capability;
pub(crate) use connect::{connect, test_connection};
