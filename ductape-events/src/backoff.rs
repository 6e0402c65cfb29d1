//! Waits that grow.

use std::time::Duration;

use crate::consumer::{Backoff, RetryOptions};

/// Waits that double up to a maximum, for what is tried until it works.
#[derive(Debug)]
pub(crate) struct Growing {
    next: Duration,
    max: Duration,
}

impl Growing {
    pub(crate) fn new(first: Duration, max: Duration) -> Self {
        Self { next: first, max }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.max);
        wait
    }
}

/// When a consumer's failed message is tried again, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryPolicy {
    pub(crate) attempts: u32,
    backoff: Backoff,
    base: Duration,
    max: Duration,
}

impl RetryPolicy {
    const ATTEMPTS_DEFAULT: u32 = 5;
    const BASE_DEFAULT: Duration = Duration::from_secs(1);
    const MAX_DEFAULT: Duration = Duration::from_mins(5);

    pub(crate) fn new(options: &RetryOptions) -> Self {
        let base = options.base.unwrap_or(Self::BASE_DEFAULT);
        Self {
            attempts: options.attempts.unwrap_or(Self::ATTEMPTS_DEFAULT).max(1),
            backoff: options.backoff.unwrap_or_default(),
            base,
            max: options.max.unwrap_or(Self::MAX_DEFAULT).max(base),
        }
    }

    /// The wait after the failed attempt number `attempt`, from 1. `chance` is 0 to 255: what spreads retries that
    /// failed together. Never less than the backoff itself.
    pub(crate) fn wait(&self, attempt: u32, chance: u8) -> Duration {
        match self.backoff {
            Backoff::Fixed => self.base,
            Backoff::Exponential => {
                let doublings = attempt.saturating_sub(1).min(31);
                let wait = self.base.saturating_mul(1 << doublings).min(self.max);
                wait.saturating_add(wait.mul_f64(f64::from(chance) / 255.0 * 0.2))
                    .min(self.max.max(wait))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::RetryPolicy;
    use crate::consumer::{Backoff, RetryOptions};

    fn policy(backoff: Backoff) -> RetryPolicy {
        let ms = Duration::from_millis;
        RetryPolicy::new(&RetryOptions {
            attempts: Some(9),
            backoff: Some(backoff),
            base: Some(ms(100)),
            max: Some(ms(1000)),
        })
    }

    #[test]
    fn exponential_waits_double_up_to_the_maximum() {
        let waits: Vec<u128> = (1..=6)
            .map(|attempt| policy(Backoff::Exponential).wait(attempt, 0).as_millis())
            .collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(
            policy(Backoff::Exponential).wait(u32::MAX, 255),
            Duration::from_secs(1)
        );
    }

    #[test]
    fn chance_adds_up_to_a_fifth_and_never_takes_away() {
        assert_eq!(policy(Backoff::Exponential).wait(2, 255).as_millis(), 240);
        assert_eq!(policy(Backoff::Fixed).wait(7, 255).as_millis(), 100);
    }
}
