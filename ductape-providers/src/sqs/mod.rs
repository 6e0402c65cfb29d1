//! The provider of AWS SQS.

use crate::capability::Capability;
use crate::config::SqsConfig;
use crate::connection::ConnectionReport;
use crate::error::{Error, ErrorKind, Result};
use crate::provider_dyn::AnyProvider;

/// Connects.
#[allow(clippy::unused_async)]
pub(crate) async fn connect(_config: &SqsConfig) -> Result<AnyProvider> {
    Err(Error::new(ErrorKind::Unsupported, "not built yet"))
}

/// What the broker will be able to do, as far as that is known without connecting.
pub(crate) fn capability(_config: &SqsConfig) -> Capability {
    Capability::least(0)
}

/// Tries a connection, step by step.
#[allow(clippy::unused_async)]
pub(crate) async fn test_connection(_config: &SqsConfig) -> ConnectionReport {
    crate::connection::Probe::new("sqs", String::new()).finish()
}
