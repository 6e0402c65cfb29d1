//! A topic as a connection knows it, and how it is looked for on the server.

use std::sync::Arc;

use async_nats::Subject;
use async_nats::jetstream::consumer;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error;
use super::names::{Names, takes};
use super::provider::Nats;
use crate::config::Declare;
use crate::error::{Error, ErrorKind, Result};
use crate::message::TopicName;
use crate::provider::Durability;

/// A topic that exists.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: TopicName,
    pub(super) names: Names,
    pub(super) subject: Subject,
    /// The stream that takes the subject.
    pub(super) stream: String,
    pub(super) durability: Durability,
}

#[derive(Deserialize)]
struct StreamNames {
    #[serde(default)]
    streams: Option<Vec<String>>,
}

impl Nats {
    /// A request of JetStream's API.
    pub(super) async fn api<T: DeserializeOwned>(&self, request: &str, body: &Value) -> Result<T> {
        if self.is_closed() {
            return Err(error::closed());
        }
        if !self.link().up_within(super::provider::API_WITHIN).await {
            return Err(if self.link().now().over {
                error::gone(self.client())
            } else {
                error::down()
            });
        }
        let subject = format!("$JS.API.{request}");
        let answer = self.link().unless_denied(
            &subject,
            self.jetstream()
                .request::<_, _, Response<T>>(request.to_owned(), body),
        );
        match answer.await {
            None => Err(error::denied(&subject)),
            Some(Ok(Response::Ok(answer))) => Ok(answer),
            Some(Ok(Response::Err { error })) => Err(error::of_api(&error)),
            Some(Err(error)) => Err(error::of_request(&error)),
        }
    }

    /// The stream that takes `subject`.
    pub(super) async fn stream_of(&self, subject: &str) -> Result<Option<String>> {
        let names: StreamNames = self.api("STREAM.NAMES", &json!({"subject": subject})).await?;
        Ok(names.streams.and_then(|names| names.into_iter().next()))
    }

    /// What the server says of a stream; `None` when it is not there.
    pub(super) async fn stream_info(&self, stream: &str) -> Result<Option<stream::Info>> {
        found(self.api(&format!("STREAM.INFO.{stream}"), &json!({})).await)
    }

    /// What the server says of a consumer; `None` when it is not there.
    pub(super) async fn consumer_info(&self, stream: &str, consumer: &str) -> Result<Option<consumer::Info>> {
        found(
            self.api(&format!("CONSUMER.INFO.{stream}.{consumer}"), &json!({}))
                .await,
        )
    }

    /// How many messages stand under the subjects that `filter` takes.
    pub(super) async fn count(&self, stream: &str, filter: &str) -> Result<u64> {
        // A page has at most 100,000 subjects.
        let (mut sum, mut offset) = (0, 0);
        loop {
            let body = json!({"subjects_filter": filter, "offset": offset});
            let info: Value = self.api(&format!("STREAM.INFO.{stream}"), &body).await?;
            let subjects = info["state"]["subjects"].as_object();
            let page = subjects.map_or(0, serde_json::Map::len);
            sum += subjects
                .into_iter()
                .flat_map(serde_json::Map::values)
                .filter_map(Value::as_u64)
                .sum::<u64>();
            offset += page;
            if page == 0 || info["total"].as_u64().is_none_or(|total| total <= offset as u64) {
                return Ok(sum);
            }
        }
    }

    /// The topic, as this connection declared it, or as it is found on the server.
    pub(super) async fn topic(&self, name: &TopicName) -> Result<Arc<Topic>> {
        if let Some(topic) = self.known(name) {
            return Ok(topic);
        }
        let names = Names::new(name, None)?;
        if self.declares() == Declare::Off {
            return Ok(self.learn(Topic {
                stream: names.stream.clone(),
                durability: Durability::Buffered,
                subject: names.subject.clone().into(),
                name: name.clone(),
                names,
            }));
        }
        let Some(stream) = self.stream_of(&names.subject).await? else {
            return Err(missing(name, &names));
        };
        // A stream of all topics of a broker takes any; what was declared left its mark.
        if self.declares() == Declare::Create && self.count(&stream, &names.mark()).await? == 0 {
            return Err(missing(name, &names));
        }
        let Some(info) = self.stream_info(&stream).await? else {
            return Err(missing(name, &names));
        };
        Ok(self.learn(Topic::in_stream(name, names, &info.config)))
    }

    /// Whether the topic's stream is there, when nobody takes its messages.
    pub(super) async fn is_there(&self, topic: &Topic) -> Result<()> {
        if self.stream_of(&topic.names.subject).await?.is_some() {
            return Ok(());
        }
        self.forget(&topic.name);
        Err(missing(&topic.name, &topic.names))
    }
}

impl Topic {
    pub(super) fn in_stream(name: &TopicName, names: Names, config: &stream::Config) -> Self {
        Self {
            name: name.clone(),
            subject: names.subject.clone().into(),
            names,
            stream: config.name.clone(),
            durability: match config.storage {
                stream::StorageType::Memory => Durability::BrokerMemory,
                stream::StorageType::File if config.num_replicas > 1 => Durability::Replicated,
                // A server writes to its file system's cache, and syncs every two minutes unless `sync_interval` is set.
                stream::StorageType::File => Durability::Buffered,
            },
        }
    }
}

/// `None` in place of the error that it is not there.
fn found<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), ErrorKind::TopicMissing | ErrorKind::GroupMissing) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a stream takes all that a topic needs; which it does not, if not.
pub(super) fn untaken(config: &stream::Config, needed: &[String]) -> Option<String> {
    needed
        .iter()
        .find(|subject| !config.subjects.iter().any(|pattern| takes(pattern, subject)))
        .cloned()
}

pub(super) fn missing(name: &TopicName, names: &Names) -> Error {
    let text = format!(
        "no stream takes the subject `{}`, or the topic was not declared there; declare it first",
        names.subject
    );
    Error::new(ErrorKind::TopicMissing, text)
        .with("topic", name)
        .with("provider", "nats")
}
