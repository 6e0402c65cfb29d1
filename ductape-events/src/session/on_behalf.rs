//! What a produce call does with a session.

use std::fmt;
use std::sync::Arc;

use bytestring::ByteString;
use ductape_providers::Headers;
use ductape_providers::config::Secret;

use super::Session;
use crate::envelope::header;
use crate::error::{BrokerError, ErrorCode, PublishOutcome};
use crate::wiring::Wiring;

/// What the header's name ends with, whatever binding of `CloudEvents` wrote the beginning.
pub(crate) const ATTRIBUTE: &str = "ductapesession";

/// On whose behalf something is produced.
#[derive(Clone)]
pub(crate) enum OnBehalf {
    /// A token that is not checked yet.
    Token(Arc<Secret>),
    /// What one that was checked said, as it travels.
    Checked(ByteString),
}

impl OnBehalf {
    pub(crate) fn token(token: String) -> Self {
        Self::Token(Arc::new(Secret::new(token)))
    }

    /// What a handled message carries: what its handler produces is on the same behalf.
    pub(crate) fn handed_on(headers: &Headers) -> Option<Self> {
        let header = headers.get(header::SESSION)?;
        let readable = matches!(Session::read(headers), Ok(Some(_)));
        readable.then(|| Self::Checked(header.into()))
    }

    /// The header's value.
    pub(crate) fn header(&self) -> Result<ByteString, BrokerError> {
        match self {
            Self::Checked(header) => Ok(header.clone()),
            // No way to publish leads past the check; were there one, it would end here.
            Self::Token(_) => Err(invalid()),
        }
    }
}

// The one holds a token, the other the name of a user.
impl fmt::Debug for OnBehalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(***)",
            Self::Checked(_) => "Checked(***)",
        })
    }
}

/// The one error for whatever is wrong with a token: who tries tokens learns nothing from it.
pub(super) fn invalid() -> BrokerError {
    BrokerError::new(
        ErrorCode::SessionInvalid,
        "the session's token is not valid, has expired or was revoked; nothing was done",
    )
    .with_publish_outcome(PublishOutcome::Rejected)
}

/// What is answered where a program writes the header itself.
#[cold]
pub(crate) fn set_by_hand(name: &str) -> BrokerError {
    BrokerError::new(
        ErrorCode::PayloadInvalid,
        format!(
            "the header `{name}` is written from a session that was checked; give its token to `with_session` instead"
        ),
    )
    .with_publish_outcome(PublishOutcome::Rejected)
}

/// Checks a token, and answers what travels in its place.
#[cfg(feature = "store")]
pub(crate) async fn check(token: &Secret, wiring: &Wiring) -> Result<ByteString, BrokerError> {
    let checked = super::live::check(token.expose(), wiring, crate::clock::wall()).await;
    checked.map_err(|error| error.with_publish_outcome(PublishOutcome::Rejected))
}

#[cfg(not(feature = "store"))]
#[allow(clippy::unused_async)] // as the other
pub(crate) async fn check(_: &Secret, _: &Wiring) -> Result<ByteString, BrokerError> {
    Err(left_out().with_publish_outcome(PublishOutcome::Rejected))
}

#[cfg(not(feature = "store"))]
fn left_out() -> BrokerError {
    BrokerError::new(
        ErrorCode::Unsupported,
        "sessions need a store, which this build leaves out; enable the feature `store` of `ductape-events`",
    )
}
