//! From the environment to connected providers.

use std::path::PathBuf;
use std::sync::Arc;

use ductape_providers::{AnyProvider, EventName};

use crate::error::{BrokerError, ErrorCode, Finding};

/// What the builder was told of where brokers come from.
#[derive(Default)]
pub(super) struct Settings {
    pub(super) product: Option<String>,
    pub(super) environment: Option<String>,
    pub(super) config: ConfigSource,
    pub(super) providers: Vec<(String, AnyProvider)>,
    pub(super) every_broker: Option<AnyProvider>,
    pub(super) in_process: bool,
}

/// Where the configuration comes from.
#[derive(Default)]
pub(super) enum ConfigSource {
    /// `DUCTAPE_CONFIG`, else `ductape.toml` where there is one.
    #[default]
    Environment,
    /// This file, which must exist.
    File(PathBuf),
    /// This text.
    Text(String),
    /// None.
    None,
}

/// The brokers of the environment, before anything is connected.
pub(super) struct Brokers {
    settings: Settings,
    product: String,
    environment: String,
}

impl Brokers {
    /// Reads the environment's variables and the configuration; connects to nothing.
    pub(super) fn read(settings: Settings) -> Result<Self, BrokerError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let product = settings.product.clone().or_else(|| variable("DUCTAPE_PRODUCT"));
        let environment = settings.environment.clone().or_else(|| variable("DUCTAPE_ENV"));
        Ok(Self {
            settings,
            product: product.unwrap_or_else(|| "app".to_owned()),
            environment: environment.unwrap_or_else(|| "dev".to_owned()),
        })
    }

    /// Finds what keeps the brokers of these tags from being connected.
    pub(super) fn check(&self, _tags: &[(&str, &str)]) -> Vec<Finding> {
        Vec::new()
    }

    /// Connects to the brokers of these tags.
    pub(super) async fn connect(self, tags: &[(&str, &str)]) -> Result<Connected, BrokerError> {
        let mut connected = Connected {
            product: self.product,
            environment: self.environment,
            in_process: self.settings.in_process,
            providers: self.settings.providers,
        };
        for (tag, _) in tags {
            if connected.provider(tag).is_none() {
                let provider = self
                    .settings
                    .every_broker
                    .clone()
                    .ok_or_else(|| BrokerError::new(ErrorCode::BrokerNotFound, "x"))?;
                connected.providers.push(((*tag).to_owned(), provider));
            }
        }
        Ok(connected)
    }
}

/// The brokers of the environment, connected.
pub(super) struct Connected {
    pub(super) product: String,
    pub(super) environment: String,
    pub(super) in_process: bool,
    providers: Vec<(String, AnyProvider)>,
}

impl Connected {
    /// The provider that carries the topics of this broker.
    pub(super) fn provider(&self, tag: &str) -> Option<&AnyProvider> {
        self.providers
            .iter()
            .find(|(known, _)| known == tag)
            .map(|(_, provider)| provider)
    }

    /// The name that the configuration gives a topic on its broker.
    pub(super) fn physical_name(&self, _event: &EventName) -> Option<String> {
        None
    }

    /// The events that the configuration names.
    pub(super) fn configured_events(&self) -> Vec<EventName> {
        Vec::new()
    }

    /// The providers, each once.
    pub(super) fn into_providers(self) -> Vec<AnyProvider> {
        let mut providers: Vec<AnyProvider> = Vec::new();
        for (_, provider) in self.providers {
            if !providers.iter().any(|known| Arc::ptr_eq(known, &provider)) {
                providers.push(provider);
            }
        }
        providers
    }
}
