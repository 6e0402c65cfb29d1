//! What is recorded of a topic's messages.

use std::collections::HashMap;
use std::hash::BuildHasher as _;

use ductape_providers::MessageId;

/// Which messages of a topic are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum TrackingPolicy {
    /// Every message and every attempt. The default.
    #[default]
    All,
    /// Attempts that failed, and dead letters; what was produced and handled is counted only.
    Failures,
    /// This share of the messages, from 0 to 1, with all their attempts; and every failure. Which ones they are follows from their
    /// ids, so that all programs record the same ones.
    Sample(f64),
    /// Nothing.
    Off,
}

/// What is recorded of a topic.
///
/// ```
/// use ductape_events::tracking::{Tracking, TrackingPolicy};
///
/// let mut tracking = Tracking::default();
/// tracking.policy = TrackingPolicy::Sample(0.01);
/// tracking.payloads = false;
/// # let _ = ductape_events::Ductape::builder().tracking(tracking).tracking_of("order-events:order-created", Tracking::default());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tracking {
    /// Which messages; all by default.
    pub policy: TrackingPolicy,
    /// Whether the payloads are kept; they are by default. Those of dead letters always are: without them nobody could send them again.
    pub payloads: bool,
}

impl Default for Tracking {
    fn default() -> Self {
        Self {
            policy: TrackingPolicy::All,
            payloads: true,
        }
    }
}

/// What is to become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    Counted,
    Ignored,
}

impl Tracking {
    /// What becomes of what is told of message `id`.
    pub(super) fn fate(&self, id: &MessageId, failed: bool) -> Fate {
        match self.policy {
            TrackingPolicy::Off => Fate::Ignored,
            TrackingPolicy::All => Fate::Kept,
            _ if failed => Fate::Kept,
            TrackingPolicy::Sample(share) if is_in_sample(id, share) => Fate::Kept,
            TrackingPolicy::Sample(_) | TrackingPolicy::Failures => Fate::Counted,
        }
    }
}

/// Whether a message is among the share. The seed is fixed: every process says the same.
fn is_in_sample(id: &MessageId, share: f64) -> bool {
    const SEED: u64 = 0x6475_6374_6170_6521;
    const STEPS: u32 = 1 << 24;
    let hash = foldhash::quality::FixedState::with_seed(SEED).hash_one(id);
    let step = u32::try_from(hash >> 40).unwrap_or(0);
    f64::from(step) < share * f64::from(STEPS)
}

/// What is recorded of the topics of a program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    /// For topics that none is named for.
    pub(crate) usual: Tracking,
    /// By the event's name.
    pub(crate) of: HashMap<String, Tracking>,
}

impl Policies {
    pub(super) fn of(&self, event: &str) -> Tracking {
        self.of.get(event).copied().unwrap_or(self.usual)
    }
}

#[cfg(test)]
mod tests {
    use ductape_providers::MessageId;

    use super::{Fate, Tracking, TrackingPolicy};

    fn kept(policy: TrackingPolicy, failed: bool) -> usize {
        let tracking = Tracking {
            policy,
            payloads: true,
        };
        let ids = (0..1_000).map(|n| MessageId::from_text(&format!("m-{n}")));
        ids.filter(|id| tracking.fate(id, failed) == Fate::Kept).count()
    }

    #[test]
    fn a_sample_is_about_its_share_and_failures_are_always_kept() {
        let some = kept(TrackingPolicy::Sample(0.1), false);
        assert!((50..200).contains(&some), "{some}");
        assert_eq!(
            some,
            kept(TrackingPolicy::Sample(0.1), false),
            "the same ones each time"
        );
        for (policy, successes, failures) in [
            (TrackingPolicy::All, 1_000, 1_000),
            (TrackingPolicy::Sample(1.0), 1_000, 1_000),
            (TrackingPolicy::Sample(0.0), 0, 1_000),
            (TrackingPolicy::Failures, 0, 1_000),
            (TrackingPolicy::Off, 0, 0),
        ] {
            assert_eq!(
                (kept(policy, false), kept(policy, true)),
                (successes, failures),
                "{policy:?}"
            );
        }
    }
}
