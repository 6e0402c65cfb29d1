//! From a configuration to a connected broker.

#[cfg(feature = "embedded")]
use std::sync::Arc;

#[cfg(feature = "embedded")]
use super::embedded::{EmbeddedConfig, EmbeddedMode, Synchronous};
use super::provider_config::ProviderConfig;
use crate::capability::Capability;
use crate::clock;
use crate::connection::{ConnectionReport, Probe, STEP_TIMEOUT};
#[cfg(feature = "embedded")]
use crate::embedded::{DurableConfig, MemoryConfig, durable};
use crate::error::{Error, ErrorKind, Result};
use crate::provider_dyn::AnyProvider;

impl ProviderConfig {
    /// Connects to the broker.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) for a kind of broker that this build can't connect to; the text names the
    /// feature to enable. [`Unreachable`](ErrorKind::Unreachable), which is temporary, and
    /// [`Unauthorized`](ErrorKind::Unauthorized), which is not, within 10 s.
    #[allow(clippy::unused_async)] // without a feature there is nothing to wait for
    pub async fn connect(&self) -> Result<AnyProvider> {
        match self {
            #[cfg(feature = "embedded")]
            Self::Embedded(config) => match config.mode {
                EmbeddedMode::Memory => Ok(Arc::new(memory(config).open())),
                EmbeddedMode::Durable => Ok(Arc::new(durable_store(config).open().await?)),
            },
            #[cfg(feature = "kafka")]
            Self::Kafka(config) => crate::kafka::connect(config).await,
            #[cfg(feature = "rabbitmq")]
            Self::RabbitMq(config) => crate::rabbitmq::connect(config).await,
            #[cfg(feature = "redis")]
            Self::Redis(config) => crate::redis::connect(config).await,
            #[cfg(feature = "sqs")]
            Self::Sqs(config) => crate::sqs::connect(config).await,
            #[cfg(feature = "pubsub")]
            Self::PubSub(config) => crate::pubsub::connect(config).await,
            #[cfg(feature = "nats")]
            Self::Nats(config) => crate::nats::connect(config).await,
            #[allow(unreachable_patterns)] // with every feature on
            _ => Err(self.unsupported()),
        }
    }

    /// Tries to connect, step by step: finds the host, opens a connection, logs in. It changes nothing on the broker, and
    /// takes at most a few times [`STEP_TIMEOUT`](crate::connection::STEP_TIMEOUT).
    pub async fn test_connection(&self) -> ConnectionReport {
        match self {
            #[cfg(feature = "kafka")]
            Self::Kafka(config) => crate::kafka::test_connection(config).await,
            #[cfg(feature = "rabbitmq")]
            Self::RabbitMq(config) => crate::rabbitmq::test_connection(config).await,
            #[cfg(feature = "redis")]
            Self::Redis(config) => crate::redis::test_connection(config).await,
            #[cfg(feature = "sqs")]
            Self::Sqs(config) => crate::sqs::test_connection(config).await,
            #[cfg(feature = "pubsub")]
            Self::PubSub(config) => crate::pubsub::test_connection(config).await,
            #[cfg(feature = "nats")]
            Self::Nats(config) => crate::nats::test_connection(config).await,
            _ => {
                let mut probe = Probe::new(self.provider(), self.address());
                probe
                    .step("connect", async {
                        let provider = self.connect().await?;
                        provider.ping_dyn().await?;
                        provider.close_dyn(clock::now() + STEP_TIMEOUT).await?;
                        Ok((self.address(), ()))
                    })
                    .await;
                probe.finish()
            }
        }
    }

    /// What the broker will be able to do, as far as that is known without connecting to it.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), for a kind of broker that this build can't connect to.
    pub fn capability(&self) -> Result<Capability> {
        match self {
            #[cfg(feature = "embedded")]
            Self::Embedded(config) => Ok(match config.mode {
                EmbeddedMode::Memory => memory(config).capability(),
                EmbeddedMode::Durable => durable_store(config).capability(),
            }),
            #[cfg(feature = "kafka")]
            Self::Kafka(config) => Ok(crate::kafka::capability(config)),
            #[cfg(feature = "rabbitmq")]
            Self::RabbitMq(config) => Ok(crate::rabbitmq::capability(config)),
            #[cfg(feature = "redis")]
            Self::Redis(config) => Ok(crate::redis::capability(config)),
            #[cfg(feature = "sqs")]
            Self::Sqs(config) => Ok(crate::sqs::capability(config)),
            #[cfg(feature = "pubsub")]
            Self::PubSub(config) => Ok(crate::pubsub::capability(config)),
            #[cfg(feature = "nats")]
            Self::Nats(config) => Ok(crate::nats::capability(config)),
            #[allow(unreachable_patterns)] // with every feature on
            _ => Err(self.unsupported()),
        }
    }

    #[allow(dead_code)] // with every feature on
    fn unsupported(&self) -> Error {
        let provider = self.provider();
        let message = format!(
            "this build can't connect to {provider}; enable the feature `{provider}` of `ductape-events` (or of \
             `ductape-providers`)"
        );
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
