//! What a handler takes.

use std::fmt;

use ductape_providers::Headers;
use serde::{Deserialize, Serialize};

use crate::consumer::{Decoded, Delivery, FromBatch, FromDelivery, HandlerError, WithVerdict as _};
#[cfg(feature = "store")]
use crate::context::Context;
use crate::envelope::header;

/// On whose behalf the handled message was produced. An extractor: `Session` where a message without one is to become a
/// dead letter, `Option<Session>` where it is not; `Vec<Option<Session>>` in a batch.
///
/// It was checked when the message was produced, which may be days ago: it says who asked, not that he still may.
/// [`require_live`](Self::require_live) checks again. Who can write to the broker past this library can write what he likes here, as in
/// the event itself; against `require_live` he would have to know the id of a session that is under way, and its user.
///
/// What a handler produces is on the same behalf, unless it says otherwise.
///
/// ```
/// use ductape_events::prelude::*;
///
/// #[topic("docs:settings-changed")]
/// struct SettingsChanged {
///     theme: String,
/// }
///
/// #[consumer]
/// async fn apply(event: SettingsChanged, session: Session) {
///     println!("{} wants {}", session.identifier, event.theme);
/// }
///
/// #[consumer]
/// async fn count(_event: SettingsChanged, session: Option<Session>) {
///     println!("by {}", if session.is_some() { "a user" } else { "the system" });
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Session {
    /// The session's id.
    pub session_id: String,
    /// The tag of its configuration.
    pub tag: String,
    /// The value that names its user, as text: that of the field that the configuration's selector names.
    pub identifier: String,
}

impl Session {
    /// The session that a message carries; why it can't be read.
    pub(crate) fn read(headers: &Headers) -> Result<Option<Self>, HandlerError> {
        let Some(text) = headers.get(header::SESSION) else {
            return Ok(None);
        };
        match serde_json::from_str(text) {
            Ok(session) => Ok(Some(session)),
            // Without what serde says: it shows what is there.
            Err(_) => Err(format!(
                "the header `{}` is not one that this library writes",
                header::SESSION
            )
            .reject()),
        }
    }

    /// How it travels.
    #[cfg(feature = "store")]
    pub(super) fn written(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Checks that the session is under way still, and answers what it holds: it was not revoked, and its newest token has not
    /// ended (30 s of difference between clocks are allowed). The id, the tag and the user have to be those of the store.
    ///
    /// ```
    /// use ductape_events::prelude::*;
    /// use ductape_events::ErrorCode;
    ///
    /// # #[topic("docs:account-closed")]
    /// # struct AccountClosed { n: u32 }
    /// #[consumer]
    /// async fn close(event: AccountClosed, session: Session, ctx: Context) -> Result<(), HandlerError> {
    ///     match session.require_live(&ctx).await {
    ///         Ok(live) => println!("closing {} for {}", event.n, live.data["email"]),
    ///         // It will not come back: a dead letter, now.
    ///         Err(error) if error.code() == ErrorCode::SessionInvalid => return Err(error.reject()),
    ///         Err(error) => return Err(error.into()), // the store; tried again
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// `SESSION_INVALID`; `STORE_FAILED` or `CONNECTION_FAILED` when the store can't be asked.
    #[cfg(feature = "store")]
    pub async fn require_live(&self, ctx: &Context) -> Result<super::LiveSession, crate::BrokerError> {
        super::live::require(self, ctx.wiring(), crate::clock::wall()).await
    }

    fn missing() -> HandlerError {
        "this message carries no session, and its consumer needs one; produce it with `ctx.with_session(token)`, or let the \
         consumer take `Option<Session>`"
            .reject()
    }
}

// The user's name is nobody's business.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("session_id", &self.session_id)
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}

impl FromDelivery for Session {
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
        Self::read(&delivery.message().headers)?.ok_or_else(Self::missing)
    }
}

impl FromDelivery for Option<Session> {
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
        Session::read(&delivery.message().headers)
    }
}

impl FromBatch for Vec<Option<Session>> {
    fn from_batch(batch: &Decoded<'_>) -> Result<Self, HandlerError> {
        // One that can't be read is none: it must not make a dead letter of the others.
        Ok(batch
            .deliveries()
            .map(|delivery| Session::read(&delivery.message().headers).ok().flatten())
            .collect())
    }
}
