//! Typed events over any broker: your structs are the topics, your functions are the consumers.
//!
//! ```no_run
//! use ductape_events::prelude::*;
//!
//! /// Emitted when an order is created.
//! #[topic("order-events:order-created", key = order_id)]
//! pub struct OrderCreated {
//!     pub order_id: String,
//!     pub total: f64,
//! }
//!
//! #[consumer(group = "billing", concurrency = 16, retry(attempts = 5, base = "200ms"))]
//! async fn bill(order: OrderCreated, attempt: Attempt) -> Result<(), std::io::Error> {
//!     println!("billing {} at attempt {}", order.order_id, attempt.0);
//!     Ok(())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), BrokerError> {
//!     let ductape = Ductape::from_env().await?; // ductape.toml and DUCTAPE_ENV; without them: embedded
//!     OrderCreated { order_id: "1".into(), total: 9.5 }.produce(&ductape).await?;
//!     ductape.run().await // until SIGTERM or ctrl-c; then drains
//! }
//! ```
//!
//! - [`Topic`] is a type whose values are events; `#[topic]` implements it.
//! - [`mod@consumer`] is what handlers can take and return; `#[consumer]` registers them.
//! - [`Ductape`] wires both to the brokers that the environment's configuration names.
//! - [`BrokerError`] says what went wrong, with a code, and whether trying again can help.

// Keeps the README's service compiling.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

// Generated code names this crate from outside, also in its own tests.
extern crate self as ductape_events;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
mod asyncapi;
mod backoff;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod context;
mod contract;
mod delivery;
mod envelope;
mod error;
mod produce;
mod runtime;
mod sample;
mod schema;
mod stats;
mod topic;
mod wiring;
mod within;

pub mod config;
pub mod consumer;
pub mod prelude;
#[cfg(feature = "store")]
pub mod registry;
pub mod session;

#[cfg(feature = "store")]
pub mod tracking;

pub use context::Context;
pub use delivery::{DeadLetter, ReprocessReport};
#[doc = include_str!("../docs/consumer.md")]
pub use ductape_macros::consumer;
#[doc = include_str!("../docs/payload.md")]
pub use ductape_macros::payload;
#[doc = include_str!("../docs/topic.md")]
pub use ductape_macros::topic;
pub use ductape_providers as providers;
#[cfg(feature = "store")]
pub use ductape_store as store;
pub use error::{BrokerError, ErrorCode, Finding, PublishOutcome};
#[cfg(feature = "store")]
pub use produce::{IdempotencyKey, KnownKey};
pub use produce::{ProduceOptions, ProduceReceipt};
#[cfg(feature = "store")]
pub use runtime::StoreSource;
pub use runtime::{CheckReport, Ductape, DuctapeBuilder, Guarantee};
pub use stats::{AttemptReport, AttemptResult, ConsumerStats, Observer};
pub use topic::{KeyField, KeyWriter, Topic, TopicDescriptor};
