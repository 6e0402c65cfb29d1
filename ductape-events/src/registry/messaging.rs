//! Brokers of the registry, and messages by the names of their topics.

use std::time::Duration;

use ductape_providers::GroupName;
use ductape_store::registry::{self, BrokerEntry, EnvironmentEntry, Registry, Source};
use serde_json::Value;

use super::check::Check;
use super::error::refused;
use super::input::{BrokerChange, BrokerEnv, NewBroker};
use super::{Broker, Topics, secrets, store_failed};
use crate::clock;
use crate::config::instead;
use crate::consumer::HandlerError;
use crate::error::{BrokerError, ErrorCode};
use crate::produce::{self, ProduceOptions, ProduceReceipt};
use crate::runtime::Ductape;
use crate::tracking::Messages;

/// How long a broker counts as in use after a program that consumes from it was built: 7 days.
pub const IN_USE_FOR: Duration = Duration::from_hours(7 * 24);

/// Brokers, topics and messages by their names: what [`Ductape::messaging`] answers.
///
/// ```
/// use ductape_events::prelude::*;
/// use ductape_events::registry::{BrokerEnv, BrokerType, NewBroker, NewTopic};
/// use ductape_events::store::StoreUrl;
/// # use ductape_events::__private::serde_json;
/// use serde_json::json;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), BrokerError> {
/// let builder = Ductape::builder().without_inventory().in_process().environment("prd");
/// let ductape = builder.store(StoreUrl::memory()).build().await?;
/// let messaging = ductape.messaging();
///
/// messaging
///     .create(NewBroker {
///         tag: "order-events".into(),
///         name: "Order Events".into(),
///         envs: vec![
///             BrokerEnv::new("prd", BrokerType::Kafka, json!({
///                 "brokers": ["kafka.example.com:9092"], "clientId": "orders", "ssl": true,
///                 "sasl": { "mechanism": "scram-sha-256", "username": "orders", "password": "${KAFKA_PASSWORD}" },
///             })),
///             BrokerEnv::new("dev", BrokerType::Redis, json!({ "host": "localhost" })),
///         ],
///         ..NewBroker::default()
///     })
///     .await?;
/// for broker in messaging.list().await? {
///     println!("{}: {}", broker.tag, broker.name);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Messaging<'a> {
    pub(crate) ductape: &'a Ductape,
    pub(crate) product: String,
}

impl Ductape {
    /// The brokers and topics of the registry, and messages by the names of their topics.
    pub fn messaging(&self) -> Messaging<'_> {
        Messaging {
            ductape: self,
            product: self.context().product().to_owned(),
        }
    }
}

impl<'a> Messaging<'a> {
    /// The brokers and topics of another product of the same store. What is produced and consumed stays the program's own.
    #[must_use]
    pub fn of_product(&self, product: impl Into<String>) -> Self {
        Self {
            ductape: self.ductape,
            product: product.into(),
        }
    }

    /// The topics of the registry.
    pub fn topics(&self) -> Topics<'a> {
        Topics::new(self.clone())
    }

    /// The history of messages.
    pub fn messages(&self) -> Messages<'a> {
        Messages::new(self.clone())
    }

    /// Creates a broker. A program uses it from its next start on, when its configuration names no broker of this tag.
    ///
    /// # Errors
    ///
    /// `CONFIG_INVALID` with everything that is wrong with it ([`BrokerError::findings`]), or when it holds a secret and the store
    /// has no key; `ALREADY_EXISTS`; `STORE_FAILED`.
    pub async fn create(&self, broker: NewBroker) -> Result<Broker, BrokerError> {
        let what = format!("broker `{}` was not created", broker.tag.escape_debug());
        let mut check = Check::default();
        check.tag("tag", &broker.tag);
        check.name(&broker.name);
        check.description(broker.description.as_deref());
        if broker.envs.is_empty() {
            check.find("envs: is empty; write at least one environment");
        }
        check.environments(&broker.envs);
        check.end(&what)?;
        let entry = BrokerEntry {
            tag: broker.tag,
            name: Some(broker.name),
            description: broker.description,
            envs: broker.envs.iter().map(entry).collect(),
            source: Source::Call,
        };
        for env in &entry.envs {
            check_hidden(env, &what)?;
        }
        let created = self
            .registry()?
            .create_broker(&self.product, &entry, clock::wall())
            .await;
        created.map_err(|error| refused(&what, ErrorCode::BrokerNotFound, error))
    }

    /// The brokers of the product, in the order of their tags.
    ///
    /// # Errors
    ///
    /// `STORE_FAILED`.
    pub async fn list(&self) -> Result<Vec<Broker>, BrokerError> {
        let listed = self.registry()?.brokers(&self.product).await;
        listed.map_err(|error| store_failed("the brokers were not listed", error))
    }

    /// A broker; `None` when there is none of this tag.
    ///
    /// # Errors
    ///
    /// `STORE_FAILED`.
    pub async fn fetch(&self, tag: &str) -> Result<Option<Broker>, BrokerError> {
        let fetched = self.registry()?.broker(&self.product, tag).await;
        fetched.map_err(|error| store_failed("the broker was not fetched", error))
    }

    /// Changes a broker. Programs that run go on as they are, and use it as it is then from their next start on.
    ///
    /// # Errors
    ///
    /// `BROKER_NOT_FOUND` with what there is instead, and those of [`create`](Self::create).
    pub async fn update(&self, tag: &str, change: BrokerChange) -> Result<Broker, BrokerError> {
        let what = format!("broker `{}` was not changed", tag.escape_debug());
        let mut check = Check::default();
        if let Some(name) = &change.name {
            check.name(name);
        }
        check.description(change.description.as_deref());
        check.environments(&change.envs);
        check.end(&what)?;
        let registry = self.registry()?;
        let mut envs: Vec<EnvironmentEntry> = change.envs.iter().map(entry).collect();
        for env in &mut envs {
            let kept = registry.resolve(&self.product, tag, &env.slug).await;
            if let Some(kept) = kept.map_err(|error| store_failed(&what, error))? {
                keep_hidden(env, &kept.config);
            }
            check_hidden(env, &what)?;
        }
        let change = registry::BrokerChange {
            name: change.name,
            description: change.description,
            envs,
            without_envs: change.without_envs,
        };
        let updated = registry
            .update_broker(&self.product, tag, &change, clock::wall())
            .await;
        match updated.map_err(|error| refused(&what, ErrorCode::BrokerNotFound, error))? {
            Some(broker) => Ok(broker),
            None => Err(self.no_broker(tag).await?),
        }
    }

    /// Deletes a broker with its environments, its topics and their consumers. What was tracked of its messages stays.
    ///
    /// # Errors
    ///
    /// `BROKER_NOT_FOUND` with what there is instead; `CONFIG_INVALID` when it is in use: this program has topics of it, or a
    /// program that consumes from it was built within [`IN_USE_FOR`]; `STORE_FAILED`.
    pub async fn delete(&self, tag: &str) -> Result<(), BrokerError> {
        let what = format!("broker `{}` was not deleted", tag.escape_debug());
        let wiring = self.ductape.context().wiring();
        if self.product == wiring.product && wiring.has_own_topics_of(tag) {
            let text =
                format!("{what}: this program has topics of it, and would put it in again at its next start");
            return Err(BrokerError::new(ErrorCode::ConfigInvalid, text));
        }
        let since = clock::wall()
            .checked_sub(IN_USE_FOR)
            .unwrap_or(std::time::UNIX_EPOCH);
        let deleted = self.registry()?.delete_broker(&self.product, tag, since).await;
        if deleted.map_err(|error| refused(&what, ErrorCode::BrokerNotFound, error))? {
            return Ok(());
        }
        Err(self.no_broker(tag).await?)
    }

    /// Publishes an event by its name, from JSON. The topic is one of the program's own, or one of the registry, whose broker is
    /// connected to when it is first asked for. What does not fit its schema, if it has one, is refused. What the registry says
    /// of a topic is read once, and again after [`Topics::update`].
    ///
    /// # Errors
    ///
    /// `EVENT_NAME_INVALID`, `TOPIC_NOT_FOUND`, `BROKER_NOT_FOUND`, `BROKER_ENV_NOT_FOUND`, `CONNECTION_FAILED`, and those of
    /// [`Context::produce_json`](crate::Context::produce_json).
    pub async fn produce(&self, event: &str, message: &Value) -> Result<ProduceReceipt, BrokerError> {
        self.produce_with(event, message, ProduceOptions::default()).await
    }

    /// The same, otherwise than usual: on behalf of a session, with a key or an id of its own, with headers, later.
    ///
    /// # Errors
    ///
    /// Those of [`produce`](Self::produce), and `SESSION_INVALID`.
    pub async fn produce_with(
        &self,
        event: &str,
        message: &Value,
        options: ProduceOptions,
    ) -> Result<ProduceReceipt, BrokerError> {
        self.ready(event).await?;
        produce::json(event, message, options, self.ductape.context()).await
    }

    /// Consumes a topic by its name, as JSON, until the program ends, in the group that is called as the product is. With
    /// [`Ductape::consume`] the group has a name of its own.
    ///
    /// # Errors
    ///
    /// Those of [`Ductape::consume`], and those of [`produce`](Self::produce) about brokers.
    pub async fn consume<F, Fut>(&self, event: &str, callback: F) -> Result<(), BrokerError>
    where
        F: Fn(Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        self.ready(event).await?;
        let product = self.ductape.context().product();
        let group = if GroupName::check(product).is_ok() {
            product
        } else {
            "app"
        };
        self.ductape.consume(event, group, callback).await
    }

    pub(super) fn registry(&self) -> Result<Registry<'a>, BrokerError> {
        Ok(self.ductape.context().wiring().store("the registry")?.registry())
    }

    /// What is answered for a broker that is not there.
    pub(super) async fn no_broker(&self, tag: &str) -> Result<BrokerError, BrokerError> {
        let brokers = self.list().await?;
        let instead = instead(tag, brokers.iter().map(|broker| broker.tag.as_str()), "brokers");
        let text = format!("no broker `{}`; {instead}", tag.escape_debug());
        Ok(BrokerError::new(ErrorCode::BrokerNotFound, text).with("product", &self.product))
    }
}

fn entry(env: &BrokerEnv) -> EnvironmentEntry {
    let (config, secrets) = secrets::split(&env.config);
    EnvironmentEntry {
        slug: env.slug.clone(),
        kind: env.kind.as_str().to_owned(),
        config,
        secrets,
    }
}

/// Puts the secrets that are kept in place of those that were given back hidden.
fn keep_hidden(env: &mut EnvironmentEntry, kept: &Value) {
    for pointer in secrets::hidden(&env.config) {
        let (secret, shown) = (kept.pointer(&pointer), env.config.pointer(&pointer));
        if let (Some(secret), None) = (secret, env.secrets.get(&pointer))
            && secrets::shows_as(secret, shown)
        {
            env.secrets.insert(pointer, secret.clone());
        }
    }
}

/// Refuses what is hidden and stands for no secret that is kept.
fn check_hidden(env: &EnvironmentEntry, what: &str) -> Result<(), BrokerError> {
    let mut check = Check::default();
    for pointer in secrets::hidden(&env.config) {
        if env.secrets.get(&pointer).is_none() {
            let key = pointer.trim_start_matches('/').replace('/', ".");
            check.find(format!(
                "envs.{}.config.{key}: is hidden, and there is no secret that it stands for; write the secret, or `${{VARIABLE}}`",
                env.slug
            ));
        }
    }
    check.end(what)
}
