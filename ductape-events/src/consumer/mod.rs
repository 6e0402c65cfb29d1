//! The user's functions: what `#[consumer]` registers, what a handler can take, and what it can answer.
//!
//! - [`descriptor`](ConsumerDescriptor) is what the macro writes down at compile time.
//! - [`extract`](FromDelivery) is how each parameter after the event is made from a delivery.
//! - [`outcome`](Outcome) is how what a handler returns becomes an ack, a retry or a dead letter.
//! - [`batch`](BatchDelivery) is the same for handlers that take many events at once.

mod batch;
pub(crate) mod call;
pub(crate) mod delivery;
mod descriptor;
mod extract;
#[cfg(feature = "store")]
mod inbox;
mod meta;
mod outcome;

pub use batch::{BatchDelivery, Decoded, FromBatch, IntoBatchOutcome};
pub use delivery::Delivery;
pub use descriptor::{
    Backoff, Consumer, ConsumerDescriptor, ConsumerOptions, Handler, RegisteredConsumer, RetryOptions,
};
pub(crate) use extract::States;
pub use extract::{Attempt, FromDelivery, Requirements, State};
#[cfg(feature = "store")]
pub use inbox::Inbox;
#[cfg(feature = "store")]
pub(crate) use inbox::{INBOX_WINDOW, inbox_id};
pub use meta::Meta;
pub use outcome::{Failure, HandlerError, IntoOutcome, Outcome, Settling, Verdict, WithVerdict};
