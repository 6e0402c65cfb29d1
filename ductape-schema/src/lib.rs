//! What the macros, the runtime and the providers of Ductape Events must agree on before anything runs: the grammar
//! of event names and of consumer group names, which schema may follow which, and the file that a contract is kept in.
//!
//! This crate has no async code and no client, and depends on `serde_json` alone, so that the macros compile without the rest.

pub mod compatibility;
mod contract;
mod event_name;
mod group_name;
mod name_error;

pub use contract::{Contract, ContractError};
pub use event_name::EventName;
pub use group_name::GroupName;
pub use name_error::NameError;
