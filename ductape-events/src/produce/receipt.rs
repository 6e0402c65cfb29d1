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
    /// Whether it was published before: the broker had the message already, or its idempotency key was used.
    pub duplicate: bool,
}

impl ProduceReceipt {
    /// The receipt of a publish that was done before.
    #[cfg(feature = "store")]
    pub(super) fn earlier(id: MessageId, durability: Durability) -> Self {
        Self {
            success: true,
            process_id: id,
            durability,
            duplicate: true,
        }
    }

    pub(super) fn new(id: MessageId, receipt: PublishReceipt) -> Self {
        Self {
            success: true,
            process_id: id,
            durability: receipt.durability,
            duplicate: receipt.duplicate,
        }
    }
}
