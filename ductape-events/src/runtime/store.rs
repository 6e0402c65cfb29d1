//! Which store a program keeps its history, keys, sessions and outbox in.

use std::time::Duration;

use ductape_store::{Store, StoreErrorKind, StoreKeys, StoreUrl};
use tokio::time::{sleep_until, timeout_at};

use super::brokers::variable;
use crate::backoff::Growing;
use crate::clock;
use crate::error::{BrokerError, ErrorCode};

/// The store that is given in code: one that is open, or where it is.
///
/// One that is open stays open when the program ends; it may be shared with others of the same process.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StoreSource {
    /// One that is open.
    Open(Store),
    /// Where it is. It is opened while the program is built, with the keys of `DUCTAPE_STORE_KEY`, and closed at its end.
    At(StoreUrl),
}

impl From<Store> for StoreSource {
    fn from(store: Store) -> Self {
        Self::Open(store)
    }
}

impl From<StoreUrl> for StoreSource {
    fn from(url: StoreUrl) -> Self {
        Self::At(url)
    }
}

/// What the builder was told of the store.
#[derive(Clone, Default)]
pub(super) enum StoreChoice {
    /// `DUCTAPE_STORE`, else the configuration's, else the usual file where the program is configured from outside.
    #[default]
    Environment,
    /// This one.
    Given(StoreSource),
    /// None.
    None,
}

/// What the environment says, for a program that was told nothing in code.
#[derive(Clone, Copy)]
pub(super) struct Outside<'a> {
    /// `store` of the configuration.
    pub(super) configured: Option<&'a str>,
    /// Whether the usual file is used where nothing says anything.
    pub(super) usual: bool,
    /// Whether it is asked at all.
    pub(super) ignored: bool,
}

/// The store of a program, and whether it is closed at its end.
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) is_own: bool,
}

impl Opened {
    /// Closes it, if it was opened for this program.
    pub(crate) async fn close(&self) {
        if self.is_own {
            self.store.close().await;
        }
    }

    /// The same store, for one who looks at it and leaves it open.
    pub(crate) fn lend(&self) -> Self {
        Self {
            store: self.store.clone(),
            is_own: false,
        }
    }
}

/// Opens the store.
pub(super) async fn open(
    choice: &StoreChoice,
    outside: Outside<'_>,
    startup_timeout: Duration,
) -> Result<Option<Opened>, BrokerError> {
    let (url, from) = match choice {
        StoreChoice::Given(StoreSource::Open(store)) => {
            return Ok(Some(Opened {
                store: store.clone(),
                is_own: false,
            }));
        }
        StoreChoice::Given(StoreSource::At(url)) => (url.clone(), "the program"),
        StoreChoice::None => return Ok(None),
        StoreChoice::Environment if outside.ignored => return Ok(None),
        StoreChoice::Environment => match from_outside(outside)? {
            Some(found) => found,
            None => return Ok(None),
        },
    };
    let keys = match variable("DUCTAPE_STORE_KEY") {
        None => StoreKeys::none(),
        Some(keys) => StoreKeys::parse(&keys).map_err(|error| {
            BrokerError::from_store("the variable `DUCTAPE_STORE_KEY` can't be used", error)
        })?,
    };
    let sealed = keys.is_sealing();
    let cannot =
        || format!("can't open the store {url}, which {from} names; `DUCTAPE_STORE=off` does without");
    let deadline = clock::now() + startup_timeout;
    let mut wait = Growing::new(Duration::from_millis(100), Duration::from_secs(2));
    let mut told = false;
    loop {
        match timeout_at(deadline, Store::open(&url, keys.clone())).await {
            Ok(Ok(store)) => {
                tracing::info!(store = %url, sealed, "the store is open");
                return Ok(Some(Opened { store, is_own: true }));
            }
            Ok(Err(error)) if error.is_temporary() && url.is_server() && clock::now() < deadline => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(store = %url, %error, "the store is not there; waiting for it");
                }
                sleep_until(deadline.min(clock::now() + wait.next())).await;
            }
            Ok(Err(error)) => return Err(BrokerError::from_store(cannot(), error)),
            Err(_) => {
                let text = format!("{}; it was not ready within {startup_timeout:?}", cannot());
                return Err(BrokerError::new(ErrorCode::ConnectionFailed, text).with_temporary(true));
            }
        }
    }
}

/// Where the store is as the environment says, and what says so.
fn from_outside(outside: Outside<'_>) -> Result<Option<(StoreUrl, &'static str)>, BrokerError> {
    let (text, from) = match (variable("DUCTAPE_STORE"), outside.configured) {
        (Some(text), _) => (text, "the variable `DUCTAPE_STORE`"),
        (None, Some(text)) => (text.to_owned(), "`store` of the configuration"),
        (None, None) if outside.usual => (StoreUrl::DEFAULT.to_owned(), "the default"),
        (None, None) => return Ok(None),
    };
    if text == "off" {
        return Ok(None);
    }
    let url = StoreUrl::parse(&text);
    let url = url.map_err(|error| BrokerError::from_store(format!("{from} can't be used"), error))?;
    Ok(Some((url, from)))
}

impl BrokerError {
    pub(crate) fn from_store(message: impl Into<String>, source: ductape_store::StoreError) -> Self {
        let code = match source.kind() {
            StoreErrorKind::ConfigInvalid => ErrorCode::ConfigInvalid,
            StoreErrorKind::Unreachable => ErrorCode::ConnectionFailed,
            StoreErrorKind::Incompatible => ErrorCode::SchemaIncompatible,
            _ => ErrorCode::StoreFailed,
        };
        let temporary = source.is_temporary();
        Self::new(code, message)
            .with_temporary(temporary)
            .with_source(source)
    }
}
