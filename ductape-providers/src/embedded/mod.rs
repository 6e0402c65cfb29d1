//! The provider that needs no server. (To come.)

pub mod durable;

pub use durable::{Durable, DurableConfig};
