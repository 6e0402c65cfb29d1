//! NATS JetStream: 1,000 publish acks in flight; fetches of 1,000, each message acked.

use async_nats::jetstream::{self, consumer::pull, stream};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::{attributes, payloads};
use crate::Raw;

const IN_FLIGHT: usize = 1_000;
const FETCH: usize = 1_000;

pub(crate) struct Nats {
    context: jetstream::Context,
    headers: bool,
}

impl Nats {
    pub(crate) async fn connect(address: &str, headers: bool) -> Self {
        let client = async_nats::connect(address).await.unwrap();
        Self {
            context: jetstream::new(client),
            headers,
        }
    }
}

impl Raw for Nats {
    fn declare<'a>(&'a self, name: &'a str) -> BoxFuture<'a, ()> {
        async move {
            let stream = self
                .context
                .create_stream(stream::Config {
                    name: name.to_owned(),
                    subjects: vec![name.to_owned()],
                    storage: stream::StorageType::File,
                    ..stream::Config::default()
                })
                .await
                .unwrap();
            stream
                .create_consumer(pull::Config {
                    durable_name: Some("bench".to_owned()),
                    max_ack_pending: 10_000,
                    ..pull::Config::default()
                })
                .await
                .unwrap();
        }
        .boxed()
    }

    fn publish<'a>(&'a self, name: &'a str, n: u64) -> BoxFuture<'a, ()> {
        async move {
            let mut acks = FuturesUnordered::new();
            for (at, (key, payload)) in (0..).zip(payloads(n)) {
                let mut message = jetstream::message::PublishMessage::build().payload(Bytes::from(payload));
                if self.headers {
                    for (name, value) in attributes("ce-", at, &key) {
                        message = message.header(name.as_str(), value.as_str());
                    }
                    message = message.message_id(format!("{name}:019ab2f0-7c00-7000-8000-{at:012x}"));
                }
                let ack = self.context.send_publish(name.to_owned(), message).await.unwrap();
                acks.push(ack.into_future());
                if acks.len() >= IN_FLIGHT {
                    acks.next().await.unwrap().unwrap();
                }
            }
            while let Some(acked) = acks.next().await {
                acked.unwrap();
            }
        }
        .boxed()
    }

    fn consume<'a>(&'a self, name: &'a str, n: u64, each: fn(&[u8])) -> BoxFuture<'a, ()> {
        async move {
            let consumer: jetstream::consumer::PullConsumer = self
                .context
                .get_consumer_from_stream("bench", name)
                .await
                .unwrap();
            let mut messages = consumer
                .stream()
                .max_messages_per_batch(FETCH)
                .messages()
                .await
                .unwrap();
            for _ in 0..n {
                let message = messages.next().await.unwrap().unwrap();
                each(&message.payload);
                message.ack().await.unwrap();
            }
            self.context.client().flush().await.unwrap();
        }
        .boxed()
    }

    fn publish_one<'a>(&'a self, name: &'a str, payload: Vec<u8>) -> BoxFuture<'a, ()> {
        async move {
            let ack = self
                .context
                .publish(name.to_owned(), Bytes::from(payload))
                .await
                .unwrap();
            ack.await.unwrap();
        }
        .boxed()
    }
}
