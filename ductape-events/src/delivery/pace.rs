//! How fast messages are given to their groups again.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::clock;

/// Lets so many messages go a second.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: Option<u32>,
    next: Instant,
}

impl Pace {
    /// As fast as the broker takes them.
    pub(crate) fn unlimited() -> Self {
        Self {
            per_second: None,
            next: clock::now(),
        }
    }

    /// This many a second, at least one.
    #[cfg(feature = "store")]
    pub(crate) fn of(per_second: u32) -> Self {
        Self {
            per_second: Some(per_second.max(1)),
            ..Self::unlimited()
        }
    }

    /// How many can go at once, of `most`: those of a tenth of a second.
    pub(crate) fn step(&self, most: usize) -> usize {
        self.per_second.map_or(most, |per_second| {
            usize::try_from(per_second / 10)
                .unwrap_or(most)
                .clamp(1, most.max(1))
        })
    }

    /// Waits until the next `count` may go.
    pub(crate) async fn turn(&mut self, count: usize) {
        let Some(per_second) = self.per_second else {
            return;
        };
        sleep_until(self.next).await;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let taken = Duration::from_secs(1).saturating_mul(count) / per_second;
        // What was not used is not caught up with.
        self.next = clock::now().max(self.next) + taken;
    }
}

#[cfg(all(test, feature = "store"))]
mod tests {
    use std::time::Duration;

    use super::Pace;
    use crate::clock;

    #[tokio::test(start_paused = true)]
    async fn no_more_go_in_a_second_than_the_rate_says() {
        for (rate, count) in [(1_u32, 3_u32), (7, 70), (1_000, 5_000)] {
            let mut pace = Pace::of(rate);
            let step = u32::try_from(pace.step(256)).unwrap();
            let began = clock::now();
            let mut gone = 0;
            while gone < count {
                pace.turn(step as usize).await;
                gone += step;
                let allowed = began.elapsed() * rate + 2 * step * Duration::from_secs(1);
                let elapsed = began.elapsed();
                assert!(
                    gone * Duration::from_secs(1) <= allowed,
                    "{rate}: {gone} after {elapsed:?}"
                );
            }
            let least = (count - step) * Duration::from_secs(1) / rate;
            assert!(began.elapsed() + Duration::from_millis(9) >= least, "{rate}");
            assert!(began.elapsed() <= least + Duration::from_millis(100), "{rate}");
        }
        assert_eq!(Pace::unlimited().step(256), 256);
    }
}
