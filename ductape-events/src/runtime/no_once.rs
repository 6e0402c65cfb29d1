//! A build without a store has no inbox.

use std::sync::Arc;
use std::time::Duration;

use super::job::Job;
use super::session::Session;
use crate::consumer::Verdict;
use crate::wiring::Wiring;

/// What tells what a group has handled: there is none.
#[derive(Debug)]
pub(super) enum Once {}

impl Once {
    pub(super) const fn new(_: &Wiring, _: &str, _: &str, _: Duration) -> Option<Self> {
        None
    }
}

#[allow(clippy::unused_async)] // as with a store
impl Session {
    pub(super) async fn admit(self: &Arc<Self>, job: Job) -> Option<Job> {
        Some(job)
    }

    pub(super) async fn written_down(self: &Arc<Self>, job: Job, _: &Verdict) -> Option<Job> {
        Some(job)
    }
}
