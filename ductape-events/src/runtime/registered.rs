//! What the registry says of a program's brokers, and what the program tells it.

use ductape_providers::config::ProviderConfig;
use ductape_store::Store;
use ductape_store::registry::{Changed, ConsumerEntry, Own, Refused, Source};

use super::blueprint::{Blueprint, Wired};
use super::brokers::Brokers;
use super::consumer_run::ConsumerRun;
use super::ductape::Ductape;
use crate::clock;
use crate::config::instead;
use crate::error::{BrokerError, ErrorCode, Finding};
use crate::registry::{Parts, own, provider_config, store_failed};

impl Brokers {
    /// Asks the registry for the brokers of these tags, which no file names. Those that it knows only because programs have
    /// topics of them are as good as unknown.
    pub(super) async fn look_up(&mut self, tags: &[&str], store: &Store) -> Result<(), BrokerError> {
        let failed = |error| store_failed("can't ask the registry for the program's brokers", error);
        let registry = store.registry();
        let mut brokers = registry.brokers(&self.product).await.map_err(failed)?;
        brokers.retain(|broker| broker.source != Source::Program);
        for broker in brokers
            .iter()
            .filter(|broker| tags.contains(&broker.tag.as_str()))
        {
            let (tag, environment) = (&broker.tag, &self.environment);
            let found = if broker.envs.iter().any(|env| env.slug == *environment) {
                provider_config(store, &self.product, tag, environment).await?
            } else {
                let slugs = broker.envs.iter().map(|env| env.slug.as_str());
                let instead = instead(environment, slugs, "environments of this broker");
                let asked = environment.escape_debug();
                let message =
                    format!("broker `{tag}` of the registry has no environment `{asked}`; {instead}");
                Err(vec![Finding::new(ErrorCode::BrokerEnvNotFound, message)])
            };
            let first = |findings: Vec<Finding>| {
                let mut findings = findings.into_iter();
                let mut first = findings.next().unwrap_or_else(|| {
                    Finding::new(ErrorCode::ConfigInvalid, format!("broker `{tag}` can't be used"))
                });
                for finding in findings {
                    first.message = format!("{} | {}", first.message, finding.message);
                }
                first
            };
            let found: Result<ProviderConfig, Finding> = found.map_err(first);
            self.registered.insert(tag.clone(), found);
        }
        self.registered_tags = brokers.into_iter().map(|broker| broker.tag).collect();
        Ok(())
    }
}

/// What a program tells the registry, and what that would change.
pub(super) struct Planned {
    own: Own,
    /// A line for each thing that would be added or changed.
    pub(super) changes: Vec<String>,
}

impl Planned {
    /// What the finding is allowed by.
    const INCOMPATIBLE: &'static str = "schema-incompatible";

    /// Tells the registry what the program consists of, and the log what that changed.
    pub(super) async fn carry_out(mut self, wired: &Wired) -> Result<(), BrokerError> {
        let Some(store) = wired.context.wiring().store_if_any() else {
            return Ok(());
        };
        self.own.takes_incompatible = wired.allowed.has(Self::INCOMPATIBLE);
        let synced = store
            .registry()
            .sync(&wired.connected.product, &self.own, clock::wall())
            .await;
        let changed = synced
            .map_err(|error| store_failed("the program's topics can't be registered in the store", error))?;
        for change in changed {
            tracing::info!("{}", line(&change));
        }
        Ok(())
    }
}

/// What a change is, for people.
fn line(change: &Changed) -> String {
    if change.is == Source::File && change.was.is_some_and(|was| was == Source::Call) {
        return format!("{change}; the configuration file wins over what a call had registered");
    }
    change.to_string()
}

impl Blueprint {
    /// Asks the registry what telling it of the program would change; what it would refuse is found.
    pub(super) async fn plan(&self, wired: &mut Wired) -> Result<Planned, BrokerError> {
        let Some(store) = wired.context.wiring().store_if_any() else {
            let (own, changes) = (Own::default(), Vec::new());
            return Ok(Planned { own, changes });
        };
        let own = self.own(wired).await?;
        let product = &wired.connected.product;
        let planned = store.registry().plan(product, &own, clock::wall()).await;
        let planned = planned.map_err(|error| {
            store_failed(
                "what is registered in the store can't be compared with the program",
                error,
            )
        })?;
        let finding = |refused: &Refused| {
            let message = format!(
                "{refused}; write `version = …` in its #[topic] for a version beside that one, or change it so that it can follow"
            );
            Finding::new(ErrorCode::SchemaIncompatible, message).named(Planned::INCOMPATIBLE)
        };
        let found: Vec<Finding> = planned.refused.iter().map(finding).collect();
        let changes = planned.changed.iter().map(line).collect();
        wired.findings.extend(wired.allowed.sift(found));
        Ok(Planned { own, changes })
    }

    /// What the program consists of, as the registry takes it.
    async fn own(&self, wired: &Wired) -> Result<Own, BrokerError> {
        let connected = &wired.connected;
        let kind = |tag: &str| {
            connected
                .provider(tag)
                .map(|provider| provider.info_dyn().provider)
        };
        let consumers = wired.consumers.iter().filter(|run| !run.group.ephemeral);
        let tags = wired.topics.iter().map(|spec| spec.topic.event().broker());
        let parts = Parts {
            environment: connected.environment.clone(),
            config: connected.config.clone(),
            topics: self.topics.clone(),
            implied: tags
                .filter(|tag| !connected.registered.iter().any(|known| known == tag))
                .filter_map(|tag| Some((tag.to_owned(), kind(tag)?)))
                .collect(),
            consumers: consumers
                .map(|run| consumer_entry(run, &connected.environment))
                .collect(),
        };
        // Schemas and samples are made anew, which takes its time where there are many.
        let made = tokio::task::spawn_blocking(move || own::of(parts)).await;
        made.map_err(|error| {
            BrokerError::new(
                ErrorCode::StoreFailed,
                "what the program consists of was not gathered",
            )
            .with_source(error)
        })
    }
}

impl Ductape {
    /// Registers a consumer that was added while the program ran. What can't be registered now is no reason not to consume.
    pub(super) async fn register_consumer(&self, run: &ConsumerRun) {
        let wiring = self.context().wiring();
        let Some(store) = wiring.store_if_any().filter(|_| !run.group.ephemeral) else {
            return;
        };
        let own = Own {
            consumers: vec![consumer_entry(run, &wiring.environment)],
            ..Own::default()
        };
        match store.registry().sync(&wiring.product, &own, clock::wall()).await {
            Ok(changed) => changed.iter().for_each(|change| tracing::info!("{change}")),
            Err(error) => tracing::warn!(consumer = run.name, %error, "the consumer was not registered"),
        }
    }
}

/// A consumer as it is registered.
fn consumer_entry(run: &ConsumerRun, environment: &str) -> ConsumerEntry {
    let event = run.topic.event();
    ConsumerEntry {
        env: environment.to_owned(),
        broker: event.broker().to_owned(),
        topic: event.topic().to_owned(),
        version: run.topic.version().get(),
        tag: run.group.name.to_string(),
        name: run.name.clone(),
        description: None,
    }
}
