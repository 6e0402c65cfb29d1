//! Why tokens are refused: counted, and told to nobody else.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::SessionKeys;
use crate::error::{BrokerError, ErrorCode};

macro_rules! refusals {
    ($($name:ident = $text:literal,)*) => {
        /// Why a token is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Refusal { $($name,)* }

        impl Refusal {
            pub(super) const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub(super) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

refusals! {
    TooLong = "too_long",
    Malformed = "malformed",
    UnknownKey = "unknown_key",
    Algorithm = "algorithm",
    Signature = "signature",
    Claims = "claims",
    Issuer = "issuer",
    Audience = "audience",
    Expired = "expired",
    NotYet = "not_yet",
    OtherSession = "other_session",
    UnknownSession = "unknown_session",
    Revoked = "revoked",
    Ended = "ended",
    RefreshUnknown = "refresh_unknown",
    RefreshExpired = "refresh_expired",
    RefreshRevoked = "refresh_revoked",
    RefreshUsedJustNow = "refresh_used_just_now",
    RefreshReused = "refresh_reused",
}

/// What the sessions of a program need.
#[derive(Debug, Default)]
pub(crate) struct Part {
    keys: Option<SessionKeys>,
    refused: [AtomicU64; Refusal::ALL.len()],
    started: AtomicU32,
}

impl Part {
    pub(crate) fn new(keys: Option<SessionKeys>) -> Self {
        Self {
            keys,
            ..Self::default()
        }
    }

    pub(super) fn keys(&self) -> Result<&SessionKeys, BrokerError> {
        self.keys.as_ref().ok_or_else(|| {
            BrokerError::new(
                ErrorCode::ConfigInvalid,
                format!(
                    "sessions need a key that signs their tokens, and there is none; set `{}` to `KEY-ID:KEY` with the key of \
                     `openssl rand -base64 32`, or give one with `Ductape::builder().session_keys(…)`",
                    SessionKeys::VARIABLE
                ),
            )
        })
    }

    /// Counts a refusal.
    pub(super) fn count(&self, refusal: Refusal) {
        tracing::debug!(reason = refusal.as_str(), "a session's token was refused");
        self.refused[refusal as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counted(&self) -> Vec<(&'static str, u64)> {
        let count = |refusal: &Refusal| {
            (
                refusal.as_str(),
                self.refused[*refusal as usize].load(Ordering::Relaxed),
            )
        };
        Refusal::ALL.iter().map(count).filter(|(_, n)| *n > 0).collect()
    }

    /// Counts a start, and says how many there were before.
    pub(super) fn start(&self) -> u32 {
        self.started.fetch_add(1, Ordering::Relaxed)
    }
}
