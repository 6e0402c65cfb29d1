//! What `.produce(&ctx)` takes: where events go, and what they are caused by.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use ductape_providers::{Headers, Incoming};
use serde_json::Value;

use crate::envelope::header;
use crate::error::BrokerError;
use crate::produce::{self, ProduceOptions, ProduceReceipt};
use crate::session::OnBehalf;
use crate::wiring::Wiring;

/// Where events go, and what they are caused by. An extractor: in a handler it names the handled message as the cause of
/// what is produced, and hands on its trace.
///
/// Cloning costs two counters.
#[derive(Clone)]
pub struct Context {
    wiring: Arc<Wiring>,
    extra: Option<Arc<Headers>>,
    session: Option<OnBehalf>,
}

impl Context {
    pub(crate) fn new(wiring: Arc<Wiring>) -> Self {
        Self {
            wiring,
            extra: None,
            session: None,
        }
    }

    pub(crate) fn wiring(&self) -> &Wiring {
        &self.wiring
    }

    /// The product that the program belongs to.
    pub fn product(&self) -> &str {
        &self.wiring.product
    }

    /// The environment that the program runs in.
    pub fn environment(&self) -> &str {
        &self.wiring.environment
    }

    /// This context, with a header on everything that is produced in it.
    ///
    /// Names are `a-z`, `0-9`, `-`, `_` and `.`; one that is not is refused by the produce call.
    #[must_use]
    pub fn with_header(&self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let mut extra = self.extra.as_deref().cloned().unwrap_or_default();
        extra.insert(name.into(), value.into());
        Self {
            wiring: Arc::clone(&self.wiring),
            extra: Some(Arc::new(extra)),
            session: self.session.clone(),
        }
    }

    /// This context, on behalf of a session: `sessionId:token`, or the token as `sessions().start` and `refresh` hand it out,
    /// `tag:jwt`. What is produced in it carries the session's id, tag and user, never the token; handlers take it as
    /// [`Session`](crate::session::Session).
    ///
    /// Each produce call checks the token first: one that is bad, has expired, or whose session was revoked a moment ago is
    /// `SESSION_INVALID`, and nothing is published.
    ///
    /// ```
    /// use ductape_events::prelude::*;
    ///
    /// # #[topic("docs:ordered")]
    /// # struct Ordered { n: u32 }
    /// # async fn order(ctx: &Context, token: &str) -> Result<(), BrokerError> {
    /// let ctx = ctx.with_session(token);
    /// Ordered { n: 1 }.produce(&ctx).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_session(&self, token: impl Into<String>) -> Self {
        Self {
            session: Some(OnBehalf::token(token.into())),
            ..self.clone()
        }
    }

    /// Publishes `event` from JSON, checked against the topic's schema: for tools that have no type.
    ///
    /// # Errors
    ///
    /// `EVENT_NAME_INVALID`, `TOPIC_NOT_FOUND`, `PAYLOAD_INVALID` naming what does not fit, and those of
    /// [`Topic::produce`](crate::Topic::produce).
    pub async fn produce_json(&self, event: &str, message: &Value) -> Result<ProduceReceipt, BrokerError> {
        produce::json(event, message, ProduceOptions::default(), self).await
    }

    /// Publishes `event` from bytes that nobody checks, as a producer in another language might: for bridges, and for
    /// tests of what a consumer does with them.
    ///
    /// # Errors
    ///
    /// `EVENT_NAME_INVALID`, `TOPIC_NOT_FOUND`, and those of [`Topic::produce`](crate::Topic::produce).
    pub async fn produce_bytes(
        &self,
        event: &str,
        payload: impl Into<Bytes>,
        options: ProduceOptions,
    ) -> Result<ProduceReceipt, BrokerError> {
        produce::bytes(event, payload.into(), options, self).await
    }

    /// What is known of an idempotency key in this product and environment, of whatever event; `None` for one that was never
    /// used, or whose time is over.
    ///
    /// # Errors
    ///
    /// `CHECK_IDEMPOTENCY_FAILED` when the store does not answer, `STORE_FAILED` without one.
    #[cfg(feature = "store")]
    pub async fn check_idempotency(&self, key: &str) -> Result<Option<produce::KnownKey>, BrokerError> {
        produce::check(key, self).await
    }

    pub(crate) fn session(&self) -> Option<&OnBehalf> {
        self.session.as_ref()
    }

    pub(crate) fn extra(&self) -> Option<&Headers> {
        self.extra.as_deref()
    }

    /// This context, for what the handler of `message` produces.
    pub(crate) fn caused_by(&self, message: &Incoming) -> Self {
        let mut extra = self.extra.as_deref().cloned().unwrap_or_default();
        let id: ByteString = message.id.to_string().into();
        let correlation = message
            .headers
            .get(header::CORRELATION_ID)
            .map_or_else(|| id.clone(), ByteString::from);
        extra.insert(header::CORRELATION_ID, correlation);
        extra.insert(header::CAUSATION_ID, id);
        if let Some(trace) = message.headers.get(header::TRACEPARENT) {
            extra.insert(header::TRACEPARENT, trace);
        }
        Self {
            wiring: Arc::clone(&self.wiring),
            extra: Some(Arc::new(extra)),
            session: OnBehalf::handed_on(&message.headers),
        }
    }
}

impl AsRef<Self> for Context {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("product", &self.wiring.product)
            .field("environment", &self.wiring.environment)
            .finish_non_exhaustive()
    }
}
