//! The behaviour suite of the runtime: what a program is promised, shown on any provider.
//!
//! It is the continuation of [`ductape_providers::conformance`], with the same harnesses and reports:
//!
//! ```no_run
//! # async fn show(harness: std::sync::Arc<dyn ductape_events::providers::conformance::Harness>) {
//! use ductape_events::providers::conformance::{Filter, run_cases};
//!
//! let report = run_cases(harness, ductape_events::conformance::cases(), &Filter::all()).await;
//! report.assert_passed();
//! # }
//! ```
//!
//! Ids that begin with `R` and have a number below 200 show the promise `C` of that number; the others are the suite's
//! own. Each case makes programs over the harness's handles with topics, groups and handlers of its own.

mod cases;
mod log;
mod numbered;
mod setup;
mod wrapped;

pub use cases::cases;

/// The name of a harness whose programs run in the in-process test mode.
pub const TEST_MODE: &str = "test mode";
