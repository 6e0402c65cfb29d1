//! A configuration that was read.

use std::collections::{BTreeMap, BTreeSet};

use ductape_providers::EventName;
use ductape_providers::config::{ProviderConfig, Secret, closest};

#[cfg(feature = "store")]
use crate::tracking::{Asked, Policies};
#[cfg(feature = "store")]
use ductape_store::tracking::Retention;

use super::problem::{ConfigProblem, ConfigProblems, ProblemKind};

/// A `ductape.toml` in which nothing is wrong. It prints without secrets.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) file: String,
    pub(super) product: Option<String>,
    pub(super) default_environment: String,
    pub(super) store: Option<Secret>,
    pub(super) brokers: BTreeMap<String, BrokerConfig>,
    /// What is recorded of topics that say nothing else.
    #[cfg(feature = "store")]
    pub(super) tracking: Asked,
    /// How long, and how much of it, the history is kept.
    #[cfg(feature = "store")]
    pub(super) retention: Retention,
}

/// A broker of the configuration.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    pub(super) environments: BTreeMap<String, EnvironmentConfig>,
    pub(super) topics: BTreeMap<String, TopicConfig>,
    /// What is recorded, by the topic's tag.
    #[cfg(feature = "store")]
    pub(super) tracking: BTreeMap<String, Asked>,
    /// As it stands in the file, for the registry.
    #[cfg(feature = "store")]
    pub(super) written: super::written::WrittenBroker,
}

/// What an environment's broker is; or, if variables are missing for it, which.
#[derive(Clone, Debug)]
pub(super) enum EnvironmentConfig {
    Ready {
        config: Box<ProviderConfig>,
        /// The findings of the start-up check that are allowed, by name.
        allow: Vec<String>,
    },
    Unset(Vec<ConfigProblem>),
}

/// A topic that the configuration names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicConfig {
    /// Its name on the broker; the usual one when `None`.
    pub name: Option<String>,
    /// What it is about, for people.
    pub description: Option<String>,
}

impl Config {
    /// The environment when nobody names one.
    pub const ENVIRONMENT_DEFAULT: &'static str = "dev";

    /// The file, as it was given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The product: `DUCTAPE_PRODUCT`, else the file's.
    pub fn product(&self) -> Option<&str> {
        self.product.as_deref()
    }

    /// The environment to use unless the program says another: `DUCTAPE_ENV`, else the file's, else `dev`.
    pub fn default_environment(&self) -> &str {
        &self.default_environment
    }

    /// Where the store is, as the file says: a URL, which may hold a password, or `off`.
    #[cfg(feature = "store")]
    pub(crate) fn store(&self) -> Option<&str> {
        self.store.as_ref().map(Secret::expose)
    }

    /// What is recorded of each topic: what the file says comes before what the program does.
    #[cfg(feature = "store")]
    pub(crate) fn tracking(&self, policies: Policies) -> Policies {
        let topics = self.brokers.iter().flat_map(|(tag, broker)| {
            let topics = broker.tracking.iter();
            topics.map(move |(topic, asked)| (format!("{tag}:{topic}"), *asked))
        });
        policies.asked(self.tracking, topics).kept(self.retention)
    }

    /// Whether the file names a store.
    #[cfg(not(feature = "store"))]
    pub(crate) fn asks_for_store(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.expose() != "off")
    }

    /// The tags of the brokers, in alphabetical order.
    pub fn brokers(&self) -> impl Iterator<Item = &str> {
        self.brokers.keys().map(String::as_str)
    }

    /// A broker by its tag.
    pub fn broker(&self, tag: &str) -> Option<&BrokerConfig> {
        self.brokers.get(tag)
    }

    /// The environments that any broker has.
    pub fn environments(&self) -> BTreeSet<&str> {
        self.brokers
            .values()
            .flat_map(BrokerConfig::environments)
            .collect()
    }

    /// The events that the configuration names, in alphabetical order.
    pub fn events(&self) -> impl Iterator<Item = EventName> {
        self.brokers.iter().flat_map(|(broker, config)| {
            config
                .topics
                .keys()
                .filter_map(move |topic| format!("{broker}:{topic}").parse().ok())
        })
    }

    /// What the configuration says of a topic.
    pub fn topic(&self, event: &EventName) -> Option<&TopicConfig> {
        self.broker(event.broker())?.topics.get(event.topic())
    }

    /// The name that the configuration gives a topic on its broker.
    pub fn physical_name(&self, event: &EventName) -> Option<&str> {
        self.topic(event)?.name.as_deref()
    }

    /// What the broker `tag` is in `environment`.
    ///
    /// # Errors
    ///
    /// [`BrokerNotFound`](ProblemKind::BrokerNotFound) and [`EnvironmentNotFound`](ProblemKind::EnvironmentNotFound) list
    /// what there is; [`Invalid`](ProblemKind::Invalid) names each variable that is not set.
    pub fn provider(&self, tag: &str, environment: &str) -> Result<&ProviderConfig, ConfigProblems> {
        let Some(broker) = self.broker(tag) else {
            let instead = instead(tag, self.brokers(), "brokers");
            let message = format!("no broker `{}`; {instead}", tag.escape_debug());
            return Err(self.not_found(ProblemKind::BrokerNotFound, "brokers", message));
        };
        match broker.environments.get(environment) {
            Some(EnvironmentConfig::Ready { config, .. }) => Ok(config),
            Some(EnvironmentConfig::Unset(problems)) => Err(ConfigProblems::new(problems.clone())),
            None => {
                let instead = instead(environment, broker.environments(), "environments of this broker");
                let message = format!(
                    "broker `{tag}` has no environment `{}`; {instead}",
                    environment.escape_debug()
                );
                let key = format!("brokers.{tag}.environments");
                Err(self.not_found(ProblemKind::EnvironmentNotFound, &key, message))
            }
        }
    }

    /// The findings of the start-up check that the broker `tag` allows in `environment`, by name.
    pub fn allowed(&self, tag: &str, environment: &str) -> &[String] {
        let environment = self
            .broker(tag)
            .and_then(|broker| broker.environments.get(environment));
        match environment {
            Some(EnvironmentConfig::Ready { allow, .. }) => allow,
            _ => &[],
        }
    }

    /// What every broker that has `environment` is in it, by tag: everything that is wrong with one environment at once.
    ///
    /// # Errors
    ///
    /// [`EnvironmentNotFound`](ProblemKind::EnvironmentNotFound) when no broker has it,
    /// [`Invalid`](ProblemKind::Invalid) for each variable that is not set.
    pub fn resolve(&self, environment: &str) -> Result<BTreeMap<&str, &ProviderConfig>, ConfigProblems> {
        let mut ready = BTreeMap::new();
        let mut problems = Vec::new();
        for (tag, broker) in &self.brokers {
            match broker.environments.get(environment) {
                Some(EnvironmentConfig::Ready { config, .. }) => {
                    ready.insert(tag.as_str(), &**config);
                }
                Some(EnvironmentConfig::Unset(unset)) => problems.extend(unset.iter().cloned()),
                None => {}
            }
        }
        if !problems.is_empty() {
            return Err(ConfigProblems::new(problems));
        }
        if ready.is_empty() && !self.brokers.is_empty() {
            let instead = instead(environment, self.environments(), "environments");
            let message = format!(
                "no broker has an environment `{}`; {instead}",
                environment.escape_debug()
            );
            return Err(self.not_found(ProblemKind::EnvironmentNotFound, "brokers", message));
        }
        Ok(ready)
    }

    fn not_found(&self, kind: ProblemKind, key: &str, message: String) -> ConfigProblems {
        ConfigProblems::new(vec![ConfigProblem {
            kind,
            file: self.file.clone(),
            line: None,
            column: None,
            key: key.to_owned(),
            message,
        }])
    }
}

impl BrokerConfig {
    /// What people call it.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What it is for.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Its environments, in alphabetical order.
    pub fn environments(&self) -> impl Iterator<Item = &str> {
        self.environments.keys().map(String::as_str)
    }

    /// As it stands in the file.
    #[cfg(feature = "store")]
    pub(crate) const fn written(&self) -> &super::written::WrittenBroker {
        &self.written
    }

    /// The topics that the configuration names, by tag, in alphabetical order.
    pub fn topics(&self) -> impl Iterator<Item = (&str, &TopicConfig)> {
        self.topics.iter().map(|(tag, topic)| (tag.as_str(), topic))
    }
}

/// What there is in place of what was asked for.
pub(crate) fn instead<'a>(asked: &str, known: impl IntoIterator<Item = &'a str>, what: &str) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    if known.is_empty() {
        return format!("there are no {what}");
    }
    let hint = match closest(asked, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? "),
        None => String::new(),
    };
    format!("{hint}known {what}: {}", known.join(", "))
}
