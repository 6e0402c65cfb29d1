//! Settling: the client sends acks in batches, ten times a second and at the end.

use std::sync::Arc;
use std::time::Duration;

use google_cloud_pubsub::subscriber::handler::Handler;

use super::error::{lease_lost, unsupported};
use super::live::{Held, InHand, Live, State};
use super::subscription::no_leases;
use crate::error::Result;
use crate::provider::{Receipt, SettleSlot, Settlement, Settler};

/// Settles the deliveries of one subscription.
///
/// Pub/Sub confirms no ack of an ordinary subscription: `Ok` means that the client sends it. A process that ends before, up
/// to 100 ms later, gets the message again.
#[derive(Clone, Debug)]
pub struct PubSubSettler {
    live: Arc<Live>,
}

impl PubSubSettler {
    pub(super) const fn new(live: Arc<Live>) -> Self {
        Self { live }
    }
}

fn settle(live: &Live, state: &mut State, receipt: &Receipt, how: Settlement) -> Result<()> {
    state.check_open()?;
    if matches!(how, Settlement::RequeueAfter(_)) {
        return Err(unsupported(
            "take a delivery back later",
            "hold it in the process until then",
        ));
    }
    let InHand {
        number,
        id,
        handler,
        message,
        ordered,
    } = state.in_hand.take(receipt).ok_or_else(lease_lost)?;
    if how == Settlement::Requeue {
        // Given back to Pub/Sub it would come again behind what this process has of its key, or on a stream that is about
        // to end.
        let held = Held {
            id,
            message,
            handler,
            ordered,
        };
        state.put_back(number, held);
    } else {
        live.note_acked(&id);
        state.let_go(&id, handler).for_each(Handler::ack);
    }
    Ok(())
}

impl Settler for PubSubSettler {
    async fn settle(&self, batch: &mut [SettleSlot]) {
        {
            let mut state = self.live.lock();
            state.moved += batch.len();
            for slot in batch {
                slot.outcome = Some(settle(&self.live, &mut state, &slot.receipt, slot.how));
            }
        }
        self.live.made_room();
        self.live.wake.notify_one();
    }

    async fn extend(&self, _receipts: &[&Receipt], _by: Duration) -> Result<()> {
        self.live.lock().check_open()?;
        Err(no_leases())
    }
}
