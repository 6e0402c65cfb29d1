//! What a program usually imports: `use ductape_events::prelude::*`.

pub use crate::consumer::{Attempt, HandlerError, Meta, Outcome, State, WithVerdict as _};
pub use crate::session::Session;
pub use crate::{
    BrokerError, Context, Ductape, ProduceOptions, ProduceReceipt, Topic, consumer, payload, topic,
};
