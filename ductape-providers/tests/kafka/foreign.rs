//! Messages that something else put on the topic are delivered as what they are, and stop nothing.

use std::time::Duration;

use ductape_providers::{MessageId, Outgoing};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;

use crate::{ack, connect, declare, group, next, publish, subscribe, topic, variable};

#[tokio::test]
async fn records_of_others_come_with_an_id_of_their_own() {
    let Some(server) = variable("DUCTAPE_TEST_KAFKA") else {
        return;
    };
    let provider = connect(&server, json!({"partitions": 1})).await;
    let (topic, group) = (topic("foreign"), group("g"));
    declare(&provider, &topic, &[&group]).await.unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &server);
    let raw: FutureProducer = config.create().unwrap();
    let physical = topic.physical();
    let send = |payload: Option<&'static [u8]>, key: Option<&'static [u8]>, headers: Option<OwnedHeaders>| {
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&physical);
        (record.payload, record.key, record.headers) = (payload, key, headers);
        raw.send(record, Duration::from_secs(5))
    };
    let bad = OwnedHeaders::new()
        .insert(Header {
            key: "ce_id",
            value: Some(&b"\xff\xfe"[..]),
        })
        .insert(Header {
            key: "ce_time",
            value: Some(&b"not a time"[..]),
        })
        .insert(Header {
            key: "",
            value: None::<&[u8]>,
        })
        .insert(Header {
            key: "Content-Type",
            value: Some(&b"text/plain"[..]),
        })
        .insert(Header {
            key: "ductape-not-before",
            value: Some(&b"99999999999999999999999"[..]),
        });
    send(Some(b"no headers"), None, None).await.unwrap();
    send(None, Some(b"tombstone"), None).await.unwrap();
    send(Some(b"\xff\x00"), Some(b""), Some(bad)).await.unwrap();
    publish(&provider, Outgoing::new(topic.clone(), "ours"))
        .await
        .unwrap();

    let mut first = Vec::new();
    let mut subscription = subscribe(&provider, &topic, &group).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let delivery = next(&mut *subscription).await;
        first.push(delivery.message.clone());
        held.push(delivery);
    }
    let payloads: Vec<&[u8]> = first.iter().map(|message| &*message.payload).collect();
    assert_eq!(payloads, [b"no headers".as_slice(), b"", b"\xff\x00", b"ours"]);
    assert_eq!(first[1].key.as_deref(), Some(b"tombstone".as_slice()));
    assert!(first[0].published_at.is_some());
    assert_eq!(first[2].headers.get("content-type"), Some("text/plain"));
    let ids: Vec<MessageId> = first.iter().map(|message| message.id.clone()).collect();
    drop(held);
    subscription.close_dyn().await.unwrap();

    // They come again with the same ids.
    let mut subscription = subscribe(&provider, &topic, &group).await;
    for id in ids {
        let delivery = next(&mut *subscription).await;
        assert_eq!(ack(&*subscription, delivery).await.id, id);
    }
}

#[tokio::test]
async fn what_others_wrote_beside_an_offset_says_nothing() {
    use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
    let Some(server) = variable("DUCTAPE_TEST_KAFKA") else {
        return;
    };
    let provider = connect(&server, json!({"partitions": 1})).await;
    let (topic, group) = (topic("beside"), group("g"));
    declare(&provider, &topic, &[]).await.unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &server);
    config.set("group.id", format!("{}.g", topic.physical()));
    let raw: BaseConsumer = config.create().unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    let mut element = list.add_partition(&topic.physical(), 0);
    element.set_offset(rdkafka::Offset::Offset(0)).unwrap();
    element.set_metadata("another's, at 10:00; a=1");
    raw.commit(&list, CommitMode::Sync).unwrap();
    drop(raw);
    declare(&provider, &topic, &[&group]).await.unwrap();
    publish(&provider, Outgoing::new(topic.clone(), "1"))
        .await
        .unwrap();
    let mut subscription = subscribe(&provider, &topic, &group).await;
    let delivery = next(&mut *subscription).await;
    assert_eq!(delivery.message.delivery_count, None);
    ack(&*subscription, delivery).await;
}
