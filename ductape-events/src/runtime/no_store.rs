//! A build without a store.

use super::brokers::Brokers;
use crate::error::{BrokerError, ErrorCode};

/// The store of a program: there is none.
pub(crate) enum Opened {}

impl Opened {
    pub(crate) async fn close(&self) {
        match *self {}
    }

    pub(crate) fn lend(&self) -> Self {
        match *self {}
    }
}

impl Brokers {
    /// Refuses a store that this build has no code for.
    pub(super) async fn open_store(&self) -> Result<Option<Opened>, BrokerError> {
        if !self.asks_for_store() {
            return Ok(None);
        }
        Err(BrokerError::new(
            ErrorCode::Unsupported,
            "a store is asked for, and this build leaves it out; enable the feature `store` of `ductape-events`, or set \
             `DUCTAPE_STORE=off`",
        ))
    }
}
