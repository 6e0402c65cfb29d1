//! From a configuration to a connected broker.

#[cfg(feature = "embedded")]
use std::sync::Arc;

#[cfg(feature = "embedded")]
use super::embedded::{EmbeddedConfig, EmbeddedMode, Synchronous};
use super::provider_config::ProviderConfig;
use crate::capability::Capability;
#[cfg(feature = "embedded")]
use crate::embedded::{DurableConfig, MemoryConfig, durable};
use crate::error::{Error, ErrorKind, Result};
use crate::provider_dyn::AnyProvider;

impl ProviderConfig {
    /// Connects to the broker.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) for a kind of broker that this version or this build can't connect to; the
    /// text names the feature that it belongs to. Else those of opening the embedded store.
    #[cfg_attr(not(feature = "embedded"), allow(clippy::unused_async))] // the embedded store is what is waited for
    pub async fn connect(&self) -> Result<AnyProvider> {
        match self {
            #[cfg(feature = "embedded")]
            Self::Embedded(config) => match config.mode {
                EmbeddedMode::Memory => Ok(Arc::new(memory(config).open())),
                EmbeddedMode::Durable => Ok(Arc::new(durable_store(config).open().await?)),
            },
            _ => Err(self.unsupported()),
        }
    }

    /// What the broker will be able to do, as far as that is known without connecting to it.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), for a kind of broker that this version or this build can't connect to.
    pub fn capability(&self) -> Result<Capability> {
        match self {
            #[cfg(feature = "embedded")]
            Self::Embedded(config) => Ok(match config.mode {
                EmbeddedMode::Memory => memory(config).capability(),
                EmbeddedMode::Durable => durable_store(config).capability(),
            }),
            _ => Err(self.unsupported()),
        }
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

#[cfg(feature = "embedded")]
fn memory(config: &EmbeddedConfig) -> MemoryConfig {
    let mut memory = MemoryConfig::default();
    if let Some(capacity) = config.capacity {
        memory.capacity = usize::try_from(capacity.get()).unwrap_or(usize::MAX);
    }
    memory
}

#[cfg(feature = "embedded")]
fn durable_store(config: &EmbeddedConfig) -> DurableConfig {
    let mut store = DurableConfig::new(&config.path);
    store.synchronous = match config.synchronous {
        Synchronous::Full => durable::Synchronous::Full,
        Synchronous::Normal => durable::Synchronous::Normal,
    };
    if let Some(capacity) = config.capacity {
        store.retained_max = capacity.get();
    }
    if let Some(retention) = config.retention {
        store.retention = retention;
    }
    store
}
