//! Waiting until a program's consumers have nothing left to do.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ductape_providers::ErrorKind;
use tokio::time::Instant;

use super::consumer_run::ConsumerRun;
use crate::clock;
use crate::error::{BrokerError, ErrorCode};

/// How long nothing must come until a program over a broker that can't count is taken to be idle.
const QUIET: Duration = Duration::from_secs(2);
/// How often the brokers are asked.
const EVERY: Duration = Duration::from_millis(5);

/// When something last came or was done with, as far as anybody looked: kept from one wait to the next.
#[derive(Default)]
pub(super) struct Seen(Mutex<Option<(u64, Instant)>>);

impl Seen {
    /// How long the activity has been `now`.
    fn quiet_for(&self, now: u64) -> Duration {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *seen {
            Some((activity, since)) if activity == now => since.elapsed(),
            _ => {
                *seen = Some((now, clock::now()));
                Duration::ZERO
            }
        }
    }
}

/// Waits until nothing is left; `false` when that has not come within `limit`.
pub(super) async fn wait(
    consumers: &[Arc<ConsumerRun>],
    limit: Duration,
    seen: &Seen,
) -> Result<bool, BrokerError> {
    let deadline = clock::after(limit);
    loop {
        let before = activity(consumers);
        let counted = nothing_before(consumers).await?;
        // What was concluded meanwhile may have produced something for a consumer that was looked at before.
        let now = activity(consumers);
        let quiet = seen.quiet_for(now) >= QUIET;
        let idle = match counted {
            Counted::Some => false,
            Counted::Nothing => now == before,
            Counted::Unknown => now == before && quiet,
        };
        if idle {
            return Ok(true);
        }
        if clock::now() >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn activity(consumers: &[Arc<ConsumerRun>]) -> u64 {
    consumers.iter().map(|run| run.counters.activity()).sum()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    /// Something is left.
    Some,
    /// Nothing is left.
    Nothing,
    /// Nothing is in hand, and at least one broker can't say what it has.
    Unknown,
}

async fn nothing_before(consumers: &[Arc<ConsumerRun>]) -> Result<Counted, BrokerError> {
    let mut counted = Counted::Nothing;
    for consumer in consumers {
        if consumer.in_hand() > 0 {
            return Ok(Counted::Some);
        }
        let left = consumer
            .provider
            .backlog_dyn(&consumer.topic, &consumer.group.name)
            .await;
        match left {
            Ok(left) if left.ready + left.delayed + left.in_flight > 0 => return Ok(Counted::Some),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Unsupported => counted = Counted::Unknown,
            Err(error) => {
                let text = "can't count what is left";
                return Err(BrokerError::from_provider(
                    ErrorCode::ConnectionFailed,
                    text,
                    error,
                ));
            }
        }
    }
    Ok(counted)
}
