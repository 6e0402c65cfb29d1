//! Each field of the configuration has its effect, and what is wrong is told apart.

use std::time::Duration;

use ductape_providers::{AnyProvider, ErrorKind, GroupSpec, Outgoing, Result, SubscriptionSpec};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    PASSWORD, Raw, address, by_url, config, connect, consume, declare, group, is_silent, kind, own_topic,
    provider, publish, spec, split, subscribe, topic, try_publish, url, variable,
};

/// A password must be found neither in an error nor in what describes a provider.
fn hides(answer: &Result<AnyProvider>) {
    let shown = match answer {
        Ok(provider) => format!("{provider:?} {:?}", provider.info_dyn()),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!shown.contains("CANARY"), "{shown}");
}

async fn works(value: &Value) {
    let provider = connect(value).await;
    hides(&provider);
    let provider = provider.unwrap();
    let (topic, billing) = (topic("works"), group("billing"));
    declare(&provider, &topic, &[&billing]).await;
    publish(&provider, &topic, &["1"]).await;
    let mut reader = subscribe(&provider, &topic, &billing).await;
    assert_eq!(consume(&mut reader, 1).await, ["1"]);
}

#[tokio::test]
async fn a_url_and_its_parts_reach_the_same_server() {
    let Some((host, port)) = address() else { return };
    works(&by_url(&format!("amqp://ductape:{PASSWORD}@{host}:{port}/shop"))).await;
    works(
        &json!({"type": "RABBITMQ", "host": host, "port": port, "username": "ductape", "password": PASSWORD,
        "vhost": "shop"}),
    )
    .await;
}

#[tokio::test]
async fn virtual_hosts_are_apart() {
    let Some(url) = url() else { return };
    let (topic, billing) = (topic("vhosts"), group("billing"));
    let shop = provider(&format!("{url}/shop"), json!({})).await;
    declare(&shop, &topic, &[&billing]).await;
    let default = provider(&url, json!({})).await;
    let joined = default
        .subscribe_dyn(&SubscriptionSpec::new(topic.clone(), billing.clone()))
        .await;
    assert_eq!(kind(&joined), Some(ErrorKind::TopicMissing));
    assert!(subscribe(&shop, &topic, &billing).await.close_dyn().await.is_ok());
}

#[tokio::test]
async fn each_thing_that_is_wrong_fails_its_own_step() {
    let Some((host, port)) = address() else { return };
    let at = |changes: Value| {
        let mut value = json!({"type": "RABBITMQ", "host": host, "port": port, "username": "ductape", "password": PASSWORD});
        for (name, set) in changes.as_object().unwrap() {
            value[name] = set.clone();
        }
        value
    };
    for (changes, step, expected) in [
        (json!({}), None, None),
        (
            json!({"host": "no-such-host.invalid", "allowPlaintext": true}),
            Some("resolve"),
            Some(ErrorKind::Unreachable),
        ),
        (json!({"port": 1}), Some("connect"), Some(ErrorKind::Unreachable)),
        (
            json!({"password": "wrong-CANARY"}),
            Some("authenticate"),
            Some(ErrorKind::Unauthorized),
        ),
        (
            json!({"username": "nobody"}),
            Some("authenticate"),
            Some(ErrorKind::Unauthorized),
        ),
        (
            json!({"vhost": "no-such"}),
            Some("authorize"),
            Some(ErrorKind::ConfigInvalid),
        ),
        (
            json!({"vhost": "shop", "username": "limited"}),
            Some("authorize"),
            Some(ErrorKind::Unauthorized),
        ),
        // It speaks AMQP there, and not TLS.
        (
            json!({"tls": true}),
            Some("encrypt"),
            Some(ErrorKind::ConfigInvalid),
        ),
    ] {
        let value = at(changes.clone());
        let began = Instant::now();
        let answer = connect(&value).await;
        assert_eq!(kind(&answer), expected, "{changes}: {answer:?}");
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{changes}: {:?}",
            began.elapsed()
        );
        let temporary = answer
            .as_ref()
            .err()
            .is_some_and(ductape_providers::Error::is_temporary);
        assert_eq!(
            temporary,
            expected == Some(ErrorKind::Unreachable),
            "{changes}: {answer:?}"
        );
        hides(&answer);
        let report = config(&value).test_connection().await;
        assert_eq!(report.failed_step(), step, "{changes}: {report}");
        assert!(!report.to_string().contains("CANARY"), "{report}");
    }
}

#[tokio::test]
async fn encryption_trusts_the_file_and_nobody_else() {
    let (Some(url), Some(ca)) = (variable("DUCTAPE_TEST_RABBITMQ_TLS"), variable("DUCTAPE_TEST_CA")) else {
        return;
    };
    let mut value = by_url(&url);
    value["caFile"] = json!(ca);
    works(&value).await;
    let report = config(&value).test_connection().await;
    assert!(report.is_ok(), "{report}");
    let (host, port) = split(&url).unwrap();
    works(&json!({"type": "RABBITMQ", "host": host, "port": port, "tls": true, "caFile": ca})).await;

    // The machine's authorities did not sign it.
    let answer = connect(&by_url(&url)).await;
    assert_eq!(kind(&answer), Some(ErrorKind::ConfigInvalid), "{answer:?}");
    let report = config(&by_url(&url)).test_connection().await;
    assert_eq!(report.failed_step(), Some("encrypt"), "{report}");
    assert!(report.to_string().contains("`caFile`"), "{report}");
}

#[tokio::test]
async fn a_file_of_authorities_that_can_t_be_used_is_told() {
    let Some(url) = variable("DUCTAPE_TEST_RABBITMQ_TLS") else {
        return;
    };
    for file in ["/no/such/file.pem", file!()] {
        let mut value = by_url(&url);
        value["caFile"] = json!(file);
        let answer = connect(&value).await;
        let found = match kind(&answer) {
            Some(ErrorKind::ConfigInvalid) => answer.unwrap_err().to_string(),
            other => panic!("{file}: {other:?}"),
        };
        assert!(found.contains("`caFile`") && found.contains(file), "{found}");
        let report = config(&value).test_connection().await;
        assert_eq!(report.failed_step(), Some("configure"), "{report}");
    }
}

#[tokio::test]
async fn the_queue_is_that_of_the_consumer_without_a_group() {
    let Some(url) = url() else { return };
    let queue = format!("mine-{}", crate::unique());
    let provider = provider(&url, json!({"queue": queue})).await;
    let (topic, named) = (topic("queue"), group("named"));
    let unnamed = GroupSpec {
        named: false,
        ..group("handler")
    };
    declare(&provider, &topic, &[&named, &unnamed]).await;
    publish(&provider, &topic, &["1"]).await;
    let raw = Raw::new(&url).await;
    assert_eq!(raw.ready(&queue).await, Some(1));
    assert_eq!(raw.ready(&format!("{}.named", topic.physical())).await, Some(1));
    let mut reader = subscribe(&provider, &topic, &unnamed).await;
    assert_eq!(consume(&mut reader, 1).await, ["1"]);

    // Two topics would take each other's messages out of it.
    let other = crate::topic("queue-too");
    let refused = provider.declare_dyn(&spec(&other, &[&unnamed])).await;
    assert_eq!(kind(&refused), Some(ErrorKind::ConfigInvalid), "{refused:?}");
}

#[tokio::test]
async fn topics_that_share_a_routing_key_are_told_apart() {
    let Some(url) = url() else { return };
    let one = own_topic("one");
    let two = ductape_providers::TopicName::new(
        format!("{}:two", one.event().broker()).parse().unwrap(),
        std::num::NonZeroU32::MIN,
    );
    let provider = provider(&url, json!({"routingKey": "all.of.them"})).await;
    let billing = group("billing");
    declare(&provider, &one, &[&billing]).await;
    declare(&provider, &two, &[&billing]).await;
    publish(&provider, &one, &["of one"]).await;
    publish(&provider, &two, &["of two"]).await;
    let raw = Raw::new(&url).await;
    // Somebody else who knows the key.
    raw.publish(
        one.event().broker(),
        "all.of.them",
        b"foreign",
        lapin::BasicProperties::default(),
    )
    .await;
    let (mut first, mut second) = (
        subscribe(&provider, &one, &billing).await,
        subscribe(&provider, &two, &billing).await,
    );
    assert_eq!(consume(&mut first, 2).await, ["of one", "foreign"]);
    assert_eq!(consume(&mut second, 2).await, ["of two", "foreign"]);
    assert!(is_silent(&mut first).await && is_silent(&mut second).await);
}

#[tokio::test]
async fn check_makes_nothing_and_off_looks_at_nothing() {
    let Some(url) = url() else { return };
    let (topic, billing) = (own_topic("modes"), group("billing"));
    let check = provider(&url, json!({"declare": "check"})).await;
    let missing = check.declare_dyn(&spec(&topic, &[&billing])).await;
    assert_eq!(kind(&missing), Some(ErrorKind::TopicMissing), "{missing:?}");
    let off = provider(&url, json!({"declare": "off"})).await;
    declare(&off, &topic, &[&billing]).await;
    let sent = try_publish(&off, vec![Outgoing::new(topic.clone(), "1")]).await;
    assert_eq!(kind(&sent[0]), Some(ErrorKind::TopicMissing), "{sent:?}");

    let create = provider(&url, json!({})).await;
    declare(&create, &topic, &[]).await;
    let missing = check.declare_dyn(&spec(&topic, &[&billing])).await;
    assert_eq!(kind(&missing), Some(ErrorKind::GroupMissing), "{missing:?}");
    declare(&create, &topic, &[&billing]).await;
    for provider in [&check, &off] {
        declare(provider, &topic, &[&billing]).await;
        publish(provider, &topic, &["1"]).await;
        let mut reader = subscribe(provider, &topic, &billing).await;
        assert_eq!(consume(&mut reader, 1).await, ["1"]);
        let capability = provider.capability_dyn();
        assert_eq!(
            (capability.group_delay_max, capability.publish_delay_max),
            (None, None)
        );
        reader.close_dyn().await.unwrap();
    }
}
