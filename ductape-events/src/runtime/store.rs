//! Which store a program keeps its history, keys, sessions and outbox in.

use std::time::Duration;

use ductape_store::{Store, StoreErrorKind, StoreKeys, StoreUrl};
use tokio::time::sleep_until;

use super::brokers::variable;
use crate::backoff::Growing;
use crate::clock;
use crate::error::{BrokerError, ErrorCode};

/// What the builder was told of the store.
#[derive(Clone, Default)]
pub(super) enum StoreChoice {
    /// `DUCTAPE_STORE`, else the configuration's, else the usual file where the program is configured from outside.
    #[default]
    Environment,
    /// This one.
    Given(Store),
    /// None.
    None,
}

/// Opens the store. `configured` is what the configuration says; `usual` is whether the usual file is used where nothing says
/// anything.
pub(super) async fn open(
    choice: &StoreChoice,
    configured: Option<&str>,
    usual: bool,
    startup_timeout: Duration,
) -> Result<Option<Store>, BrokerError> {
    match choice {
        StoreChoice::Given(store) => return Ok(Some(store.clone())),
        StoreChoice::None => return Ok(None),
        StoreChoice::Environment => {}
    }
    let (text, from) = match (variable("DUCTAPE_STORE"), configured) {
        (Some(text), _) => (text, "the variable `DUCTAPE_STORE`"),
        (None, Some(text)) => (text.to_owned(), "`store` of the configuration"),
        (None, None) if usual => (StoreUrl::DEFAULT.to_owned(), "the default"),
        (None, None) => return Ok(None),
    };
    if text == "off" {
        return Ok(None);
    }
    let url = StoreUrl::parse(&text)
        .map_err(|error| BrokerError::from_store(format!("{from} can't be used"), error))?;
    let keys = match variable("DUCTAPE_STORE_KEY") {
        None => StoreKeys::none(),
        Some(keys) => StoreKeys::parse(&keys).map_err(|error| {
            BrokerError::from_store("the variable `DUCTAPE_STORE_KEY` can't be used", error)
        })?,
    };
    let deadline = clock::now() + startup_timeout;
    let mut wait = Growing::new(Duration::from_millis(100), Duration::from_secs(2));
    loop {
        match Store::open(&url, keys.clone()).await {
            Ok(store) => {
                tracing::info!(store = %url, sealed = keys.is_sealing(), "the store is open");
                return Ok(Some(store));
            }
            Err(error) if error.is_temporary() && url.is_server() && clock::now() < deadline => {
                tracing::warn!(store = %url, %error, "the store is not there; waiting for it");
                sleep_until(deadline.min(clock::now() + wait.next())).await;
            }
            Err(error) => {
                let text = format!(
                    "can't open the store {url}, which {from} names; `DUCTAPE_STORE=off` does without"
                );
                return Err(BrokerError::from_store(text, error));
            }
        }
    }
}

impl BrokerError {
    pub(crate) fn from_store(message: impl Into<String>, source: ductape_store::StoreError) -> Self {
        let code = match source.kind() {
            StoreErrorKind::ConfigInvalid => ErrorCode::ConfigInvalid,
            StoreErrorKind::Unreachable => ErrorCode::ConnectionFailed,
            _ => ErrorCode::StoreFailed,
        };
        let temporary = source.is_temporary();
        Self::new(code, message)
            .with_temporary(temporary)
            .with_source(source)
    }
}
