//! What keeps a message from being lost when its handler fails.

pub(crate) mod dead_letter;
pub(crate) mod redrive;

pub use redrive::{DeadLetter, ReprocessReport};
