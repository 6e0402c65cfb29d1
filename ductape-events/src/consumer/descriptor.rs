use std::fmt;
use std::time::Duration;

use ductape_providers::spec::{Ordering, Start};
use futures_util::future::BoxFuture;

use crate::consumer::{BatchDelivery, Delivery, Requirements, Verdict};
use crate::topic::TopicDescriptor;

/// A function marked with `#[consumer]`.
///
/// The macro makes a type of the function's name, so that it can be given by hand where link-time registration is not
/// wanted: `Ductape::builder().consumer::<bill>()`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a consumer",
    label = "not a consumer",
    note = "write `#[consumer]` above the function, and name the function here: `.consumer::<handle_order>()`"
)]
pub trait Consumer {
    /// What is known of it at compile time.
    fn descriptor() -> &'static ConsumerDescriptor;
}

/// What is known of a consumer at compile time.
pub struct ConsumerDescriptor {
    /// The function's name.
    pub name: &'static str,
    /// Where it is defined: `file:line`.
    pub location: &'static str,
    /// The topic that it consumes.
    pub topic: fn() -> &'static TopicDescriptor,
    /// What the attribute says.
    pub options: ConsumerOptions,
    /// Names what its parameters need at start-up.
    pub requires: fn(&mut Requirements),
    /// Calls the function.
    pub handler: Handler,
}

impl fmt::Debug for ConsumerDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerDescriptor")
            .field("name", &self.name)
            .field("location", &self.location)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A consumer that was found through inventory.
#[derive(Debug)]
pub struct RegisteredConsumer(pub &'static ConsumerDescriptor);

inventory::collect!(RegisteredConsumer);

/// How a consumer's function is called.
#[derive(Clone, Copy)]
pub enum Handler {
    /// With one event.
    Single(for<'a> fn(&'a Delivery) -> BoxFuture<'a, Verdict>),
    /// With a batch; the verdicts are in the order of the batch.
    Batch(for<'a> fn(&'a BatchDelivery) -> BoxFuture<'a, Vec<Verdict>>),
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single(_) => "Single",
            Self::Batch(_) => "Batch",
        })
    }
}

/// What `#[consumer(…)]` says; `None` is the default that each field names.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerOptions {
    /// The consumer group; the function's name by default.
    pub group: Option<&'static str>,
    /// Whether each process gets every message, in a group of its own.
    pub broadcast: bool,
    /// How many handlers run at one time, 1 to 4,096; 16 by default, 1 for batches.
    pub concurrency: Option<usize>,
    /// How many deliveries may be unsettled, 1 to 65,535; by default 4 for each handler (or twice the batch), and at
    /// least 1,024 where the messages of a key keep their order, 256 elsewhere.
    pub prefetch: Option<usize>,
    /// The most events in a batch, 1 to 65,535; 100 by default.
    pub batch: Option<usize>,
    /// How failures are tried again.
    pub retry: RetryOptions,
    /// How long one attempt may take; 30 s by default.
    pub timeout: Option<Duration>,
    /// Whether a message id that the group has handled is not handled again.
    pub once: bool,
    /// What a retry does to later messages of its key; strict by default.
    pub ordering: Option<Ordering>,
    /// Where a new group begins; at the latest by default.
    pub start: Option<Start>,
}

impl ConsumerOptions {
    /// Every default.
    pub const DEFAULT: Self = Self {
        group: None,
        broadcast: false,
        concurrency: None,
        prefetch: None,
        batch: None,
        retry: RetryOptions::DEFAULT,
        timeout: None,
        once: false,
        ordering: None,
        start: None,
    };
}

/// What `retry(…)` says; `None` is the default that each field names.
#[derive(Clone, Copy, Debug)]
pub struct RetryOptions {
    /// How often a message is tried in all, from 1; 5 by default.
    pub attempts: Option<u32>,
    /// How the waits grow; exponential by default.
    pub backoff: Option<Backoff>,
    /// The first wait; 1 s by default.
    pub base: Option<Duration>,
    /// The longest wait; 5 minutes by default.
    pub max: Option<Duration>,
}

impl RetryOptions {
    /// Every default.
    pub const DEFAULT: Self = Self {
        attempts: None,
        backoff: None,
        base: None,
        max: None,
    };
}

/// How the waits between attempts grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backoff {
    /// Always the base.
    Fixed,
    /// Twice as long each time, up to the maximum, and up to a fifth longer by chance so that retries spread.
    #[default]
    Exponential,
}
