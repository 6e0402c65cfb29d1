//! What is answered, in JSON in camelCase.

use std::fmt;
use std::time::SystemTime;

use serde::{Serialize, Serializer};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A time as RFC 3339, in UTC.
pub(super) fn rfc3339<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let text = OffsetDateTime::from(*at).format(&Rfc3339);
    serializer.serialize_str(&text.map_err(serde::ser::Error::custom)?)
}

// Serde hands its fields over as references.
#[allow(clippy::ref_option)]
fn rfc3339_option<S: Serializer>(at: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => rfc3339(at, serializer),
        None => serializer.serialize_none(),
    }
}

/// A session that began, or goes on: what its user is given. Prints without the tokens; as JSON it has them.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct StartedSession {
    /// What produce calls are given: `tag:jwt`.
    pub token: String,
    /// What the next pair is asked for with, once.
    pub refresh_token: String,
    /// The session's id.
    pub session_id: String,
    /// When the token ends.
    #[serde(serialize_with = "rfc3339")]
    pub expires_at: SystemTime,
}

/// Whether a token is good, and what its session holds.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SessionCheck {
    /// Whether it is; if not, there is nothing else.
    pub valid: bool,
    /// What the session holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// The session's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// When the token ends.
    #[serde(serialize_with = "rfc3339_option", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<SystemTime>,
}

impl SessionCheck {
    pub(super) const INVALID: Self = Self {
        valid: false,
        data: None,
        session_id: None,
        expires_at: None,
    };
}

/// A session that is under way, and what it holds.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LiveSession {
    /// What it holds.
    pub data: Value,
    /// The session's id.
    pub session_id: String,
    /// When its newest token ends.
    #[serde(serialize_with = "rfc3339")]
    pub expires_at: SystemTime,
}

/// A session as it is listed.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ActiveSession {
    /// The session's id.
    pub session_id: String,
    /// The value that names its user.
    pub identifier: String,
    /// When it began.
    #[serde(serialize_with = "rfc3339")]
    pub start_at: SystemTime,
    /// When its newest token ends.
    #[serde(serialize_with = "rfc3339")]
    pub end_at: SystemTime,
    /// Whether it is under way, which all that are listed are.
    pub active: bool,
}

/// A page of sessions that are under way.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ActiveSessions {
    /// The sessions, newest first.
    pub sessions: Vec<ActiveSession>,
    /// How many there are on all pages.
    pub total: u64,
    /// Which page it is, from 1.
    pub page: u32,
    /// How many a page has.
    pub limit: u32,
    /// Whether there is a later page that is not empty.
    pub has_more: bool,
}

// Tokens, and what is known of a user, are shown to nobody by accident.
macro_rules! prints {
    ($($name:ident: $($field:ident),*;)*) => { $(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut shown = f.debug_struct(stringify!($name));
                $(shown.field(stringify!($field), &self.$field);)*
                shown.finish_non_exhaustive()
            }
        }
    )* };
}

prints! {
    StartedSession: session_id, expires_at;
    SessionCheck: valid, session_id, expires_at;
    LiveSession: session_id, expires_at;
    ActiveSession: session_id, start_at, end_at, active;
}
