//! From a configuration to a connected broker.

use super::provider_config::ProviderConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::provider_dyn::AnyProvider;

impl ProviderConfig {
    /// Connects to the broker.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) for a kind of broker that this version or this build can't connect to; the
    /// text names the feature that it belongs to.
    #[allow(clippy::unused_async)] // the kinds that can be connected to wait
    pub async fn connect(&self) -> Result<AnyProvider> {
        Err(self.unsupported())
    }

    fn unsupported(&self) -> Error {
        let provider = self.provider();
        let message = match self {
            Self::Embedded(_) => {
                "this build can't open the embedded broker; enable the feature `embedded`".to_owned()
            }
            _ => format!(
                "this version can't connect to {provider} yet (its feature will be `{provider}`); \
                 until then give the environment a broker of type `EMBEDDED`"
            ),
        };
        Error::new(ErrorKind::Unsupported, message)
            .with("provider", provider)
            .with("address", self.address())
    }
}
