//! Sessions: on whose behalf events are produced.
//!
#![doc = include_str!("../../docs/sessions.md")]
//!
//! - [`Sessions`] is what `ductape.sessions()` answers: configurations, and the sessions themselves.
//! - [`SessionKeys`] are what tokens are signed with.
//! - [`Session`] is what a handler takes.

#[cfg(feature = "store")]
mod answer;
#[cfg(feature = "store")]
mod config;
mod extract;
#[cfg(feature = "store")]
mod keys;
#[cfg(feature = "store")]
mod live;
mod on_behalf;
#[cfg(feature = "store")]
mod refusal;
#[cfg(feature = "store")]
mod service;
#[cfg(feature = "store")]
mod shape;
#[cfg(all(test, feature = "store"))]
mod tests;
#[cfg(feature = "store")]
mod token;

#[cfg(feature = "store")]
pub use answer::{ActiveSession, ActiveSessions, LiveSession, SessionCheck, StartedSession};
#[cfg(feature = "store")]
pub use config::{Lifetime, Period, SessionChange, SessionConfig, SessionConfigEntry};
pub use extract::Session;
#[cfg(feature = "store")]
pub use keys::SessionKeys;
#[cfg(feature = "store")]
pub use live::{ActiveFilter, Revoke};
#[cfg(feature = "store")]
pub use service::Sessions;

pub(crate) use on_behalf::{ATTRIBUTE, OnBehalf, check, set_by_hand};
#[cfg(feature = "store")]
pub(crate) use refusal::Part;
