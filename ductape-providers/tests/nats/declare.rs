use std::time::Duration;

use async_nats::jetstream::stream;
use ductape_providers::{ErrorKind, Outgoing, Settlement};
use serde_json::json;

use crate::{connect, group, next, payload, plain, publish, raw, settle, spec, subscribe, topic};

#[tokio::test]
async fn check_creates_nothing_and_finds_what_was_created() {
    let Some(server) = plain() else { return };
    let (topic, group) = (topic(), group("g"));
    let spec = spec(&topic, &group);
    let mut checking = server.clone();
    checking["declare"] = json!("check");
    let checker = connect(&checking).await.unwrap();
    let error = checker.declare_dyn(&spec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TopicMissing, "{error}");
    let creator = connect(&server).await.unwrap();
    let mut without = spec.clone();
    without.groups.clear();
    creator.declare_dyn(&without).await.unwrap();
    let error = checker.declare_dyn(&spec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::GroupMissing, "{error}");
    creator.declare_dyn(&spec).await.unwrap();
    checker.declare_dyn(&spec).await.unwrap();
    publish(&checker, Outgoing::new(topic, "checked")).await.unwrap();
}

#[tokio::test]
async fn off_asks_for_nothing_and_uses_what_is_there() {
    let Some(server) = plain() else { return };
    let (topic, group) = (topic(), group("g"));
    let spec = spec(&topic, &group);
    let mut trusting = server.clone();
    trusting["declare"] = json!("off");
    let truster = connect(&trusting).await.unwrap();
    truster.declare_dyn(&spec).await.unwrap();
    let error = publish(&truster, Outgoing::new(topic.clone(), "lost"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TopicMissing, "{error}");
    connect(&server).await.unwrap().declare_dyn(&spec).await.unwrap();
    publish(&truster, Outgoing::new(topic.clone(), "there"))
        .await
        .unwrap();
    let mut subscription = subscribe(&truster, &topic, &group).await;
    let delivery = next(&mut subscription).await;
    assert_eq!(payload(&delivery), "there");
    settle(&*subscription, delivery, Settlement::Ack).await.unwrap();
}

#[tokio::test]
async fn a_difference_is_named_and_nothing_is_altered() {
    let Some(server) = plain() else { return };
    let (topic, group) = (topic(), group("g"));
    let provider = connect(&server).await.unwrap();
    provider.declare_dyn(&spec(&topic, &group)).await.unwrap();
    let mut other = group.clone();
    other.lease = Duration::from_secs(7);
    let error = provider.declare_dyn(&spec(&topic, &other)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TopologyMismatch, "{error}");
    for part in ["ack_wait", "7s", "30s", "t__g"] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    provider.declare_dyn(&spec(&topic, &group)).await.unwrap();
}

#[tokio::test]
async fn a_name_from_the_configuration_is_used() {
    let Some(server) = plain() else { return };
    let (topic, group, raw) = (topic(), group("g"), raw(&server).await);
    let physical = format!("shop-{}.created_x", topic.event().broker());
    let mut spec = spec(&topic, &group);
    spec.physical = Some(physical.clone());
    let provider = connect(&server).await.unwrap();
    provider.declare_dyn(&spec).await.unwrap();
    raw.publish(physical.clone(), "theirs".into())
        .await
        .unwrap()
        .await
        .unwrap();
    let mut subscription = subscribe(&provider, &topic, &group).await;
    let delivery = next(&mut subscription).await;
    assert_eq!(payload(&delivery), "theirs");
    settle(&*subscription, delivery, Settlement::Ack).await.unwrap();

    for bad in ["a b", "a..b", "a.*", "dlq.x"] {
        spec.physical = Some(bad.to_owned());
        let error = provider.declare_dyn(&spec).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid, "{bad}: {error}");
    }
}

#[tokio::test]
async fn a_stream_that_takes_too_little_is_told() {
    let Some(server) = plain() else { return };
    let (topic, group, raw) = (topic(), group("g"), raw(&server).await);
    let broker = topic.event().broker();
    raw.create_stream(stream::Config {
        name: format!("narrow-{broker}"),
        subjects: vec![topic.physical()],
        ..Default::default()
    })
    .await
    .unwrap();
    let provider = connect(&server).await.unwrap();
    let error = provider.declare_dyn(&spec(&topic, &group)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TopologyMismatch, "{error}");
    assert!(
        error.to_string().contains(&format!("{}.>", topic.physical())),
        "{error}"
    );
    raw.delete_stream(format!("narrow-{broker}")).await.unwrap();
}
