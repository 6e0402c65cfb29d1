//! What is recorded of a topic's messages.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::str::FromStr;

use ductape_providers::MessageId;
use ductape_store::tracking::Retention;

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

impl FromStr for TrackingPolicy {
    type Err = String;

    /// As `ductape.toml` writes it: `all`, `failures`, `sample(0.01)`, `off`.
    fn from_str(text: &str) -> Result<Self, String> {
        let share = text
            .strip_prefix("sample(")
            .and_then(|rest| rest.strip_suffix(')'));
        match (text, share) {
            ("all", _) => Ok(Self::All),
            ("failures", _) => Ok(Self::Failures),
            ("off", _) => Ok(Self::Off),
            (_, Some(share)) => match share.trim().parse() {
                Ok(share) if (0.0..=1.0).contains(&share) => Ok(Self::Sample(share)),
                _ => Err("the share of `sample(…)` is a number from 0 to 1, as in `sample(0.01)`".to_owned()),
            },
            _ => Err("must be `all`, `failures`, `sample(0.01)` or `off`".to_owned()),
        }
    }
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
    /// How long, and how much of it, is kept.
    pub(crate) retention: Retention,
}

/// What a file says of it; it comes before what the program says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Asked {
    pub(crate) policy: Option<TrackingPolicy>,
    pub(crate) payloads: Option<bool>,
}

impl Asked {
    fn of(self, tracking: Tracking) -> Tracking {
        Tracking {
            policy: self.policy.unwrap_or(tracking.policy),
            payloads: self.payloads.unwrap_or(tracking.payloads),
        }
    }
}

impl Policies {
    /// With what the file asks for: for all topics, and for single ones by their events' names.
    pub(crate) fn asked(mut self, all: Asked, topics: impl Iterator<Item = (String, Asked)>) -> Self {
        self.usual = all.of(self.usual);
        for (event, asked) in topics {
            let before = self.of(&event);
            self.of.insert(event, asked.of(before));
        }
        self
    }

    /// With how long, and how much of it, the file asks to keep.
    pub(crate) fn kept(mut self, asked: Retention) -> Self {
        self.retention.age_max = asked.age_max.or(self.retention.age_max);
        self.retention.bytes_max = asked.bytes_max.or(self.retention.bytes_max);
        self
    }

    pub(super) fn of(&self, event: &str) -> Tracking {
        self.of.get(event).copied().unwrap_or(self.usual)
    }
}

#[cfg(test)]
mod tests {
    use ductape_providers::MessageId;

    use super::{Asked, Fate, Policies, Tracking, TrackingPolicy};

    fn kept(policy: TrackingPolicy, failed: bool) -> usize {
        let tracking = Tracking {
            policy,
            payloads: true,
        };
        let ids = (0..1_000).map(|n| MessageId::from_text(&format!("m-{n}")));
        ids.filter(|id| tracking.fate(id, failed) == Fate::Kept).count()
    }

    #[test]
    fn a_file_comes_before_the_program() {
        let asked = |policy, payloads| Asked { policy, payloads };
        let mut policies = Policies::default();
        policies.usual.payloads = false;
        let own = Tracking {
            policy: TrackingPolicy::Off,
            payloads: true,
        };
        policies.of.insert("shop:paid".to_owned(), own);
        let topics = [
            ("shop:paid".to_owned(), asked(None, Some(false))),
            (
                "shop:sent".to_owned(),
                asked(Some(TrackingPolicy::Off), Some(true)),
            ),
        ];
        let policies = policies.asked(asked(Some(TrackingPolicy::Failures), None), topics.into_iter());
        let of = |event| (policies.of(event).policy, policies.of(event).payloads);
        assert_eq!(of("shop:paid"), (TrackingPolicy::Off, false));
        assert_eq!(of("shop:sent"), (TrackingPolicy::Off, true));
        assert_eq!(of("shop:other"), (TrackingPolicy::Failures, false));
    }

    #[test]
    fn a_policy_is_read_as_it_is_written() {
        for (text, policy) in [
            ("all", TrackingPolicy::All),
            ("failures", TrackingPolicy::Failures),
            ("sample(0.01)", TrackingPolicy::Sample(0.01)),
            ("sample( 1 )", TrackingPolicy::Sample(1.0)),
            ("off", TrackingPolicy::Off),
        ] {
            assert_eq!(text.parse(), Ok(policy), "{text}");
        }
        for text in [
            "",
            "ALL",
            "sample",
            "sample()",
            "sample(2)",
            "sample(-1)",
            "sample(NaN)",
            "sample(inf)",
        ] {
            assert!(text.parse::<TrackingPolicy>().is_err(), "{text}");
        }
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
