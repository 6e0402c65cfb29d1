use std::time::Duration;

use async_nats::jetstream::consumer::{self, AckPolicy, PriorityPolicy};
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, StorageType};
use ductape_providers::examine::{Finding, Severity};
use ductape_providers::{GroupSpec, TopicName, TopicSpec, clock};
use serde_json::Value;

use crate::own_server::OwnServer;
use crate::{connect, group, plain, raw, spec, topic};

/// What is done to a stream that would be right.
type WrongStream = fn(&mut stream::Config);
/// The same to a consumer.
type WrongConsumer = fn(&mut consumer::pull::Config);

async fn examine(server: &Value, topic: &TopicSpec) -> Vec<Finding> {
    let provider = connect(server).await.unwrap();
    provider.examine_dyn(std::slice::from_ref(topic)).await.unwrap()
}

fn names(findings: &[Finding], severity: Severity) -> Vec<&'static str> {
    let of = findings.iter().filter(|finding| finding.severity == severity);
    of.map(|finding| finding.name).collect()
}

#[tokio::test]
async fn what_is_declared_here_is_only_on_one_server() {
    let Some(server) = plain() else { return };
    let (topic, group) = (topic(), group("g"));
    let spec = spec(&topic, &group);
    assert_eq!(
        examine(&server, &spec).await,
        [],
        "what is not there yet is no finding"
    );
    connect(&server).await.unwrap().declare_dyn(&spec).await.unwrap();
    let findings = examine(&server, &spec).await;
    assert_eq!(names(&findings, Severity::Refusal), [""; 0]);
    assert_eq!(names(&findings, Severity::Warning), ["nats-replicas-one"]);
}

#[tokio::test]
async fn each_wrong_stream_is_found() {
    let Some(server) = plain() else { return };
    let raw = raw(&server).await;
    let wrong: [(&str, Severity, WrongStream); 7] = [
        ("nats-memory-storage", Severity::Refusal, |c| {
            c.storage = StorageType::Memory;
        }),
        ("nats-workqueue-with-groups", Severity::Refusal, |c| {
            c.retention = RetentionPolicy::WorkQueue;
        }),
        ("nats-discard-old", Severity::Refusal, |c| {
            c.discard = DiscardPolicy::Old;
            c.max_messages = 1_000;
        }),
        ("nats-no-ack", Severity::Refusal, |c| c.no_ack = true),
        ("nats-max-age", Severity::Warning, |c| {
            c.max_age = Duration::from_hours(1);
        }),
        ("nats-duplicate-window", Severity::Warning, |c| {
            c.duplicate_window = Duration::from_secs(1);
        }),
        ("nats-no-schedules", Severity::Warning, |c| {
            c.allow_message_schedules = false;
        }),
    ];
    for (name, severity, change) in wrong {
        let topic = topic();
        let mut config = stream::Config {
            name: topic.event().broker().to_owned(),
            subjects: vec![format!("{}.>", topic.event().broker())],
            allow_message_schedules: true,
            ..Default::default()
        };
        change(&mut config);
        raw.create_stream(config).await.unwrap();
        let spec = spec(&topic, &group("one")).with_group(group("two"));
        let findings = examine(&server, &spec).await;
        assert_eq!(
            findings
                .iter()
                .find(|finding| finding.name == name)
                .map(|finding| finding.severity),
            Some(severity),
            "{name}: {findings:?}"
        );
        raw.delete_stream(topic.event().broker()).await.unwrap();
    }
}

async fn with_consumer(server: &Value, change: WrongConsumer) -> (TopicName, GroupSpec, Vec<Finding>) {
    let (topic, group, raw) = (topic(), group("g"), raw(server).await);
    let broker = topic.event().broker().to_owned();
    raw.create_stream(stream::Config {
        name: broker.clone(),
        subjects: vec![format!("{broker}.>")],
        allow_message_schedules: true,
        ..Default::default()
    })
    .await
    .unwrap();
    let mut config = consumer::pull::Config {
        durable_name: Some("t__g".to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: group.lease,
        filter_subjects: vec![topic.physical(), format!("{}._group.g", topic.physical())],
        priority_policy: PriorityPolicy::PinnedClient,
        priority_groups: vec!["members".to_owned()],
        ..Default::default()
    };
    change(&mut config);
    raw.create_consumer_on_stream(config, &broker).await.unwrap();
    let findings = examine(server, &spec(&topic, &group)).await;
    raw.delete_stream(&broker).await.unwrap();
    (topic, group, findings)
}

#[tokio::test]
async fn each_wrong_consumer_is_found() {
    let Some(server) = plain() else { return };
    let wrong: [(&str, Severity, WrongConsumer); 6] = [
        ("nats-max-deliver", Severity::Refusal, |c| c.max_deliver = 3),
        ("nats-ack-wait", Severity::Warning, |c| {
            c.ack_wait = Duration::from_secs(1);
        }),
        ("nats-max-ack-pending", Severity::Warning, |c| {
            c.max_ack_pending = 10;
        }),
        ("nats-backoff", Severity::Warning, |c| {
            c.backoff = vec![Duration::from_secs(1)];
            c.max_deliver = 5;
        }),
        ("nats-order", Severity::Refusal, |c| {
            c.priority_policy = PriorityPolicy::None;
            c.priority_groups.clear();
        }),
        ("nats-order-timeout", Severity::Warning, |c| {
            c.priority_timeout = Duration::from_secs(5);
        }),
    ];
    for (name, severity, change) in wrong {
        let (.., findings) = with_consumer(&server, change).await;
        assert_eq!(
            findings
                .iter()
                .find(|finding| finding.name == name)
                .map(|finding| finding.severity),
            Some(severity),
            "{name}: {findings:?}"
        );
    }
    let (.., right) = with_consumer(&server, |_| ()).await;
    assert_eq!(names(&right, Severity::Refusal), [""; 0]);
}

#[tokio::test]
async fn a_server_without_jetstream_is_found_and_told() {
    let Some(server) = OwnServer::start("") else {
        return;
    };
    let spec = spec(&topic(), &group("g"));
    let findings = examine(&server.config(), &spec).await;
    assert_eq!(names(&findings, Severity::Refusal), ["nats-no-jetstream"]);
    let report = crate::config(&server.config()).test_connection().await;
    assert_eq!(report.failed_step(), Some("authorize"), "{report}");
}

#[tokio::test]
async fn a_user_without_permission_is_found_at_once() {
    let settings = r#"jetstream { store_dir: "STORE" }
        authorization { users: [ { user: "u", password: "p", permissions: { publish: ["_INBOX.>"], subscribe: ["_INBOX.>"] } } ] }"#;
    let Some(server) = OwnServer::start(settings) else {
        return;
    };
    let mut config = server.config();
    config["user"] = "u".into();
    config["pass"] = "p".into();
    let began = clock::now();
    let findings = examine(&config, &spec(&topic(), &group("g"))).await;
    assert_eq!(names(&findings, Severity::Refusal), ["nats-no-permission"]);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}
