//! A provider in a crate of its own: a journal, which keeps each topic as a file of JSON lines that a person can read.
//!
//! It exists to be read. What a provider's author has to do is in five places:
//!
//! 1. `provider.rs` says what the broker can do, beginning with [`Capability::least`], and implements [`Provider`]. What was
//!    not claimed is refused as [`ErrorKind::Unsupported`]: the runtime then does it in another way, or says at start-up
//!    that it can't be done.
//! 2. `subscription.rs` receives and settles. A receive that is dropped has lost nothing; a receipt that is no longer good is
//!    answered as [`ErrorKind::LeaseLost`].
//! 3. `record.rs` is the only place that knows how a message is written down.
//! 4. `topic.rs` and `folder.rs` are the broker itself: the client of a real one would stand in their place.
//! 5. `tests/conformance.rs` tells the suite how to get a handle, and asserts that it passed.
//!
//! What the journal is not: quick (each publish waits for the disk), small (it forgets nothing, so that any group can
//! [`seek`](ductape_providers::Provider::seek)), or shared (one process at a time has the folder).
//!
//! [`Capability::least`]: ductape_providers::Capability::least
//! [`Provider`]: ductape_providers::Provider
//! [`ErrorKind::Unsupported`]: ductape_providers::ErrorKind::Unsupported
//! [`ErrorKind::LeaseLost`]: ductape_providers::ErrorKind::LeaseLost

mod error;
mod folder;
mod provider;
mod queue;
mod record;
mod subscription;
mod topic;

pub use provider::Journal;
pub use subscription::{JournalSettler, JournalSubscription};
