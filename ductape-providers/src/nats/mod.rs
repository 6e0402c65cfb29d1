#![doc = include_str!("docs.md")]

mod acks;
mod config;
mod connect;
mod declare;
mod error;
mod examine;
mod link;
mod names;
mod provider;
mod publish;
mod pulls;
mod pump;
mod seek;
mod settle;
mod subscription;
mod topic;
mod wire;

pub(crate) use connect::{capability, connect, test_connection};
