use ductape_providers::MessageId;
use ductape_providers::provider::{Durability, PublishReceipt};
use serde::Serialize;

/// The broker's confirmation of a produce call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProduceReceipt {
    /// Always true; a produce call that failed is an error.
    pub success: bool,
    /// The message's identity.
    pub process_id: MessageId,
    /// How safe the message is now.
    pub durability: Durability,
    /// Whether the broker had the message already and dropped this one.
    pub duplicate: bool,
}

impl ProduceReceipt {
    pub(super) fn new(id: MessageId, receipt: PublishReceipt) -> Self {
        Self {
            success: true,
            process_id: id,
            durability: receipt.durability,
            duplicate: receipt.duplicate,
        }
    }
}
