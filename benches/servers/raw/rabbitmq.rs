//! RabbitMQ: a durable quorum queue, 256 publishes and their confirms driven at once; acks with `multiple` for 100 at a
//! time.

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{self, StreamExt as _};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

use super::{attributes, payloads};
use crate::Raw;

const AT_ONCE: usize = 256;
const ACK: u64 = 100;

pub(crate) struct RabbitMq {
    consuming: Connection,
    publishing: Channel,
    headers: bool,
    _connection: Connection,
}

impl RabbitMq {
    pub(crate) async fn connect(address: &str, headers: bool) -> Self {
        let connect = async || {
            Connection::connect(address, ConnectionProperties::default())
                .await
                .unwrap()
        };
        let connection = connect().await;
        let publishing = connection.create_channel().await.unwrap();
        publishing
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .unwrap();
        Self {
            consuming: connect().await,
            publishing,
            headers,
            _connection: connection,
        }
    }

    async fn publish_payload(&self, name: &str, payload: &[u8], attributes: Option<[(String, String); 8]>) {
        let mut properties = BasicProperties::default().with_delivery_mode(2);
        if let Some(attributes) = attributes {
            let mut headers = FieldTable::default();
            for (name, value) in attributes {
                headers.insert(name.into(), AMQPValue::LongString(value.into()));
            }
            properties = properties.with_headers(headers);
        }
        let confirm = self
            .publishing
            .basic_publish(
                "".into(),
                name.into(),
                BasicPublishOptions::default(),
                payload,
                properties,
            )
            .await
            .unwrap();
        assert!(confirm.await.unwrap().is_ack());
    }
}

impl Raw for RabbitMq {
    fn declare<'a>(&'a self, name: &'a str) -> BoxFuture<'a, ()> {
        async move {
            let mut arguments = FieldTable::default();
            arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
            let options = QueueDeclareOptions {
                durable: true,
                ..QueueDeclareOptions::default()
            };
            self.publishing
                .queue_declare(name.into(), options, arguments)
                .await
                .unwrap();
        }
        .boxed()
    }

    fn publish<'a>(&'a self, name: &'a str, n: u64) -> BoxFuture<'a, ()> {
        async move {
            stream::iter((0..).zip(payloads(n)))
                .map(async |(at, (key, payload))| {
                    let attributes = self.headers.then(|| attributes("cloudEvents_", at, &key));
                    self.publish_payload(name, &payload, attributes).await;
                })
                .buffer_unordered(AT_ONCE)
                .collect::<()>()
                .await;
        }
        .boxed()
    }

    fn consume<'a>(&'a self, name: &'a str, n: u64, each: fn(&[u8])) -> BoxFuture<'a, ()> {
        async move {
            let channel = self.consuming.create_channel().await.unwrap();
            channel
                .basic_qos(1_000, BasicQosOptions::default())
                .await
                .unwrap();
            let mut consumer = channel
                .basic_consume(
                    name.into(),
                    "bench".into(),
                    BasicConsumeOptions::default(),
                    FieldTable::default(),
                )
                .await
                .unwrap();
            for i in 1..=n {
                let delivery = consumer.next().await.unwrap().unwrap();
                each(&delivery.data);
                if i % ACK == 0 || i == n {
                    delivery.ack(BasicAckOptions { multiple: true }).await.unwrap();
                }
            }
            channel.close(200, "done".into()).await.unwrap();
        }
        .boxed()
    }

    fn publish_one<'a>(&'a self, name: &'a str, payload: Vec<u8>) -> BoxFuture<'a, ()> {
        async move { self.publish_payload(name, &payload, None).await }.boxed()
    }
}
