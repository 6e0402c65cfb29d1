//! From the configuration to the client's settings and the names on the broker.

use std::num::NonZeroUsize;
use std::time::Duration;

use ductape_schema::GroupName;

use crate::capability::{Capability, Order, Requeue};
use crate::config::{
    BrokerUrl, Declare, PubSubConfig, PubSubCredentials, check_resource_id, pubsub_endpoint,
};
use crate::error::{Error, ErrorKind, Result};
use crate::message::TopicName;
use crate::provider::Durability;

/// The most that one message may have, attributes included: <https://cloud.google.com/pubsub/quotas>.
pub(super) const MESSAGE_BYTES_MAX: usize = 10_000_000;
/// The room of it that is kept for attributes and the frame of a request.
const ATTRIBUTES_ROOM: usize = 64 * 1024;
/// The most messages in one publish request.
pub(super) const PUBLISH_BATCH_MAX: usize = 1_000;
/// How long a publish is tried again.
pub(super) const PUBLISH_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a copy for one group may wait, held by a process that reads them.
pub(super) const GROUP_DELAY_MAX: Duration = Duration::from_hours(24);
/// How long the subscription of an ephemeral group outlives its process; the least that Pub/Sub takes.
pub(super) const EPHEMERAL_TTL: Duration = Duration::from_hours(24);
/// The variable that names an emulator, as Google's other clients read it.
const EMULATOR_VARIABLE: &str = "PUBSUB_EMULATOR_HOST";

/// What the configuration says, with what the environment adds.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) project: String,
    pub(super) topic_name: Option<String>,
    pub(super) subscription_name: Option<String>,
    pub(super) credentials: Option<PubSubCredentials>,
    pub(super) declare: Declare,
    /// Where to ask instead of Google.
    pub(super) endpoint: Option<BrokerUrl>,
    /// Whether the endpoint is an emulator: unencrypted, and asked without credentials.
    pub(super) anonymous: bool,
}

impl Settings {
    /// Reads `PUBSUB_EMULATOR_HOST` where the configuration names no endpoint.
    pub(super) fn new(config: &PubSubConfig) -> Result<Self> {
        let variable = std::env::var(EMULATOR_VARIABLE)
            .ok()
            .filter(|host| !host.is_empty());
        Self::with_variable(config, variable.as_deref())
    }

    fn with_variable(config: &PubSubConfig, variable: Option<&str>) -> Result<Self> {
        let (endpoint, anonymous) = match (&config.endpoint, variable) {
            (Some(endpoint), _) => {
                let plain = endpoint.scheme() == "http";
                (Some(endpoint.clone()), plain && config.credentials.is_none())
            }
            (None, Some(host)) => {
                let endpoint = pubsub_endpoint(host).map_err(|message| {
                    let text = format!("the variable {EMULATOR_VARIABLE} {message}");
                    Error::new(ErrorKind::ConfigInvalid, text).with("provider", "pubsub")
                })?;
                (Some(endpoint), true)
            }
            (None, None) => (None, false),
        };
        Ok(Self {
            project: config.project_id.clone(),
            topic_name: config.topic_name.clone(),
            subscription_name: config.subscription_name.clone(),
            credentials: config.credentials.clone(),
            declare: config.declare,
            endpoint,
            anonymous,
        })
    }

    /// Where it is, for people.
    pub(super) fn address(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("projects/{} at {endpoint}", self.project),
            None => format!("projects/{} at pubsub.googleapis.com", self.project),
        }
    }

    /// What a confirmation stands for: an emulator keeps messages in its memory.
    pub(super) const fn durability(&self) -> Durability {
        if self.anonymous {
            Durability::BrokerMemory
        } else {
            Durability::Replicated
        }
    }

    pub(super) fn capability(&self) -> Capability {
        let mut capability = Capability::least(MESSAGE_BYTES_MAX - ATTRIBUTES_ROOM);
        capability.order = Order::PerKey;
        capability.requeue = Requeue::Immediate;
        capability.groups = true;
        capability.ephemeral_groups = true;
        capability.route_to_group = true;
        capability.persistent = !self.anonymous;
        capability.group_delay_max = Some(GROUP_DELAY_MAX);
        capability.publish_batch_max = NonZeroUsize::MIN.saturating_add(PUBLISH_BATCH_MAX - 1);
        capability.receive_batch_max = NonZeroUsize::MIN.saturating_add(999);
        capability
    }

    fn path(&self, kind: &str, id: &str) -> String {
        format!("projects/{}/{kind}/{id}", self.project)
    }

    /// The full name of a topic.
    pub(super) fn topic_path(&self, id: &str) -> String {
        self.path("topics", id)
    }

    /// The full name of a subscription.
    pub(super) fn subscription_path(&self, id: &str) -> String {
        self.path("subscriptions", id)
    }

    /// The topic that carries `base`, which is a topic's own name: the shared one, or its own.
    pub(super) fn topic_id<'a>(&'a self, base: &'a str) -> &'a str {
        self.topic_name.as_deref().unwrap_or(base)
    }

    /// Which messages of a shared topic are `topic`'s: those of its type, and those without a type, which other producers
    /// send. `None` where each topic has its own.
    pub(super) fn type_filter(&self, topic: &TopicName) -> Option<String> {
        self.topic_name.as_ref()?;
        let event = topic.event();
        Some(format!(
            r#"attributes.ce-type = "{event}" OR NOT attributes:ce-type"#
        ))
    }
}

/// The name of the topic of what is sent to `group` alone, and of its subscription.
pub(super) fn retry_id(base: &str, group: &GroupName) -> String {
    format!("{base}.{group}.retry")
}

/// The name of the topic of the dead letters of `group`, and of its subscription.
pub(super) fn dead_letters_id(base: &str, group: &GroupName) -> String {
    format!("{base}.{group}.dlq")
}

/// Refuses what Pub/Sub has no name for.
pub(super) fn check_id(id: &str) -> Result<()> {
    check_resource_id(id)
        .map_err(|message| Error::new(ErrorKind::ConfigInvalid, message).with("provider", "pubsub"))
}

/// What the broker will be able to do, as far as that is known without connecting.
pub(crate) fn capability(config: &PubSubConfig) -> Capability {
    let settings = Settings::new(config).or_else(|_| Settings::with_variable(config, None));
    settings.map_or_else(|_| Capability::least(0), |settings| settings.capability())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Settings;
    use crate::config::{ProviderConfig, PubSubConfig};
    use crate::error::ErrorKind;
    use crate::provider::Durability;

    fn config(fields: &Value) -> PubSubConfig {
        let mut all = json!({"type": "GOOGLE_PUBSUB", "projectId": "shop"});
        for (name, value) in fields.as_object().unwrap() {
            all[name] = value.clone();
        }
        match ProviderConfig::from_value(&all).unwrap() {
            ProviderConfig::PubSub(config) => config,
            other => panic!("{other:?}"),
        }
    }

    fn settings(fields: &Value, variable: Option<&str>) -> Settings {
        Settings::with_variable(&config(fields), variable).unwrap()
    }

    #[test]
    fn the_emulator_is_named_by_the_endpoint_or_else_by_the_variable() {
        let google = settings(&json!({}), None);
        assert_eq!(google.address(), "projects/shop at pubsub.googleapis.com");
        assert_eq!(
            (google.anonymous, google.durability()),
            (false, Durability::Replicated)
        );
        assert!(google.capability().persistent);

        let named = settings(&json!({}), Some("localhost:8085"));
        assert_eq!(named.address(), "projects/shop at http://localhost:8085");
        assert_eq!(
            (named.anonymous, named.durability()),
            (true, Durability::BrokerMemory)
        );
        assert!(!named.capability().persistent);

        let configured = settings(&json!({"endpoint": "127.0.0.1:1"}), Some("localhost:8085"));
        assert_eq!(configured.address(), "projects/shop at http://127.0.0.1:1");

        let with_key = settings(&json!({"endpoint": "127.0.0.1:1", "keyFilename": "k"}), None);
        assert!(!with_key.anonymous, "a key that is given is used");
        let private = settings(&json!({"endpoint": "https://pubsub.eu.example.com"}), None);
        assert!(!private.anonymous, "what is encrypted is no emulator");
    }

    #[test]
    fn a_variable_that_is_no_address_is_named() {
        let error = Settings::with_variable(&config(&json!({})), Some("http://")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
        assert!(error.to_string().contains("PUBSUB_EMULATOR_HOST"), "{error}");
    }

    #[test]
    fn topics_that_share_one_are_told_apart_by_their_type() {
        let topic = crate::TopicName::new("shop:orders".parse().unwrap(), std::num::NonZeroU32::MIN);
        let own = settings(&json!({}), None);
        assert_eq!(
            (own.topic_id("shop.orders"), own.type_filter(&topic)),
            ("shop.orders", None)
        );
        let shared = settings(&json!({"topicName": "all"}), None);
        assert_eq!(shared.topic_id("shop.orders"), "all");
        assert_eq!(
            shared.type_filter(&topic).unwrap(),
            r#"attributes.ce-type = "shop:orders" OR NOT attributes:ce-type"#
        );
        assert_eq!(shared.topic_path("all"), "projects/shop/topics/all");
    }
}
