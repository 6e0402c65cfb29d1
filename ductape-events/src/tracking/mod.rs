//! The history of a program's messages: what was produced, what each consumer did with it, and the numbers of both, in the
//! [store](crate::store).
//!
//! A program that has a store records every message that a broker confirmed, and every attempt of a consumer. The path of a message
//! never waits for that: what happened is put into a queue, and a task of its own writes it, many at once. While the store is slow or
//! away the queue fills; once it is full, the detail of what succeeded is left out and counted
//! ([`Stats`](crate::store::tracking::Stats) tells how many), so that there is room for failures and dead letters.
//!
//! [`Ductape::messaging`](crate::Ductape::messaging) asks: [`Messages`].

mod brokers;
mod letters;
mod mask;
mod messages;
mod policy;
mod queue;
mod record;
mod recorder;
mod redeliver;
mod replay;
mod report;
mod reprocess;
mod retention;

pub use brokers::Brokers;
pub use messages::Messages;
pub use policy::{Tracking, TrackingPolicy};
pub use report::{
    DlqReport, EditReport, GroupCount, ReplayOptions, ReplayRange, ReplayRangeReport, ReplayReport,
    ReplayedCopy, ReprocessOptions,
};

pub(crate) use policy::{Asked, Policies};
pub(crate) use recorder::Recorder;
pub(crate) use retention::{check as check_retention, keep, read_age, read_bytes};
