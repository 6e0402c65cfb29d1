//! Each finding, on a server that is set up wrongly.

use ductape_providers::examine::{Finding, Severity};
use ductape_providers::spec::Ordering;
use ductape_providers::{AnyProvider, GroupSpec, TopicName};
use lapin::ExchangeKind;
use lapin::options::QueueDeclareOptions;
use lapin::types::AMQPValue;
use serde_json::json;

use crate::{
    PASSWORD, Raw, address, declare, durable, group, number, own_topic, provider, spec, string, topic, url,
};

async fn found(provider: &AnyProvider, topic: &TopicName, groups: &[&GroupSpec]) -> Vec<Finding> {
    provider.examine_dyn(&[spec(topic, groups)]).await.unwrap()
}

fn names(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.name).collect()
}

#[tokio::test]
async fn what_we_make_ourselves_has_nothing_wrong() {
    let Some(url) = url() else { return };
    let provider = provider(&url, json!({})).await;
    let (topic, billing, mut relaxed) = (own_topic("sound"), group("billing"), group("relaxed"));
    relaxed.ordering = Ordering::Relaxed;
    let groups = [&billing, &relaxed];
    // Nothing is there yet, and all of it will be made.
    assert_eq!(names(&found(&provider, &topic, &groups).await), [""; 0]);
    declare(&provider, &topic, &groups).await;
    assert_eq!(names(&found(&provider, &topic, &groups).await), [""; 0]);
}

/// How a queue is made, and what is found.
type Case = (
    QueueDeclareOptions,
    Vec<(&'static str, AMQPValue)>,
    &'static [&'static str],
);

#[tokio::test]
async fn queues_that_lose_messages_are_found() {
    let Some(url) = url() else { return };
    let raw = Raw::new(&url).await;
    let provider = provider(&url, json!({})).await;
    let mut billing = group("billing");
    billing.ordering = Ordering::Relaxed;
    let quorum = ("x-queue-type", string("quorum"));
    let transient = QueueDeclareOptions::default();
    let passing = QueueDeclareOptions {
        auto_delete: true,
        ..durable()
    };
    let cases: [Case; 8] = [
        (durable(), vec![], &["rabbitmq-classic-queue"]),
        (
            transient,
            vec![],
            &["rabbitmq-not-durable", "rabbitmq-classic-queue"],
        ),
        (
            passing,
            vec![],
            &["rabbitmq-auto-delete", "rabbitmq-classic-queue"],
        ),
        (
            durable(),
            vec![quorum.clone(), ("x-expires", number(600_000))],
            &["rabbitmq-queue-expires"],
        ),
        (
            durable(),
            vec![quorum.clone(), ("x-message-ttl", number(60_000))],
            &["rabbitmq-message-ttl"],
        ),
        (
            durable(),
            vec![quorum.clone(), ("x-max-length", number(10))],
            &["rabbitmq-queue-max-length"],
        ),
        (
            durable(),
            vec![quorum.clone(), ("x-delivery-limit", number(3))],
            &["rabbitmq-delivery-limit-without-dlx"],
        ),
        (
            durable(),
            vec![("x-queue-type", string("stream"))],
            &["rabbitmq-queue-mismatch"],
        ),
    ];
    for (options, arguments, expected) in cases {
        let topic = topic("lossy");
        let queue = format!("{}.billing", topic.physical());
        raw.queue(&queue, options, &arguments).await;
        let findings = found(&provider, &topic, &[&billing]).await;
        assert_eq!(names(&findings), expected, "{arguments:?}: {findings:?}");
        assert!(
            findings.iter().all(|finding| finding.message.contains(&queue)),
            "{findings:?}"
        );
        // It was looked at, and not touched.
        raw.queue(&queue, options, &arguments).await;
    }
}

#[tokio::test]
async fn the_queue_of_the_dead_letters_is_looked_at_too() {
    let Some(url) = url() else { return };
    let provider = provider(&url, json!({})).await;
    let (topic, billing) = (topic("dead"), group("billing"));
    let queue = format!("{}.billing.dlq", topic.physical());
    let arguments = [
        ("x-queue-type", string("quorum")),
        ("x-message-ttl", number(1000)),
    ];
    Raw::new(&url).await.queue(&queue, durable(), &arguments).await;
    let findings = found(&provider, &topic, &[&billing]).await;
    assert_eq!(names(&findings), ["rabbitmq-message-ttl"], "{findings:?}");
}

#[tokio::test]
async fn a_queue_that_many_read_keeps_no_order() {
    let Some(url) = url() else { return };
    let provider = provider(&url, json!({})).await;
    let (topic, strict, mut relaxed) = (topic("order"), group("billing"), group("billing"));
    relaxed.ordering = Ordering::Relaxed;
    declare(&provider, &topic, &[&relaxed]).await;
    let findings = found(&provider, &topic, &[&strict]).await;
    assert_eq!(names(&findings), ["rabbitmq-not-single-active"], "{findings:?}");
    assert_eq!(names(&found(&provider, &topic, &[&relaxed]).await), [""; 0]);
    // Whoever allows the finding gets the queue as it is.
    declare(&provider, &topic, &[&strict]).await;
}

#[tokio::test]
async fn exchanges_of_others_are_found() {
    let Some(url) = url() else { return };
    let raw = Raw::new(&url).await;
    let provider = provider(&url, json!({})).await;
    for (kind, durable, expected) in [
        (ExchangeKind::Fanout, true, "rabbitmq-exchange-type"),
        (ExchangeKind::Topic, false, "rabbitmq-not-durable"),
    ] {
        let topic = own_topic("exchange");
        raw.exchange(topic.event().broker(), kind, durable).await;
        let findings = found(&provider, &topic, &[]).await;
        assert_eq!(names(&findings), [expected], "{findings:?}");
    }
}

#[tokio::test]
async fn what_is_missing_is_found_where_it_is_not_made() {
    let Some(url) = url() else { return };
    let (topic, billing) = (own_topic("missing"), group("billing"));
    for declare in ["check", "off"] {
        let provider = provider(&url, json!({"declare": declare})).await;
        let findings = found(&provider, &topic, &[&billing]).await;
        let expected = [
            "rabbitmq-exchange-missing",
            "rabbitmq-queue-missing",
            "rabbitmq-queue-missing",
        ];
        assert_eq!(names(&findings), expected, "{findings:?}");
    }
}

#[tokio::test]
async fn a_user_without_permissions_is_told() {
    let (Some(url), Some((host, port))) = (url(), address()) else {
        return;
    };
    let (topic, billing) = (own_topic("limited"), group("billing"));
    declare(&provider(&url, json!({})).await, &topic, &[&billing]).await;
    let limited = format!("amqp://limited:{PASSWORD}@{host}:{port}");
    let limited = provider(&limited, json!({})).await;
    let findings = found(&limited, &topic, &[&billing]).await;
    assert!(
        findings
            .iter()
            .all(|finding| finding.severity == Severity::Warning),
        "{findings:?}"
    );
    // The exchange can't be made nor written to, the two queues can't be looked at.
    assert_eq!(names(&findings), ["rabbitmq-no-permission"; 4], "{findings:?}");
    assert!(findings[1].message.contains("write"), "{findings:?}");
}
