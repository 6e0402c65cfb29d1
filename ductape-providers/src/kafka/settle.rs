//! Settling: what is done moves the offset that the thread of the subscription commits.

use std::sync::Arc;
use std::time::Duration;

use super::error::unsupported;
use super::shared::Shared;
use crate::error::Result;
use crate::provider::{Receipt, SettleSlot, Settler};

/// Settles the deliveries of one subscription.
#[derive(Clone, Debug)]
pub(crate) struct KafkaSettler(pub(super) Arc<Shared>);

impl Settler for KafkaSettler {
    async fn settle(&self, batch: &mut [SettleSlot]) {
        let slots = batch
            .iter_mut()
            .map(|slot| (&slot.receipt, slot.how, &mut slot.outcome));
        self.0.settle(slots);
    }

    async fn extend(&self, _: &[&Receipt], _: Duration) -> Result<()> {
        Err(unsupported(
            "Kafka has no leases: a delivery stays this member's for as long as its process lives",
        ))
    }
}
