#![doc = include_str!("docs.md")]

mod admin;
mod ask;
mod config;
mod connect;
mod declare;
mod error;
mod examine;
mod member;
mod offsets;
mod provider;
mod publish;
mod retries;
mod settle;
mod shared;
mod state;
mod subscription;
mod topology;
mod tracker;
mod watch;
mod wire;

pub(crate) use config::capability;
pub(crate) use connect::{connect, test_connection};
