//! What `ductape.sessions()` answers: the kinds of session of a product.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use ductape_store::sessions::Place;
use ductape_store::{StoreError, StoreErrorKind};

use super::config::wrong;
use super::{SessionChange, SessionConfig, SessionConfigEntry};
use crate::clock;
use crate::context::Context;
use crate::error::{BrokerError, ErrorCode};
use crate::runtime::Ductape;
use crate::wiring::Wiring;

/// How often a change is tried again that others came before.
const CHANGE_TRIES: usize = 8;

/// The sessions of a product in an environment; the program's own, unless [`of`](Self::of) says otherwise.
///
/// ```
/// use ductape_events::prelude::*;
/// use ductape_events::session::{Period, Revoke, SessionConfig, SessionKeys};
/// use ductape_events::store::StoreUrl;
/// use serde_json::json;
///
/// #[topic("docs:order-placed")]
/// struct OrderPlaced {
///     total: f64,
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), BrokerError> {
/// let ductape = Ductape::builder().without_inventory().topic::<OrderPlaced>().in_process();
/// let keys = SessionKeys::parse("2026-11:q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=")?;
/// let ductape = ductape.store(StoreUrl::memory()).session_keys(keys).build().await?;
///
/// let sessions = ductape.sessions();
/// let config = SessionConfig {
///     tag: "user-session".into(),
///     selector: "$Session{userId}".into(),
///     expiry: 15,
///     period: Period::Minutes,
///     schema: json!({"userId": "u1", "email": "user@example.com"}),
///     ..SessionConfig::default()
/// };
/// sessions.create(config).await?;
///
/// let started = sessions.start("user-session", &json!({"userId": "u7", "email": "u7@example.com"})).await?;
/// OrderPlaced { total: 9.5 }.produce(&ductape.context().with_session(&started.token)).await?;
///
/// let next = sessions.refresh("user-session", &started.refresh_token).await?;
/// assert!(sessions.verify("user-session", &next.token).await?.valid);
///
/// assert_eq!(sessions.revoke("user-session", Revoke::Identifier("u7")).await?, 1);
/// let refused = OrderPlaced { total: 9.5 }.produce(&ductape.context().with_session(&next.token)).await;
/// assert_eq!(refused.unwrap_err().code(), ductape_events::ErrorCode::SessionInvalid);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sessions<'a> {
    pub(super) wiring: &'a Wiring,
    product: Cow<'a, str>,
    environment: Cow<'a, str>,
}

impl Ductape {
    /// The program's sessions.
    pub fn sessions(&self) -> Sessions<'_> {
        self.context().sessions()
    }
}

impl Context {
    /// The program's sessions.
    pub fn sessions(&self) -> Sessions<'_> {
        Sessions::new(self.wiring())
    }
}

impl<'a> Sessions<'a> {
    pub(super) fn new(wiring: &'a Wiring) -> Self {
        Self {
            wiring,
            product: Cow::Borrowed(&wiring.product),
            environment: Cow::Borrowed(&wiring.environment),
        }
    }

    /// Those of another product, or another environment, in the same store. The tokens of one are good in no other.
    #[must_use]
    pub fn of(self, product: impl Into<String>, environment: impl Into<String>) -> Self {
        Self {
            product: Cow::Owned(product.into()),
            environment: Cow::Owned(environment.into()),
            ..self
        }
    }

    /// Creates a kind of session in the product, for all environments.
    ///
    /// # Errors
    ///
    /// `CONFIG_INVALID` saying what can't be, `ALREADY_EXISTS`, `STORE_FAILED`.
    pub async fn create(&self, config: SessionConfig) -> Result<SessionConfigEntry, BrokerError> {
        let config = config.checked()?;
        let now = micros(clock::wall());
        let kept = config.to_kept(&self.product, now, now);
        let created = self.store()?.sessions().create(&kept).await;
        created.map_err(|error| match error.kind() {
            StoreErrorKind::Exists => BrokerError::new(
                ErrorCode::AlreadyExists,
                format!(
                    "product `{}` has a session `{}` already; change it with `update`",
                    self.product, config.tag
                ),
            ),
            _ => failed(error),
        })?;
        SessionConfigEntry::from_kept(kept)
    }

    /// Changes a kind of session.
    ///
    /// # Errors
    ///
    /// `CONFIG_INVALID` saying what can't be, or which there are instead; `STORE_FAILED`.
    pub async fn update(&self, tag: &str, change: SessionChange) -> Result<SessionConfigEntry, BrokerError> {
        for _ in 0..CHANGE_TRIES {
            let entry = self.config(tag).await?;
            let config = entry.config.changed(change.clone()).checked()?;
            // Later than the last one, whatever the clock says: by that another knows that it was changed.
            let least = entry.updated_at + Duration::from_micros(1);
            let kept = config.to_kept(&self.product, entry.created_at, micros(clock::wall()).max(least));
            let replaced = self.store()?.sessions().replace(&kept, entry.updated_at).await;
            if replaced.map_err(failed)? {
                return SessionConfigEntry::from_kept(kept);
            }
        }
        let text = format!("session `{tag}` is changed by others all the time; it was not changed");
        Err(BrokerError::new(ErrorCode::StoreFailed, text).with_temporary(true))
    }

    /// A kind of session; `None` when the product has none of this tag.
    ///
    /// # Errors
    ///
    /// `STORE_FAILED`.
    pub async fn fetch(&self, tag: &str) -> Result<Option<SessionConfigEntry>, BrokerError> {
        let kept = self.store()?.sessions().config(&self.product, tag).await;
        kept.map_err(failed)?
            .map(SessionConfigEntry::from_kept)
            .transpose()
    }

    /// All kinds of session of the product, by tag.
    ///
    /// # Errors
    ///
    /// `STORE_FAILED`.
    pub async fn list(&self) -> Result<Vec<SessionConfigEntry>, BrokerError> {
        let kept = self.store()?.sessions().configs(&self.product).await;
        let kept = kept.map_err(failed)?;
        kept.into_iter().map(SessionConfigEntry::from_kept).collect()
    }

    /// How many tokens this program refused since it started, by the reason that callers are not told.
    pub fn refusals(&self) -> Vec<(&'static str, u64)> {
        self.wiring.sessions().counted()
    }

    /// The kind of session that is meant by a tag.
    pub(super) async fn config(&self, tag: &str) -> Result<SessionConfigEntry, BrokerError> {
        if let Some(entry) = self.fetch(tag).await? {
            return Ok(entry);
        }
        let known: Vec<String> = self
            .list()
            .await?
            .into_iter()
            .map(|entry| entry.config.tag)
            .collect();
        let instead = if known.is_empty() {
            "it has none: create one with `ductape.sessions().create(…)`".to_owned()
        } else {
            format!("it has: {}", known.join(", "))
        };
        Err(wrong(format!(
            "product `{}` has no session `{}`; {instead}",
            self.product,
            tag.escape_debug()
        )))
    }

    pub(super) fn store(&self) -> Result<&ductape_store::Store, BrokerError> {
        self.wiring.store("a session")
    }

    pub(super) fn place<'p>(&'p self, tag: &'p str) -> Place<'p> {
        Place {
            product: &self.product,
            env: &self.environment,
            tag,
        }
    }

    pub(super) fn audience(&self) -> String {
        super::token::audience(&self.product, &self.environment)
    }
}

pub(super) fn failed(error: StoreError) -> BrokerError {
    if error.kind() == StoreErrorKind::Invalid {
        return wrong(error.to_string());
    }
    BrokerError::from_store("the store of the sessions can't be asked", error)
}

/// `time` as the store keeps it.
fn micros(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let whole = Duration::new(since.as_secs(), since.subsec_micros() * 1_000);
    SystemTime::UNIX_EPOCH + whole
}

impl fmt::Debug for Sessions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("product", &self.product)
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}
