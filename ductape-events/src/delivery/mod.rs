//! What keeps a message from being lost when its handler fails.

pub(crate) mod dead_letter;
pub(crate) mod pace;
pub(crate) mod redrive;
#[cfg(feature = "store")]
pub(crate) mod relay;

pub use redrive::{DeadLetter, ReprocessReport};
