//! The provider of a RabbitMQ server.

use crate::capability::Capability;
use crate::config::RabbitMqConfig;
use crate::connection::ConnectionReport;
use crate::error::{Error, ErrorKind, Result};
use crate::provider_dyn::AnyProvider;

/// Connects.
#[allow(clippy::unused_async)]
pub(crate) async fn connect(_config: &RabbitMqConfig) -> Result<AnyProvider> {
    Err(Error::new(ErrorKind::Unsupported, "not built yet"))
}

/// What the broker will be able to do, as far as that is known without connecting.
pub(crate) fn capability(_config: &RabbitMqConfig) -> Capability {
    Capability::least(0)
}

/// Tries a connection, step by step.
#[allow(clippy::unused_async)]
pub(crate) async fn test_connection(_config: &RabbitMqConfig) -> ConnectionReport {
    crate::connection::Probe::new("rabbitmq", String::new()).finish()
}
