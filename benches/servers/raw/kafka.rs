//! Kafka: acks=all with the idempotent producer, everything in flight; batched fetches, offsets stored and committed by
//! a timer.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::{attributes, payloads};
use crate::Raw;

const PARTITIONS: i32 = 4;

pub(crate) struct Kafka {
    config: ClientConfig,
    producer: FutureProducer,
    headers: bool,
}

impl Kafka {
    pub(crate) fn connect(address: &str, headers: bool) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", address);
        let mut producer = config.clone();
        producer.set("acks", "all").set("enable.idempotence", "true");
        Self {
            producer: producer.create().unwrap(),
            config,
            headers,
        }
    }
}

impl Raw for Kafka {
    fn declare<'a>(&'a self, name: &'a str) -> BoxFuture<'a, ()> {
        async move {
            let admin: AdminClient<_> = self.config.create().unwrap();
            let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1));
            let made = admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
            made[0].as_ref().unwrap();
        }
        .boxed()
    }

    fn publish<'a>(&'a self, name: &'a str, n: u64) -> BoxFuture<'a, ()> {
        async move {
            let mut confirms = Vec::new();
            for (at, (key, payload)) in (0..).zip(payloads(n)) {
                let mut record = FutureRecord::to(name).key(&key).payload(&payload);
                if self.headers {
                    let mut headers = OwnedHeaders::new_with_capacity(8);
                    for (name, value) in attributes("ce_", at, &key) {
                        let value = Some(value.as_str());
                        headers = headers.insert(Header {
                            key: name.as_str(),
                            value,
                        });
                    }
                    record = record.headers(headers);
                }
                loop {
                    match self.producer.send_result(record) {
                        Ok(confirm) => {
                            confirms.push(confirm);
                            break;
                        }
                        Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                            record = back;
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                        Err((error, _)) => panic!("{error}"),
                    }
                }
            }
            for confirmed in join_all(confirms).await {
                confirmed.unwrap().unwrap();
            }
        }
        .boxed()
    }

    fn consume<'a>(&'a self, name: &'a str, n: u64, each: fn(&[u8])) -> BoxFuture<'a, ()> {
        async move {
            let consumer: StreamConsumer = self
                .config
                .clone()
                .set("group.id", name)
                .set("auto.offset.reset", "earliest")
                .set("enable.auto.offset.store", "false")
                .set("enable.auto.commit", "true")
                .create()
                .unwrap();
            consumer.subscribe(&[name]).unwrap();
            let mut next = [0_i64; PARTITIONS as usize];
            for _ in 0..n {
                let message = consumer.recv().await.unwrap();
                each(message.payload().unwrap());
                next[usize::try_from(message.partition()).unwrap()] = message.offset() + 1;
            }
            let mut offsets = TopicPartitionList::new();
            for (partition, next) in next.into_iter().enumerate() {
                let partition = i32::try_from(partition).unwrap();
                offsets
                    .add_partition_offset(name, partition, Offset::Offset(next))
                    .unwrap();
            }
            tokio::task::spawn_blocking(move || consumer.commit(&offsets, CommitMode::Sync).unwrap())
                .await
                .unwrap();
        }
        .boxed()
    }

    fn publish_one<'a>(&'a self, name: &'a str, payload: Vec<u8>) -> BoxFuture<'a, ()> {
        async move {
            let record = FutureRecord::<(), _>::to(name).payload(&payload);
            self.producer.send(record, Duration::from_secs(5)).await.unwrap();
        }
        .boxed()
    }
}
