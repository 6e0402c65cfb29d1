//! What generated code calls around the user's function: thin, and with bounds whose errors read well where the user
//! wrote the type.

use crate::consumer::{BatchDelivery, Decoded, Delivery, IntoBatchOutcome, IntoOutcome, Settling, Verdict};
use crate::topic::{Topic, TopicDescriptor};

/// What generated code needs of an event's type: under one bound, so that a type that is no topic is reported once.
#[derive(Debug)]
pub struct Consumed<T> {
    /// What is known of the topic.
    pub topic: fn() -> &'static TopicDescriptor,
    /// Decodes the event.
    pub decode: fn(&Delivery) -> Result<T, Verdict>,
    /// Decodes the events of a batch.
    pub decode_batch: for<'a> fn(&'a BatchDelivery) -> (Vec<T>, Decoded<'a>),
}

/// What generated code needs of the topic `T`.
pub const fn consumed<T: Topic>() -> Consumed<T> {
    Consumed {
        topic: T::descriptor,
        decode: Delivery::event::<T>,
        decode_batch: BatchDelivery::events::<T>,
    }
}

/// The verdict from what the handler returned.
pub fn finish<R: IntoOutcome>(returned: R, delivery: &Delivery) -> Settling<'_, Verdict> {
    returned.into_outcome(delivery)
}

/// The verdicts from what the handler of a batch returned.
pub fn finish_batch<R: IntoBatchOutcome>(returned: R, decoded: Decoded<'_>) -> Settling<'_, Vec<Verdict>> {
    returned.into_batch_outcome(decoded)
}
