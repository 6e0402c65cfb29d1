//! A running program: its topics wired to brokers, its consumers at work.
//!
//! [`Ductape`] is what the user holds. Inside, each consumer has one subscription at a time (`session`), which receives
//! into lanes (`lanes`), works on what is ready (`work`), decides what becomes of it (`conclude`), and settles in
//! batches (`settle`).

mod asyncapi;
mod blueprint;
mod brokers;
mod builder;
mod check;
mod conclude;
mod consumer_run;
mod dead_letters;
mod ductape;
mod idle;
mod job;
mod lanes;
#[cfg(test)]
mod lanes_tests;
#[cfg_attr(not(feature = "store"), path = "no_once.rs")]
mod once;
#[cfg(feature = "store")]
mod registered;
mod report;
mod session;
mod settle;
#[cfg_attr(not(feature = "store"), path = "no_store.rs")]
mod store;
#[cfg(test)]
mod testing;
mod work;

#[cfg(feature = "store")]
pub(crate) use blueprint::source;
pub use builder::DuctapeBuilder;
#[cfg(feature = "conformance")]
pub(crate) use check::RunTimeConsumer;
#[cfg(feature = "conformance")]
pub(crate) use consumer_run::{BatchHandler, Call, SingleHandler};
pub use ductape::Ductape;
pub use report::{CheckReport, Guarantee};
pub(crate) use store::Opened;
#[cfg(feature = "store")]
pub use store::StoreSource;
