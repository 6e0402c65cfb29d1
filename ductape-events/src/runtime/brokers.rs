//! From the environment to connected providers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ductape_providers::config::{EmbeddedConfig, ProviderConfig};
use ductape_providers::connection::{ConnectionReport, ConnectionStep};
use ductape_providers::{AnyProvider, EventName};
#[cfg(not(feature = "embedded"))]
use ductape_providers::{Error as ProviderError, ErrorKind};

use futures_util::future::join_all;
use tokio::time::sleep_until;

use crate::asyncapi::Server;
use crate::backoff::Growing;
use crate::clock;
use crate::config::{Config, ConfigProblems};
use crate::error::{BrokerError, ErrorCode, Finding};

const PRODUCT_DEFAULT: &str = "app";
const FILE_DEFAULT: &str = "ductape.toml";

/// What the builder was told of where brokers come from.
#[derive(Clone, Default)]
pub(super) struct Settings {
    pub(super) product: Option<String>,
    pub(super) environment: Option<String>,
    pub(super) config: ConfigSource,
    pub(super) providers: Vec<(String, AnyProvider)>,
    pub(super) every_broker: Option<AnyProvider>,
    pub(super) in_process: bool,
    #[cfg(feature = "store")]
    pub(super) store: super::store::StoreChoice,
    #[cfg(feature = "store")]
    pub(super) session_keys: Option<crate::session::SessionKeys>,
    /// How long a broker that is not there yet is waited for.
    pub(super) startup_timeout: Duration,
}

/// Where the configuration comes from.
#[derive(Clone, Default)]
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
    /// Whether the configuration is looked for outside of the program.
    #[cfg(feature = "store")]
    from_outside: bool,
    config: Option<Config>,
    pub(super) product: String,
    pub(super) environment: String,
    /// What the registry says of the brokers that no file names.
    pub(super) registered: BTreeMap<String, Result<ProviderConfig, Finding>>,
    /// The brokers that there are in the registry.
    pub(super) registered_tags: Vec<String>,
}

impl Brokers {
    /// Reads the environment's variables and the configuration; connects to nothing.
    pub(super) async fn read(mut settings: Settings) -> Result<Self, BrokerError> {
        let source = std::mem::take(&mut settings.config);
        #[cfg(feature = "store")]
        let from_outside = matches!(source, ConfigSource::Environment);
        let read = tokio::task::spawn_blocking(move || read_config(source)).await;
        let config = read.map_err(|error| {
            BrokerError::new(ErrorCode::ConfigInvalid, "reading the configuration ended early")
                .with_source(error)
        })??;
        let product = settings.product.clone().or_else(|| variable("DUCTAPE_PRODUCT"));
        let product = product.or_else(|| Some(config.as_ref()?.product()?.to_owned()));
        let environment = settings.environment.clone().or_else(|| variable("DUCTAPE_ENV"));
        let environment = environment.or_else(|| Some(config.as_ref()?.default_environment().to_owned()));
        Ok(Self {
            settings,
            #[cfg(feature = "store")]
            from_outside,
            config,
            product: product.unwrap_or_else(|| PRODUCT_DEFAULT.to_owned()),
            environment: environment.unwrap_or_else(|| Config::ENVIRONMENT_DEFAULT.to_owned()),
            registered: BTreeMap::new(),
            registered_tags: Vec::new(),
        })
    }

    /// What is recorded: what the file says comes before what the program does.
    #[cfg(feature = "store")]
    pub(super) fn tracking(&self, policies: crate::tracking::Policies) -> crate::tracking::Policies {
        match &self.config {
            Some(config) => config.tracking(policies),
            None => policies,
        }
    }

    /// Opens the store that the environment names; a program that is all in code has none unless it is given one, and in the
    /// test mode the environment is not asked.
    #[cfg(feature = "store")]
    pub(super) async fn open_store(&self) -> Result<Option<super::store::Opened>, BrokerError> {
        let settings = &self.settings;
        let in_code = settings.every_broker.is_some() || !settings.providers.is_empty();
        let outside = super::store::Outside {
            configured: self.config.as_ref().and_then(Config::store),
            usual: self.from_outside && !in_code,
            ignored: settings.in_process,
        };
        super::store::open(&settings.store, outside, settings.startup_timeout).await
    }

    /// The keys of sessions: those given in code, else those of the environment, which is not asked in the test mode.
    #[cfg(feature = "store")]
    pub(super) fn session_keys(&self) -> Result<Option<crate::session::SessionKeys>, BrokerError> {
        let given = &self.settings.session_keys;
        if given.is_some() || self.settings.in_process {
            return Ok(given.clone());
        }
        crate::session::SessionKeys::from_variable(variable(crate::session::SessionKeys::VARIABLE))
    }

    /// Whether the environment names a store.
    #[cfg(not(feature = "store"))]
    pub(super) fn asks_for_store(&self) -> bool {
        if self.settings.in_process {
            return false;
        }
        match (variable("DUCTAPE_STORE"), &self.config) {
            (Some(text), _) => text != "off",
            (None, config) => config.as_ref().is_some_and(Config::asks_for_store),
        }
    }

    /// The brokers of these tags that neither the program nor its configuration names: the registry may know them.
    pub(super) fn unnamed<'t>(&self, tags: &[(&'t str, &str)]) -> Vec<&'t str> {
        let named = |tag: &str| {
            self.config
                .as_ref()
                .is_some_and(|config| config.broker(tag).is_some())
        };
        let tags = tags.iter().map(|(tag, _)| *tag);
        tags.filter(|tag| self.given(tag).is_none() && !named(tag))
            .collect()
    }

    /// Finds what keeps the brokers of these tags, each named by one of its events, from being connected.
    pub(super) fn check(&self, tags: &[(&str, &str)]) -> Vec<Finding> {
        // Once for all brokers, when none has the environment.
        if let Some(config) = &self.config
            && self.registered.is_empty()
            && !config.environments().is_empty()
            && !config.environments().contains(self.environment.as_str())
            && let Err(problems) = config.resolve(&self.environment)
        {
            return problems.into_findings();
        }
        let mut findings = Vec::new();
        for (tag, event) in tags.iter().filter(|(tag, _)| self.given(tag).is_none()) {
            findings.extend(self.check_one(tag).into_iter().map(|mut finding| {
                if finding.code != ErrorCode::ConfigInvalid {
                    finding.message = format!("{}; the program has the topic `{event}`", finding.message);
                }
                finding
            }));
        }
        findings
    }

    fn check_one(&self, tag: &str) -> Vec<Finding> {
        match (self.registered.get(tag), &self.config) {
            (Some(registered), _) => registered.as_ref().err().cloned().into_iter().collect(),
            (None, None) => Vec::new(),
            (None, Some(config)) => {
                let Err(problems) = config.provider(tag, &self.environment) else {
                    return Vec::new();
                };
                let mut findings = problems.into_findings();
                for finding in &mut findings {
                    if finding.code == ErrorCode::BrokerNotFound && !self.registered_tags.is_empty() {
                        let tags = self.registered_tags.join(", ");
                        finding.message = format!("{}; brokers of the registry: {tags}", finding.message);
                    }
                }
                findings
            }
        }
    }

    /// What a broker is: as the registry says where nothing else does, embedded where there is no configuration at all.
    fn config_of(&self, tag: &str) -> Option<ProviderConfig> {
        match (self.registered.get(tag), &self.config) {
            (Some(registered), _) => registered.as_ref().ok().cloned(),
            (None, Some(config)) => config.provider(tag, &self.environment).ok().cloned(),
            (None, None) => Some(ProviderConfig::Embedded(EmbeddedConfig::default())),
        }
    }

    /// Connects to one broker, that of a topic that the program did not begin with.
    #[cfg(feature = "store")]
    pub(super) async fn connect_one(&self, tag: &str, event: &str) -> Result<AnyProvider, BrokerError> {
        if let Some(provider) = self.given(tag) {
            return Ok(Arc::clone(provider));
        }
        let findings = self.check(&[(tag, event)]);
        match self.config_of(tag) {
            Some(config) if findings.is_empty() => self.open(tag, &config).await,
            _ => Err(BrokerError::from_findings(findings)),
        }
    }

    /// The provider that was given in code for a broker.
    fn given(&self, tag: &str) -> Option<&AnyProvider> {
        let by_tag = self
            .settings
            .providers
            .iter()
            .find(|(known, _)| known == tag)
            .map(|(_, provider)| provider);
        by_tag.or(self.settings.every_broker.as_ref())
    }

    /// Connects; a broker that is not there yet is waited for, up to the start-up timeout.
    async fn open(&self, tag: &str, config: &ProviderConfig) -> Result<AnyProvider, BrokerError> {
        let deadline = clock::now() + self.settings.startup_timeout;
        let mut wait = Growing::new(Duration::from_millis(100), Duration::from_secs(2));
        let mut told = false;
        let opened = loop {
            match open(config, self.settings.in_process).await {
                Err(error) if error.is_temporary() && clock::now() < deadline => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(broker = tag, %error, "the broker is not there; waiting for it");
                    }
                    sleep_until(deadline.min(clock::now() + wait.next())).await;
                }
                opened => break opened,
            }
        };
        opened.map_err(|error| {
            let text = format!(
                "can't connect to broker `{tag}` ({} at {})",
                config.provider(),
                config.address()
            );
            BrokerError::from_provider(ErrorCode::ConnectionFailed, text, error)
                .with("environment", &self.environment)
        })
    }

    /// The brokers of these tags, for people.
    pub(super) fn servers(&self, tags: &[(&str, &str)]) -> Vec<Server> {
        let server = |tag: &str| {
            if let Some(provider) = self.given(tag) {
                let info = provider.info_dyn();
                return Some(Server::of_another(tag, info.provider, &info.address));
            }
            Some(Server::of(tag, &self.config_of(tag)?))
        };
        tags.iter().filter_map(|(tag, _)| server(tag)).collect()
    }

    /// Tries the connections of these tags, and of every other broker of the environment, each step by step.
    pub(super) async fn test(&self, tags: &[(&str, &str)]) -> Vec<(String, ConnectionReport)> {
        let mut configs: Vec<(String, ProviderConfig)> = Vec::new();
        let of_file = self.config.iter().flat_map(Config::brokers);
        let of_program = tags.iter().map(|(tag, _)| *tag);
        for tag in of_file.chain(of_program.filter(|tag| self.given(tag).is_none())) {
            if let Some(config) = self.config_of(tag)
                && !configs.iter().any(|(known, _)| known == tag)
            {
                configs.push((tag.to_owned(), config));
            }
        }
        join_all(configs.into_iter().map(async |(tag, config)| {
            if !self.settings.in_process {
                let report = config.test_connection().await;
                return (tag, report);
            }
            // There is no server to be asked, and no file.
            let began = clock::now();
            let opened = open(&config, true).await;
            let step = ConnectionStep {
                name: "connect",
                took: began.elapsed(),
                outcome: opened.map(|_| "in this process".to_owned()),
            };
            let report = ConnectionReport {
                provider: config.provider(),
                address: "in-process".to_owned(),
                steps: vec![step],
            };
            (tag, report)
        }))
        .await
    }

    /// Connects to the brokers of these tags.
    pub(super) async fn connect(self, tags: &[(&str, &str)]) -> Result<Connected, BrokerError> {
        let mut providers: Vec<(String, AnyProvider)> = Vec::new();
        let mut opened: Vec<(ProviderConfig, AnyProvider)> = Vec::new();
        let configured: Vec<String> = self
            .config
            .iter()
            .flat_map(Config::events)
            .map(|event| event.broker().to_owned())
            .collect();
        let tags = tags
            .iter()
            .map(|(tag, _)| *tag)
            .chain(configured.iter().map(String::as_str));
        for tag in tags {
            if providers.iter().any(|(known, _)| known == tag) {
                continue;
            }
            if let Some(provider) = self.given(tag) {
                providers.push((tag.to_owned(), Arc::clone(provider)));
                continue;
            }
            // A broker that only the configuration names need not be in every environment.
            let Some(config) = self.config_of(tag) else {
                continue;
            };
            // Brokers that are the same embedded one share it.
            let known = opened.iter().find(|(other, _)| is_same_embedded(other, &config));
            let provider = if let Some((_, provider)) = known {
                Arc::clone(provider)
            } else {
                let provider = self.open(tag, &config).await?;
                opened.push((config, Arc::clone(&provider)));
                provider
            };
            providers.push((tag.to_owned(), provider));
        }
        Ok(Connected {
            product: self.product,
            environment: self.environment,
            in_process: self.settings.in_process,
            #[cfg(feature = "store")]
            registered: self.registered.into_keys().collect(),
            config: self.config,
            providers,
            opened: opened.into_iter().map(|(_, provider)| provider).collect(),
        })
    }
}

pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn read_config(source: ConfigSource) -> Result<Option<Config>, ConfigProblems> {
    let file = match source {
        ConfigSource::None => return Ok(None),
        ConfigSource::Text(text) => return Config::parse(&text, FILE_DEFAULT, &variable).map(Some),
        ConfigSource::File(file) => file,
        ConfigSource::Environment => match variable("DUCTAPE_CONFIG") {
            Some(file) => file.into(),
            None if PathBuf::from(FILE_DEFAULT).exists() => FILE_DEFAULT.into(),
            None => return Ok(None),
        },
    };
    Config::load(file).map(Some)
}

fn is_same_embedded(one: &ProviderConfig, other: &ProviderConfig) -> bool {
    match (one, other) {
        (ProviderConfig::Embedded(one), ProviderConfig::Embedded(other)) => one == other,
        _ => false,
    }
}

/// Connects, or makes the broker in memory that can do the same.
async fn open(config: &ProviderConfig, in_process: bool) -> ductape_providers::Result<AnyProvider> {
    if !in_process {
        return config.connect().await;
    }
    #[cfg(feature = "embedded")]
    {
        let capability = config.capability()?;
        Ok(Arc::new(ductape_providers::embedded::Memory::emulating(
            capability,
        )))
    }
    #[cfg(not(feature = "embedded"))]
    Err(ProviderError::new(
        ErrorKind::Unsupported,
        "the in-process test mode needs the feature `embedded`; enable it for your tests",
    ))
}

/// The brokers of the environment, connected.
pub(super) struct Connected {
    pub(super) product: String,
    pub(super) environment: String,
    pub(super) in_process: bool,
    /// The brokers that are as the registry says.
    #[cfg(feature = "store")]
    pub(super) registered: Vec<String>,
    pub(super) config: Option<Config>,
    providers: Vec<(String, AnyProvider)>,
    /// Those of the providers that were not given in code.
    opened: Vec<AnyProvider>,
}

impl Connected {
    /// The provider that carries the topics of this broker.
    pub(super) fn provider(&self, tag: &str) -> Option<&AnyProvider> {
        self.providers
            .iter()
            .find(|(known, _)| known == tag)
            .map(|(_, provider)| provider)
    }

    /// The findings that the configuration allows, of all brokers.
    pub(super) fn allowed(&self) -> Vec<String> {
        let config = self.config.iter();
        let of = |config: &Config, tag: &str| config.allowed(tag, &self.environment).to_vec();
        config
            .flat_map(|config| self.providers.iter().flat_map(move |(tag, _)| of(config, tag)))
            .collect()
    }

    /// The name that the configuration gives a topic on its broker.
    pub(super) fn physical_name(&self, event: &EventName) -> Option<String> {
        self.config.as_ref()?.physical_name(event).map(str::to_owned)
    }

    /// The events that the configuration names.
    pub(super) fn configured_events(&self) -> Vec<EventName> {
        self.config.iter().flat_map(Config::events).collect()
    }

    /// Closes what was opened here; what was given in code stays open.
    pub(super) async fn close_opened(self) {
        let until = clock::now() + Duration::from_secs(5);
        for provider in self.opened {
            if let Err(error) = provider.close_dyn(until).await {
                tracing::debug!(%error, "a connection that was tried did not close cleanly");
            }
        }
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

#[cfg(all(test, feature = "redis"))]
mod tests {
    use std::time::Duration;

    use crate::{Ductape, ErrorCode, clock};

    #[tokio::test]
    async fn a_broker_that_is_not_there_is_waited_for_and_then_told() {
        // A port that was free a moment ago, and that nobody listens at.
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let text = format!(
            "[brokers.a.environments.dev]\ntype = 'REDIS'\nhost = '127.0.0.1'\nport = {port}\n[brokers.a.topics.b]\n"
        );
        let began = clock::now();
        let limit = Duration::from_millis(700);
        let built = Ductape::builder()
            .without_inventory()
            .config_text(text)
            .startup_timeout(limit)
            .build()
            .await;
        let error = built.err().unwrap();
        assert_eq!(error.code(), ErrorCode::ConnectionFailed, "{error}");
        assert!(error.is_temporary(), "{error}");
        assert!(began.elapsed() >= limit, "{:?}", began.elapsed());
    }
}
