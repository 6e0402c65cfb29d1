//! The only place that reads the clock.
//!
//! Durations and deadlines use the monotonic [`now`], which follows tokio's paused time in tests; what is written down
//! for other processes uses [`wall`].

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The monotonic time, for deadlines and measured durations.
pub fn now() -> Instant {
    Instant::now()
}

/// The monotonic time `wait` from now. A wait that is too long to be told from "for ever" ends in thirty years.
pub fn after(wait: Duration) -> Instant {
    const YEARS: Duration = Duration::from_hours(30 * 365 * 24);
    let now = now();
    now.checked_add(wait).unwrap_or_else(|| now + YEARS)
}

/// The wall-clock time, for what other processes or people read.
#[allow(clippy::disallowed_methods)] // this is the one caller
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// `time` in milliseconds since 1970; 0 for a time before that.
pub fn to_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The time that is `millis` milliseconds after 1970.
pub fn from_millis(millis: u64) -> SystemTime {
    UNIX_EPOCH
        .checked_add(Duration::from_millis(millis))
        .unwrap_or(UNIX_EPOCH)
}

/// `time` in milliseconds since 1970, rounded up, so that what waits for it is never early; 0 for a time before that.
#[cfg(feature = "embedded")]
pub(crate) fn to_millis_ceil(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

/// `time` in nanoseconds since 1970; 0 for a time before that, the largest number after the year 2262.
#[cfg(feature = "embedded")]
pub(crate) fn to_nanos(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// The time that is `nanos` nanoseconds after 1970.
#[cfg(feature = "embedded")]
pub(crate) fn from_nanos(nanos: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanos.max(0).cast_unsigned())
}
