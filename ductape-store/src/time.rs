//! Times as the store keeps them: microseconds since 1970.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `time` in microseconds; times before 1970 are 0, those beyond what the store can hold are the last it can.
pub(crate) fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// `time` from microseconds.
pub(crate) fn from_micros(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}
