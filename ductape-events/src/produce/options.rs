use std::time::Duration;

use ductape_providers::{Headers, MessageId};

use crate::session::OnBehalf;

/// What one produce call does otherwise than usual.
///
/// ```
/// use ductape_events::prelude::*;
/// use std::time::Duration;
///
/// # #[topic("docs:reminded")]
/// # struct Reminded { n: u32 }
/// # async fn remind(ctx: &Context) -> Result<(), ductape_events::BrokerError> {
/// let tomorrow = ProduceOptions::default().delay(Duration::from_secs(86_400)).header("tenant", "acme");
/// Reminded { n: 1 }.produce_with(tomorrow, ctx).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ProduceOptions {
    pub(super) id: Option<MessageId>,
    pub(super) key: Option<String>,
    pub(super) delay: Option<Duration>,
    pub(super) headers: Option<Headers>,
    pub(super) session: Option<OnBehalf>,
}

impl ProduceOptions {
    /// The message's identity. Producing again with the same id, after a publish whose outcome is unknown, is safe for
    /// consumers with `once`. A new time-ordered UUID by default.
    #[must_use]
    pub fn id(mut self, id: MessageId) -> Self {
        self.id = Some(id);
        self
    }

    /// The key, in place of the topic's own.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Delivers the event no earlier than after `delay`.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Produces on behalf of a session, in place of the context's: `sessionId:token`, or the token as it is handed out,
    /// `tag:jwt`. See [`Context::with_session`](crate::Context::with_session).
    #[must_use]
    pub fn session(mut self, token: impl Into<String>) -> Self {
        self.session = Some(OnBehalf::token(token.into()));
        self
    }

    /// Adds a header. Names are `a-z`, `0-9`, `-`, `_` and `.`.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers
            .get_or_insert_default()
            .insert(name.into(), value.into());
        self
    }
}
