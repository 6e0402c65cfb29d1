#![doc = include_str!("docs.md")]

mod backlog;
mod config;
mod connect;
mod declare;
mod error;
mod examine;
mod faststream;
mod keeper;
mod keys;
mod link;
mod member;
mod packed;
mod provider;
mod publish;
mod reading;
mod scripts;
mod settle;
mod subscription;
mod wire;

pub(crate) use config::capability;
pub(crate) use connect::{connect, test_connection};
