//! What the macros, the runtime and the providers of Ductape Events must agree on before anything runs: the grammar
//! of event names and of consumer group names.
//!
//! This crate has no async code, no client and no dependency, so that the macros compile without any of them.

mod event_name;
mod group_name;
mod name_error;

pub use event_name::EventName;
pub use group_name::GroupName;
pub use name_error::NameError;
