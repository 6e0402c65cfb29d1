//! What a product has registered, as an `AsyncAPI` document.

use std::num::NonZeroU32;
use std::time::UNIX_EPOCH;

use ductape_providers::TopicName;
use ductape_providers::config::ProviderConfig;
use serde_json::Value;

use super::{Broker, Consumer, Messaging, RegisteredTopic, store_failed};
use crate::asyncapi::{Channel, Group, Info, Server, document};
use crate::clock;
use crate::error::BrokerError;
use crate::wiring::event_name;

impl Messaging<'_> {
    /// What all programs of the product have registered, as an [AsyncAPI 3.0](https://www.asyncapi.com/docs/reference/specification/v3.0.0)
    /// document: topics with their JSON Schemas and samples, those who consume them in the program's environment, and that
    /// environment's brokers, without secrets. [`Ductape::asyncapi`](crate::Ductape::asyncapi) is the same for one program.
    ///
    /// # Errors
    ///
    /// `STORE_FAILED`.
    pub async fn asyncapi(&self) -> Result<Value, BrokerError> {
        let environment = self.ductape.context().environment();
        let registry = self.registry()?;
        let since = clock::wall().checked_sub(super::IN_USE_FOR).unwrap_or(UNIX_EPOCH);
        let failed = |error| store_failed("the document was not made", error);
        let brokers = registry.brokers(&self.product).await.map_err(failed)?;
        let topics = registry.topics(&self.product, None).await.map_err(failed)?;
        let consumers = registry
            .consumers(&self.product, environment, None, since)
            .await
            .map_err(failed)?;
        let servers: Vec<Server> = brokers
            .iter()
            .filter_map(|broker| server(broker, environment))
            .collect();
        let mut channels = Vec::with_capacity(topics.len());
        for topic in topics {
            channels.push(channel(topic, &consumers)?);
        }
        let info = Info {
            title: self.product.clone(),
            version: "1.0.0".to_owned(),
            description: format!("Environment `{environment}`."),
        };
        Ok(document(&info, &servers, &channels))
    }
}

fn server(broker: &Broker, environment: &str) -> Option<Server> {
    let environment = broker.envs.iter().find(|env| env.slug == environment)?;
    let mut config = environment.config.clone();
    if let Some(fields) = config.as_object_mut() {
        fields.insert("type".to_owned(), environment.kind.as_str().into());
    }
    Some(match ProviderConfig::from_value(&config) {
        Ok(config) => Server::of(&broker.tag, &config),
        // Where it is depends on variables that only its programs have.
        Err(_) => Server::of_another(
            &broker.tag,
            protocol(&environment.kind),
            "as the environment's variables say",
        ),
    })
}

fn protocol(kind: &str) -> &'static str {
    match kind {
        "KAFKA" => "kafka",
        "RABBITMQ" => "amqp",
        "REDIS" => "redis",
        "AWS_SQS" => "sqs",
        "GOOGLE_PUBSUB" => "googlepubsub",
        "NATS" => "nats",
        _ => "embedded",
    }
}

fn channel(topic: RegisteredTopic, consumers: &[Consumer]) -> Result<Channel, BrokerError> {
    let version = NonZeroU32::new(topic.version).unwrap_or(NonZeroU32::MIN);
    let name = TopicName::new(event_name(&topic.tag)?, version);
    let groups = consumers
        .iter()
        .filter(|consumer| consumer.event == topic.tag && consumer.version == topic.version)
        .map(|consumer| Group {
            name: consumer.tag.clone(),
            consumer: consumer.name.clone(),
        });
    Ok(Channel {
        groups: groups.collect(),
        address: name.physical(),
        topic: name,
        title: topic.name,
        description: topic.description.unwrap_or_default(),
        schema: topic.schema,
        sample: topic.sample,
        key: None,
        is_produced: true,
    })
}
