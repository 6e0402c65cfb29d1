//! Redis streams: two pipelines under way at one time; XREADGROUP and XACK in batches.

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{self, StreamExt as _};
use redis::aio::MultiplexedConnection;
use redis::streams::StreamReadReply;
use redis::{AsyncConnectionConfig, Client, Value};

use super::payloads;
use crate::Raw;

const PIPELINE: usize = 500;
const READ: usize = 256;

pub(crate) struct Redis {
    publishing: MultiplexedConnection,
    reading: MultiplexedConnection,
}

impl Redis {
    pub(crate) async fn connect(address: &str) -> Self {
        let client = Client::open(format!("redis://{address}/")).unwrap();
        let patient = AsyncConnectionConfig::new().set_response_timeout(None);
        Self {
            publishing: client.get_multiplexed_async_connection().await.unwrap(),
            reading: client
                .get_multiplexed_async_connection_with_config(&patient)
                .await
                .unwrap(),
        }
    }
}

impl Raw for Redis {
    fn declare<'a>(&'a self, name: &'a str) -> BoxFuture<'a, ()> {
        async move {
            let () = redis::cmd("XGROUP")
                .arg("CREATE")
                .arg(name)
                .arg("bench")
                .arg("$")
                .arg("MKSTREAM")
                .query_async(&mut self.publishing.clone())
                .await
                .unwrap();
        }
        .boxed()
    }

    fn publish<'a>(&'a self, name: &'a str, n: u64) -> BoxFuture<'a, ()> {
        async move {
            let mut payloads = payloads(n).map(|(_, payload)| payload);
            let pipelines = std::iter::from_fn(|| {
                let mut pipeline = redis::pipe();
                let mut len = 0;
                for payload in payloads.by_ref().take(PIPELINE) {
                    pipeline.cmd("XADD").arg(name).arg("*").arg("d").arg(payload);
                    len += 1;
                }
                (len > 0).then_some((pipeline, len))
            });
            let sent = pipelines.map(|(pipeline, len)| {
                let mut connection = self.publishing.clone();
                async move {
                    let ids: Vec<String> = pipeline.query_async(&mut connection).await.unwrap();
                    assert_eq!(ids.len(), len);
                }
            });
            stream::iter(sent).buffered(2).collect::<()>().await;
        }
        .boxed()
    }

    fn consume<'a>(&'a self, name: &'a str, n: u64, each: fn(&[u8])) -> BoxFuture<'a, ()> {
        async move {
            let mut left = n;
            while left > 0 {
                let reply: StreamReadReply = redis::cmd("XREADGROUP")
                    .arg("GROUP")
                    .arg("bench")
                    .arg("one")
                    .arg("COUNT")
                    .arg(READ)
                    .arg("BLOCK")
                    .arg(5_000)
                    .arg("STREAMS")
                    .arg(name)
                    .arg(">")
                    .query_async(&mut self.reading.clone())
                    .await
                    .unwrap();
                let mut ack = redis::cmd("XACK");
                ack.arg(name).arg("bench");
                for entry in reply.keys.iter().flat_map(|key| &key.ids) {
                    if let Some(Value::BulkString(payload)) = entry.map.get("d") {
                        each(payload);
                    }
                    ack.arg(&entry.id);
                    left -= 1;
                }
                if !reply.keys.is_empty() {
                    let _: u64 = ack.query_async(&mut self.publishing.clone()).await.unwrap();
                }
            }
        }
        .boxed()
    }

    fn publish_one<'a>(&'a self, name: &'a str, payload: Vec<u8>) -> BoxFuture<'a, ()> {
        async move {
            let _: String = redis::cmd("XADD")
                .arg(name)
                .arg("*")
                .arg("d")
                .arg(payload)
                .query_async(&mut self.publishing.clone())
                .await
                .unwrap();
        }
        .boxed()
    }
}
