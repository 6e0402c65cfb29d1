//! How long the history is kept, and what removes the rest of it.

use std::time::Duration;

use ductape_store::tracking::Retention;
use ductape_store::{Store, StoreError};
use tokio::time::sleep;

use crate::clock;
use crate::error::{BrokerError, ErrorCode};

/// How often it is looked whether something is to be removed.
const EVERY: Duration = Duration::from_mins(1);
/// How long others have the store between two steps, at least.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// The shortest time that can be kept, and the least size.
const AGE_MIN: Duration = Duration::from_mins(1);
const BYTES_MIN: u64 = 1_000_000;

/// Removes what is older or more than `retention` allows, until told to `stop`. Several programs may do so at one time.
pub(crate) async fn keep(store: Store, retention: Retention, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    let mut told = false;
    loop {
        let round = async {
            match round(&store, retention).await {
                Ok(removed) => {
                    told = false;
                    if removed > 0 {
                        tracing::debug!(removed, "messages that were too old or too many left the history");
                    }
                }
                Err(error) if !std::mem::replace(&mut told, true) => {
                    tracing::warn!(%error, "old messages could not be removed from the history; trying again until they can");
                }
                Err(error) => tracing::debug!(%error, "old messages could not be removed"),
            }
            sleep(EVERY).await;
        };
        tokio::select! {
            biased;
            () = &mut stop => return,
            () = round => {}
        }
    }
}

/// Removes all that is to be removed now; how many messages and dead letters.
async fn round(store: &Store, retention: Retention) -> Result<u64, StoreError> {
    let mut removed = 0;
    loop {
        let began = clock::now();
        let pruned = store.tracking().prune(retention, clock::wall()).await?;
        removed += pruned.messages + pruned.dead_letters;
        if pruned.is_done {
            return Ok(removed);
        }
        // No more than half of the time: the other half is for those who write.
        sleep(began.elapsed().max(PAUSE_MIN)).await;
    }
}

/// Refuses what would leave nothing.
pub(crate) fn check(retention: Retention) -> Result<(), BrokerError> {
    let wrong = |text: String| Err(BrokerError::new(ErrorCode::ConfigInvalid, text));
    if let Some(age) = retention.age_max.filter(|age| *age < AGE_MIN) {
        return wrong(format!(
            "a retention of {age:?} leaves no history; keep {AGE_MIN:?} or more"
        ));
    }
    if let Some(bytes) = retention.bytes_max.filter(|bytes| *bytes < BYTES_MIN) {
        return wrong(format!(
            "a retention of {bytes} bytes leaves no history; keep {BYTES_MIN} or more"
        ));
    }
    Ok(())
}

/// A number and its unit.
fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, text[digits..].trim()))
}

/// An age as `ductape.toml` has it: `30d`, `12h`, `90m`.
pub(crate) fn read_age(text: &str) -> Result<Duration, String> {
    let seconds = split(text).and_then(|(number, unit)| {
        let unit = match unit {
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return None,
        };
        number.checked_mul(unit)
    });
    let age = seconds.filter(|seconds| *seconds >= AGE_MIN.as_secs());
    let age = age.ok_or("is no age; write minutes, hours or days, 1m or more, for example `30d`")?;
    Ok(Duration::from_secs(age))
}

/// A size as `ductape.toml` has it: `500MB`, `10GB`.
pub(crate) fn read_bytes(text: &str) -> Result<u64, String> {
    let bytes = split(text).and_then(|(number, unit)| {
        let unit = match unit {
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return None,
        };
        number.checked_mul(unit)
    });
    let bytes = bytes.filter(|bytes| *bytes >= BYTES_MIN);
    Ok(bytes.ok_or("is no size; write MB, GB or TB, 1MB or more, for example `10GB`")?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ductape_store::tracking::Retention;

    use super::{check, read_age, read_bytes};

    #[test]
    fn ages_and_sizes_are_a_number_and_a_unit() {
        assert_eq!(read_age("30d"), Ok(Duration::from_hours(720)));
        assert_eq!(read_age(" 90 m "), Ok(Duration::from_mins(90)));
        assert_eq!(read_bytes("10GB"), Ok(10_000_000_000));
        assert_eq!(read_bytes("1 MiB"), Ok(1_048_576));
        for odd in [
            "",
            "d",
            "30",
            "0d",
            "-1d",
            "1.5d",
            "1w",
            "99999999999999999999d",
            "9999999999999999d",
            "\u{0}1d",
            "٣d",
        ] {
            assert!(read_age(odd).is_err(), "{odd:?}");
        }
        for odd in ["", "GB", "10", "0GB", "1KB", "-1GB", "99999999TB", "10gb"] {
            assert!(read_bytes(odd).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn what_would_leave_nothing_is_refused() {
        let of = |seconds, bytes_max| {
            let age_max = Some(Duration::from_secs(seconds));
            check(Retention { age_max, bytes_max })
        };
        assert!(of(60, Some(1_000_000)).is_ok());
        assert!(of(59, None).is_err());
        assert!(of(60, Some(999_999)).is_err());
        assert!(check(Retention::default()).is_ok());
    }
}
