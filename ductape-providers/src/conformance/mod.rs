//! The behaviour suite: a public list of named cases that hold every provider to the same promises.
//!
//! The author of a provider writes a [`Harness`], which hands out handles of the broker, and calls [`run`]; the [`Report`]
//! has a row for each case. A case is chosen by the provider's [`Capability`](crate::Capability): what the broker can do
//! must be kept, and what it can't do is asked for all the same and must be refused. Nothing is skipped.
//!
//! The cases stand in one file a group: [`publish`](cases::publish), [`batches`](cases::batches),
//! [`settlement`](cases::settlement), [`timing`](cases::timing), [`order`](cases::order), [`groups`](cases::groups),
//! [`dead_letters`](cases::dead_letters), [`lifecycle`](cases::lifecycle), [`restart`](cases::restart) and
//! [`server`](cases::server). Ids that begin
//! with `C` are those of the framework's list of promises, ids that begin with `D` are the suite's own. Each case works
//! under names that no other case uses, has a [deadline](Case::deadline)
//! of its own, and waits for conditions; only to see that something does not come does it wait for a time.
//!
//! A crate above the providers shows its own promises with the same machinery: it writes [`Case`]s with [`check!`] and
//! hands them to [`run_cases`].

mod case;
pub mod cases;
mod client;
mod context;
mod harness;
mod reader;
mod refuse;
mod report;
mod run;

pub use case::{Applies, Case, CaseFn, Failure, Wants, refused};
pub use cases::cases;
pub use client::Client;
pub use context::Context;
pub use harness::{Harness, Server};
pub use reader::{Reader, show};
pub use report::{Outcome, Report, Row};
pub use run::{Filter, run, run_cases};

#[doc(inline)]
pub use crate::conformance_check as check;
