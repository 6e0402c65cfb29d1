use std::sync::Arc;

use ductape_providers::{GroupName, Incoming};
use serde::de::DeserializeOwned;

use crate::consumer::{States, Verdict};
use crate::context::Context;
use crate::envelope;

/// A received message on its way to a handler: what extractors read.
#[derive(Debug)]
pub struct Delivery {
    pub(crate) message: Incoming,
    pub(crate) attempt: u32,
    pub(crate) scope: Arc<Scope>,
    /// The event that was produced for the handler, of what it returned: for the history.
    #[cfg(feature = "store")]
    pub(crate) follow_up: std::sync::OnceLock<&'static str>,
}

/// What all deliveries of one consumer have in common.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) group: GroupName,
    pub(crate) context: Context,
    pub(crate) states: Arc<States>,
}

impl Delivery {
    /// The message as the broker delivered it.
    pub fn message(&self) -> &Incoming {
        &self.message
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The consumer group.
    pub fn group(&self) -> &GroupName {
        &self.scope.group
    }

    /// The context that what the handler produces is produced in: it names this message as the cause.
    pub fn context(&self) -> Context {
        self.scope.context.caused_by(&self.message)
    }

    pub(crate) fn states(&self) -> &States {
        &self.scope.states
    }

    /// Decodes the event.
    ///
    /// # Errors
    ///
    /// The verdict that the payload can't be decoded, which makes a dead letter of it at the first attempt.
    pub fn event<T: DeserializeOwned>(&self) -> Result<T, Verdict> {
        envelope::open(&self.message.payload)
            .map_err(|error| Verdict::undecodable(envelope::without_value(&error)))
    }
}
