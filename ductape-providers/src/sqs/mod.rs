#![doc = include_str!("docs.md")]

mod config;
mod connect;
mod declare;
mod error;
mod examine;
mod gather;
mod member;
mod names;
mod poll;
mod publish;
mod settle;
mod subscription;
mod topology;
mod uncounted;
mod wire;

pub(crate) use connect::{capability, connect, test_connection};
