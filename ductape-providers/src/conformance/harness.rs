use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::case::Failure;
use crate::error::Result;
use crate::provider_dyn::AnyProvider;

/// How long a message may take where the harness says nothing else.
pub(super) const PATIENCE_DEFAULT: Duration = Duration::from_secs(6);

/// How the suite reaches the broker under test. What the author of a provider writes, beside the provider.
///
/// ```no_run
/// use ductape_providers::conformance::Harness;
/// use ductape_providers::{AnyProvider, Result};
/// use futures_util::future::BoxFuture;
///
/// struct Mine {
///     address: String,
/// }
///
/// impl Harness for Mine {
///     fn name(&self) -> &'static str {
///         "mine"
///     }
///
///     fn connect(&self) -> BoxFuture<'_, Result<AnyProvider>> {
///         Box::pin(async move { todo!("connect to {}", self.address) })
///     }
/// }
/// ```
pub trait Harness: Send + Sync + 'static {
    /// The name that the report carries.
    fn name(&self) -> &str;

    /// A further handle of the broker, as another process would get it: closing it leaves the others open, and what one
    /// publishes the others receive.
    ///
    /// Nothing is done before the future is polled; it is made, but not polled, outside any tokio runtime too.
    fn connect(&self) -> BoxFuture<'_, Result<AnyProvider>>;

    /// A harness of a broker that no other case uses, for the cases that close every handle of it. `None`, the default,
    /// where there is one broker: those cases then run beside the others.
    fn isolated(&self) -> Option<Arc<dyn Harness>> {
        None
    }

    /// The server, for the cases that stop and start it; they run when no other case does. `None`, the default, where
    /// there is no server, or where it can't be stopped.
    fn server(&self) -> Option<Arc<dyn Server>> {
        None
    }

    /// Connects with a password that is wrong. `None`, the default, where there are no passwords.
    fn connect_with_wrong_password(&self) -> Option<BoxFuture<'_, Result<AnyProvider>>> {
        None
    }

    /// The shortest lease that the broker keeps, within its precision; 400 ms unless it says another.
    fn lease(&self) -> Duration {
        Duration::from_millis(400)
    }

    /// The shortest delay that the broker keeps, within its precision; 400 ms unless it says another.
    fn delay(&self) -> Duration {
        Duration::from_millis(400)
    }

    /// How long nothing must come until the suite believes that nothing comes; 200 ms unless it says another.
    fn quiet(&self) -> Duration {
        Duration::from_millis(200)
    }

    /// How long a message that must come may take, on a busy machine; 6 s unless it says another.
    fn patience(&self) -> Duration {
        PATIENCE_DEFAULT
    }

    /// How many cases run side by side; 8 unless it says another.
    fn concurrency(&self) -> usize {
        8
    }
}

/// The server of a broker, as a suite stops and starts it. What it had stored is there again afterwards.
pub trait Server: Send + Sync + 'static {
    /// Stops the server, at once: as when its machine loses power, or as near to that as can be.
    fn stop(&self) -> BoxFuture<'_, Result<(), Failure>>;

    /// Starts the server, and waits until it answers.
    fn start(&self) -> BoxFuture<'_, Result<(), Failure>>;
}
