//! Each field of the configuration has its effect.

use std::num::NonZeroUsize;
use std::time::Duration;

use ductape_providers::config::ProviderConfig;
use ductape_providers::{ErrorKind, Outgoing};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::groups::GroupMemberInfo;
use serde_json::json;

use crate::{
    PASSWORD, ack, connect, declare, group, next, publish, read, round_trip, shape, silent, subscribe, topic,
    unique, variable,
};

fn raw(server: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", server);
    config.create().unwrap()
}

fn partitions(server: &str, topic: &str) -> usize {
    let metadata = raw(server)
        .fetch_metadata(Some(topic), Duration::from_secs(5))
        .unwrap();
    metadata.topics()[0].partitions().len()
}

#[tokio::test]
async fn every_mechanism_logs_in() {
    let Some(server) = variable("DUCTAPE_TEST_KAFKA_SASL") else {
        return;
    };
    for mechanism in ["plain", "scram-sha-256", "scram-sha-512"] {
        let sasl = json!({"sasl": {"mechanism": mechanism, "username": "ductape", "password": PASSWORD}});
        let provider = connect(&server, sasl).await;
        round_trip(&provider, mechanism).await;
        assert!(!format!("{provider:?}").contains(PASSWORD));
    }
}

#[tokio::test]
async fn tls_trusts_the_authorities_of_a_file() {
    let (Some(ssl), Some(both)) = (
        variable("DUCTAPE_TEST_KAFKA_SSL"),
        variable("DUCTAPE_TEST_KAFKA_SASL_SSL"),
    ) else {
        return;
    };
    let ca = variable("DUCTAPE_TEST_CA").unwrap();
    round_trip(&connect(&ssl, json!({"ssl": true, "caFile": ca})).await, "ssl").await;
    let login = json!({"mechanism": "scram-sha-512", "username": "ductape", "password": PASSWORD});
    let provider = connect(&both, json!({"ssl": true, "caFile": ca, "sasl": login})).await;
    round_trip(&provider, "sasl-ssl").await;
}

#[tokio::test]
async fn the_cluster_knows_the_client_and_the_configured_group() {
    let Some(server) = variable("DUCTAPE_TEST_KAFKA") else {
        return;
    };
    let configured = unique("configured");
    let provider = connect(&server, json!({"clientId": "known-as", "groupId": configured})).await;
    let (topic, mut unnamed, named) = (topic("ids"), group("handler"), group("named"));
    unnamed.named = false;
    declare(&provider, &topic, &[&unnamed, &named]).await.unwrap();
    publish(&provider, Outgoing::new(topic.clone(), "1"))
        .await
        .unwrap();
    for (group, id) in [
        (&unnamed, configured.clone()),
        (&named, format!("{}.named", topic.physical())),
    ] {
        let mut subscription = subscribe(&provider, &topic, group).await;
        let delivery = next(&mut *subscription).await;
        ack(&*subscription, delivery).await;
        let groups = raw(&server)
            .fetch_group_list(Some(&id), Duration::from_secs(5))
            .unwrap();
        let clients: Vec<&str> = groups.groups()[0]
            .members()
            .iter()
            .map(GroupMemberInfo::client_id)
            .collect();
        assert_eq!(clients, ["known-as"], "group {id}");
        subscription.close_dyn().await.unwrap();
    }
    // A second handler without a group would get only some of the messages.
    let mut other = group("other-handler");
    other.named = false;
    let error = declare(&provider, &topic, &[&other]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid, "{error}");
    assert!(error.to_string().contains("other-handler"), "{error}");
}

#[tokio::test]
async fn events_that_share_a_topic_are_told_apart() {
    let Some(server) = variable("DUCTAPE_TEST_KAFKA") else {
        return;
    };
    let shared = unique("shared");
    let provider = connect(&server, json!({"topic": shared, "groupId": "shared"})).await;
    let (one, two, mut group) = (topic("one"), topic("two"), group("g"));
    group.named = false;
    declare(&provider, &one, &[&group]).await.unwrap();
    declare(&provider, &two, &[&group]).await.unwrap();
    for i in 0..10 {
        for topic in [&one, &two] {
            let text = format!("{} {i}", topic.event().topic());
            publish(&provider, Outgoing::new(topic.clone(), text).with_key("k"))
                .await
                .unwrap();
        }
    }
    for topic in [&one, &two] {
        let mut subscription = subscribe(&provider, topic, &group).await;
        for i in 0..10 {
            let delivery = next(&mut *subscription).await;
            let came = ack(&*subscription, delivery).await;
            assert_eq!(came.payload, format!("{} {i}", topic.event().topic()));
        }
        assert!(silent(&mut *subscription).await);
        subscription.close_dyn().await.unwrap();
        // What is another topic's is done too.
        let backlog = provider.backlog_dyn(topic, &group.name).await.unwrap();
        assert_eq!(backlog.ready, 0, "{backlog:?}");
    }
    assert_eq!(partitions(&server, &shared), 4);
}

#[tokio::test]
async fn topics_get_the_partitions_and_copies_that_are_configured() {
    let Some(server) = variable("DUCTAPE_TEST_KAFKA") else {
        return;
    };
    let of_three = topic("three");
    let provider = connect(&server, json!({"partitions": 3, "replication": 1})).await;
    declare(&provider, &of_three, &[&group("g")]).await.unwrap();
    assert_eq!(partitions(&server, &of_three.physical()), 3);
    assert_eq!(
        partitions(&server, &format!("{}.g.retry", of_three.physical())),
        3
    );
    assert_eq!(partitions(&server, &format!("{}.g.dlq", of_three.physical())), 1);

    let provider = connect(&server, json!({"replication": 3})).await;
    let error = declare(&provider, &topic("copies"), &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid, "{error}");
    assert!(error.to_string().contains("replication"), "{error}");
}

#[tokio::test]
async fn a_payload_may_be_as_large_as_is_configured() {
    let Some(server) = variable("DUCTAPE_TEST_KAFKA") else {
        return;
    };
    let topic = topic("large");
    let small = connect(&server, json!({"payloadBytesMax": 1_000})).await;
    declare(&small, &topic, &[]).await.unwrap();
    assert_eq!(small.capability_dyn().payload_bytes_max, 1_000);
    publish(&small, Outgoing::new(topic.clone(), vec![b'x'; 1_000]))
        .await
        .unwrap();
    let error = publish(&small, Outgoing::new(topic.clone(), vec![b'x'; 1_001]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PayloadTooLarge);
    // Where the server takes less than is configured, the server says so.
    let large = connect(&server, json!({"payloadBytesMax": 3_000_000})).await;
    let error = publish(&large, Outgoing::new(topic, vec![b'x'; 2_000_000]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PayloadTooLarge, "{error}");
    assert!(!error.is_indeterminate() && !error.is_temporary(), "{error}");
}

#[tokio::test]
async fn nothing_is_created_where_that_is_not_wanted() {
    let Some(server) = variable("DUCTAPE_TEST_KAFKA") else {
        return;
    };
    let (topic, group) = (topic("declared"), group("g"));
    let check = connect(&server, json!({"declare": "check"})).await;
    let error = declare(&check, &topic, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TopicMissing, "{error}");
    let off = connect(&server, json!({"declare": "off"})).await;
    declare(&off, &topic, &[&group]).await.unwrap();
    assert_eq!(partitions(&server, &topic.physical()), 0);

    let create = connect(&server, json!({})).await;
    declare(&create, &topic, &[]).await.unwrap();
    declare(&check, &topic, &[]).await.unwrap();
    let error = declare(&check, &topic, &[&group]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::GroupMissing, "{error}");
    declare(&create, &topic, &[&group]).await.unwrap();
    declare(&check, &topic, &[&group]).await.unwrap();
}

#[tokio::test]
async fn what_exists_and_does_not_fit_is_named() {
    let Some(server) = variable("DUCTAPE_TEST_KAFKA") else {
        return;
    };
    let (topic, group) = (topic("misfit"), group("g"));
    let dead = format!("{}.g.dlq", topic.physical());
    crate::examine::create(&server, &dead, 1, &[("cleanup.policy", "compact")]).await;
    let provider = connect(&server, json!({})).await;
    let error = declare(&provider, &topic, &[&group]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TopologyMismatch, "{error}");
    assert!(error.to_string().contains(&dead), "{error}");
}

#[tokio::test]
async fn a_physical_name_is_used() {
    let Some(server) = variable("DUCTAPE_TEST_KAFKA") else {
        return;
    };
    let provider = connect(&server, json!({})).await;
    let (topic, group, physical) = (topic("renamed"), group("g"), unique("Physical.Name_1"));
    let mut spec = ductape_providers::TopicSpec::new(topic.clone()).with_group(group.clone());
    spec.physical = Some(physical.clone());
    provider.declare_dyn(&spec).await.unwrap();
    publish(&provider, Outgoing::new(topic.clone(), "1"))
        .await
        .unwrap();
    let mut subscription = subscribe(&provider, &topic, &group).await;
    let delivery = next(&mut *subscription).await;
    ack(&*subscription, delivery).await;
    assert_eq!(partitions(&server, &physical), 4);
    assert_eq!(partitions(&server, &topic.physical()), 0);
}

#[tokio::test]
async fn partitions_are_shared_by_the_members_and_order_is_kept() {
    let Some(server) = variable("DUCTAPE_TEST_KAFKA") else {
        return;
    };
    let provider = connect(&server, json!({})).await;
    let (topic, group) = (topic("positions"), group("g"));
    declare(&provider, &topic, &[&group]).await.unwrap();
    let mut last = None;
    for i in 0..10 {
        let receipt = publish(
            &provider,
            Outgoing::new(topic.clone(), i.to_string()).with_key("k"),
        )
        .await
        .unwrap();
        assert!(receipt.position > last, "{receipt:?}");
        last = receipt.position;
    }
    let mut subscription = subscribe(&provider, &topic, &group).await;
    let mut into = Vec::new();
    while into.len() < 10 {
        let most = NonZeroUsize::new(10 - into.len()).unwrap();
        subscription.receive_dyn(&mut into, most).await.unwrap();
    }
    assert_eq!(into.last().unwrap().message.position, last);
    assert!(into.is_sorted_by_key(|delivery| delivery.message.position));
}

#[test]
fn a_configuration_prints_no_password() {
    let sasl = json!({"sasl": {"mechanism": "plain", "username": "ductape", "password": PASSWORD}});
    let ProviderConfig::Kafka(config) = read(&shape("localhost:1", &sasl)) else {
        panic!("not Kafka")
    };
    assert!(!format!("{config:?}").contains(PASSWORD));
}
