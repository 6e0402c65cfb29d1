//! Queues in which messages wait: one a length of wait, so that no message waits behind one that waits for longer.
//!
//! A queue holds each message for the same time (`x-message-ttl`), then hands it to where it belongs (a dead-letter
//! exchange). The lengths are powers of two, and the halves between them; a wait is rounded up where that makes it no more
//! than [`LATE_MAX`] longer, else it is spent in several queues: the group's reader sends a message on that comes before
//! its time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lapin::types::{AMQPValue, FieldTable, ShortString};
use tokio::time::Instant;

use super::error;
use super::link::Open;
use super::names::short;
use super::queue::{self, Kind};
use crate::clock;
use crate::error::Result;

/// The shortest wait that has a queue, in milliseconds.
const SHORTEST: u64 = 64;
/// The longest, in milliseconds: a good twelve days. A server counts these in 32 bits.
const LONGEST: u64 = 1 << 30;
/// How much longer than asked a message may wait.
const LATE_MAX: Duration = Duration::from_secs(2);

/// For how long a queue stays that no message was sent to, beyond what the messages in it wait, in milliseconds.
const IDLE: u64 = 24 * 60 * 60 * 1000;
/// How often a queue that is used is shown to the server to be in use.
const SHOWN_EVERY: Duration = Duration::from_hours(2);

/// One wait in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// What the queue is called by, in milliseconds.
    pub(super) millis: u64,
    /// Whether it is the last.
    pub(super) last: bool,
}

impl Step {
    /// The first step of `wait`.
    pub(super) fn of(wait: Duration) -> Self {
        let millis = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        let mut below = SHORTEST;
        let mut above = SHORTEST;
        while above < millis && above < LONGEST {
            below = above;
            above = if above.is_power_of_two() {
                above / 2 * 3
            } else {
                above / 3 * 4
            };
        }
        let late = u64::try_from(LATE_MAX.as_millis()).unwrap_or(u64::MAX);
        if above >= millis && above - millis <= late {
            return Self {
                millis: above,
                last: true,
            };
        }
        Self {
            millis: if above <= millis { above } else { below },
            last: false,
        }
    }
}

/// Where a message belongs that has waited.
#[derive(Clone, Debug)]
pub(super) struct Home<'a> {
    /// What the names of the queues begin with.
    pub(super) prefix: &'a str,
    pub(super) exchange: &'a ShortString,
    pub(super) routing_key: &'a ShortString,
    /// Whether it goes with the connection, and so do the queues.
    pub(super) ephemeral: bool,
}

/// The queues that this program has made, or seen.
#[derive(Debug, Default)]
pub(super) struct Holds(Mutex<HashMap<ShortString, Instant>>);

impl Holds {
    /// The queue of this step, which is there.
    pub(super) async fn queue(&self, open: &Open, home: &Home<'_>, step: Step) -> Result<ShortString> {
        let name = short(&format!("{}.hold.{}", home.prefix, step.millis))?;
        let now = clock::now();
        let fresh = {
            let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            shown
                .get(&name)
                .is_some_and(|shown| now.duration_since(*shown) < SHOWN_EVERY)
        };
        if !fresh {
            let kind = if home.ephemeral {
                Kind::Exclusive
            } else {
                Kind::Durable
            };
            let made = queue::create(open, &name, kind, arguments(home, step)).await;
            made.map_err(|error| error.with("queue", &name))?;
            let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            shown.insert(name.clone(), now);
        }
        Ok(name)
    }

    /// The queues of this prefix.
    pub(super) fn of(&self, prefix: &str) -> Vec<ShortString> {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of = |name: &str| {
            name.strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with(".hold."))
        };
        shown
            .keys()
            .filter(|name| is_of(name.as_str()))
            .cloned()
            .collect()
    }

    /// Forgets a queue that turned out not to be there.
    pub(super) fn forget(&self, name: &ShortString) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

fn arguments(home: &Home<'_>, step: Step) -> FieldTable {
    let mut arguments = FieldTable::default();
    let mut put = |name: &str, value: AMQPValue| {
        arguments.insert(name.into(), value);
    };
    let number = |millis: u64| AMQPValue::LongLongInt(i64::try_from(millis).unwrap_or(i64::MAX));
    put("x-message-ttl", number(step.millis));
    put("x-dead-letter-exchange", queue::text(home.exchange.as_str()));
    put(
        "x-dead-letter-routing-key",
        queue::text(home.routing_key.as_str()),
    );
    if !home.ephemeral {
        put("x-queue-type", queue::text("quorum"));
        // A message leaves only when its queue has confirmed that it arrived there.
        put("x-dead-letter-strategy", queue::text("at-least-once"));
        put("x-overflow", queue::text("reject-publish"));
        put("x-expires", number((step.millis + IDLE).min(u64::from(u32::MAX))));
    }
    arguments
}

/// The error of a queue that was there.
pub(super) fn gone(name: &ShortString) -> crate::error::Error {
    error::hold_gone().with("queue", name)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LATE_MAX, LONGEST, Step};

    #[test]
    fn a_wait_is_never_early_and_hardly_late() {
        for millis in (1..400).chain([
            500,
            1_000,
            1_500,
            4_096,
            4_097,
            6_145,
            30_000,
            86_400_000,
            31_536_000_000,
        ]) {
            let asked = Duration::from_millis(millis);
            let (mut waited, mut hops) = (Duration::ZERO, 0);
            loop {
                let step = Step::of(asked.saturating_sub(waited));
                waited += Duration::from_millis(step.millis);
                hops += 1;
                assert!(step.millis <= LONGEST && hops < 60, "{asked:?}");
                if step.last {
                    break;
                }
                assert!(waited < asked, "{asked:?} waits {waited:?} and goes on");
            }
            assert!(
                waited >= asked && waited <= asked + LATE_MAX,
                "{asked:?} takes {waited:?}"
            );
            assert!(millis > 4_096 || hops == 1, "{asked:?} takes {hops} hops");
            assert!(millis > 86_400_000 || hops <= 6, "{asked:?} takes {hops} hops");
        }
    }

    #[test]
    fn waits_share_few_queues() {
        let mut steps: Vec<u64> = (1..300_000)
            .map(|millis| Step::of(Duration::from_millis(millis)).millis)
            .collect();
        steps.sort_unstable();
        steps.dedup();
        assert!(steps.len() <= 26, "{steps:?}");
    }

    #[test]
    fn parts_of_a_millisecond_count_as_one() {
        let step = Step::of(Duration::from_micros(64_001));
        assert_eq!((step.millis, step.last), (96, true));
    }
}
