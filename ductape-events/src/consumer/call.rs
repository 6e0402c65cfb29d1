//! What generated code calls around the user's function: thin, and with bounds whose errors read well where the user
//! wrote the type.

use crate::consumer::{BatchDelivery, Decoded, Delivery, IntoBatchOutcome, IntoOutcome, Verdict};
use crate::topic::Topic;

/// Decodes the event.
///
/// # Errors
///
/// The verdict that the payload can't be decoded.
pub fn decode<T: Topic>(delivery: &Delivery) -> Result<T, Verdict> {
    delivery.event()
}

/// Decodes the events of a batch.
pub fn decode_batch<T: Topic>(batch: &BatchDelivery) -> (Vec<T>, Decoded<'_>) {
    batch.events()
}

/// The verdict from what the handler returned.
pub async fn finish<R: IntoOutcome>(returned: R, delivery: &Delivery) -> Verdict {
    returned.into_outcome(delivery).await
}

/// The verdicts from what the handler of a batch returned.
pub async fn finish_batch<R: IntoBatchOutcome>(returned: R, decoded: Decoded<'_>) -> Vec<Verdict> {
    returned.into_batch_outcome(decoded).await
}
