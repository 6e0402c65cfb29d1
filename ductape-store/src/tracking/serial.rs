//! How answers are written as JSON.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Serialize as _, Serializer};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A time as RFC 3339, in UTC, to the microsecond.
pub(crate) fn rfc3339<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let text = OffsetDateTime::from(*at).format(&Rfc3339);
    serializer.serialize_str(&text.map_err(serde::ser::Error::custom)?)
}

// Serde hands its fields over as references.
#[allow(clippy::ref_option)]
pub(super) fn rfc3339_option<S: Serializer>(
    at: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => rfc3339(at, serializer),
        None => serializer.serialize_none(),
    }
}

/// A length of time in milliseconds, with a fraction.
pub(super) fn millis<S: Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(elapsed.as_secs_f64() * 1_000.0)
}

#[allow(clippy::ref_option)]
pub(super) fn millis_option<S: Serializer>(
    elapsed: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match elapsed {
        Some(elapsed) => millis(elapsed, serializer),
        None => serializer.serialize_none(),
    }
}

/// Bytes as the JSON that they are; else as their text; else as `{"base64": …}`.
#[allow(clippy::ref_option)]
pub(super) fn payload<S: Serializer>(bytes: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(bytes) = bytes else {
        return serializer.serialize_none();
    };
    if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
        return value.serialize(serializer);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => serializer.serialize_str(text),
        Err(_) => serde_json::json!({ "base64": STANDARD.encode(bytes) }).serialize(serializer),
    }
}

/// A day, counted from 1970-01-01, as `2026-11-25`.
pub(super) fn date(day: i64) -> String {
    let day = OffsetDateTime::UNIX_EPOCH
        .saturating_add(time::Duration::days(day))
        .date();
    format!("{:04}-{:02}-{:02}", day.year(), u8::from(day.month()), day.day())
}
