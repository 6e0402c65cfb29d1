//! The provider of Google Pub/Sub.

use crate::capability::Capability;
use crate::config::PubSubConfig;
use crate::connection::ConnectionReport;
use crate::error::{Error, ErrorKind, Result};
use crate::provider_dyn::AnyProvider;

/// Connects.
#[allow(clippy::unused_async)]
pub(crate) async fn connect(_config: &PubSubConfig) -> Result<AnyProvider> {
    Err(Error::new(ErrorKind::Unsupported, "not built yet"))
}

/// What the broker will be able to do, as far as that is known without connecting.
pub(crate) fn capability(_config: &PubSubConfig) -> Capability {
    Capability::least(0)
}

/// Tries a connection, step by step.
#[allow(clippy::unused_async)]
pub(crate) async fn test_connection(_config: &PubSubConfig) -> ConnectionReport {
    crate::connection::Probe::new("pubsub", String::new()).finish()
}
