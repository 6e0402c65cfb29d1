//! A delivery on its way through the runtime.

use std::sync::Arc;

use ductape_providers::{Incoming, Receipt};

use crate::consumer::Delivery;
use crate::consumer::delivery::Scope;

/// A delivery on its way through the runtime.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) message: Incoming,
    pub(super) receipt: Receipt,
    pub(super) attempt: u32,
    /// In milliseconds since 1970.
    pub(super) first_failed_at: Option<u64>,
    /// Where its receipt stands among those whose lease is extended.
    pub(super) held: usize,
    /// By what the inbox knows this attempt, where it was asked.
    pub(super) epoch: Option<i64>,
    /// Whether later messages of its key pass it while it waits to run again.
    pub(super) passed: bool,
    /// The event that was produced for its handler.
    #[cfg(feature = "store")]
    pub(super) follow_up: Option<&'static str>,
}

/// What is left of a job while its message is with the handler.
#[derive(Debug)]
pub(super) struct JobRest {
    receipt: Receipt,
    first_failed_at: Option<u64>,
    held: usize,
    epoch: Option<i64>,
}

impl Job {
    /// Lends the message to the handler.
    pub(super) fn split(self, scope: &Arc<Scope>) -> (Delivery, JobRest) {
        let delivery = Delivery {
            message: self.message,
            attempt: self.attempt,
            scope: Arc::clone(scope),
            #[cfg(feature = "store")]
            follow_up: std::sync::OnceLock::new(),
        };
        let rest = JobRest {
            receipt: self.receipt,
            first_failed_at: self.first_failed_at,
            held: self.held,
            epoch: self.epoch,
        };
        (delivery, rest)
    }
}

impl JobRest {
    /// The job again.
    pub(super) fn join(self, delivery: Delivery) -> Job {
        Job {
            message: delivery.message,
            receipt: self.receipt,
            attempt: delivery.attempt,
            first_failed_at: self.first_failed_at,
            held: self.held,
            epoch: self.epoch,
            passed: false,
            #[cfg(feature = "store")]
            follow_up: delivery.follow_up.into_inner(),
        }
    }
}

/// The receipts in hand, for extending their leases.
#[derive(Debug, Default)]
pub(super) struct HeldReceipts {
    tokens: Vec<Option<u64>>,
    free: Vec<usize>,
}

impl HeldReceipts {
    /// Adds a receipt, and answers where it stands.
    pub(super) fn add(&mut self, receipt: &Receipt) -> usize {
        let token = Some(receipt.token());
        if let Some(at) = self.free.pop() {
            self.tokens[at] = token;
            return at;
        }
        self.tokens.push(token);
        self.tokens.len() - 1
    }

    /// Removes the receipt that stands there.
    pub(super) fn remove(&mut self, at: usize) {
        self.tokens[at] = None;
        self.free.push(at);
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Receipt> {
        self.tokens
            .iter()
            .flatten()
            .map(|token| Receipt::new(*token))
            .collect()
    }
}
