//! Topics that are set up wrongly are found.

use ductape_providers::TopicSpec;
use ductape_providers::examine::Severity;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::json;

use crate::{connect, declare, group, topic, variable};

/// Creates a topic as somebody else might.
pub(crate) async fn create(server: &str, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", server);
    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (name, value) in settings {
        topic = topic.set(name, value);
    }
    for created in admin.create_topics([&topic], &AdminOptions::new()).await.unwrap() {
        created.unwrap();
    }
    // Known to the whole cluster a moment later.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
}

type Found = Vec<(&'static str, Severity, String)>;

/// A topic that somebody created: how its name ends, its partitions and its settings.
type Created<'a> = (&'a str, i32, &'a [(&'a str, &'a str)]);

/// What is found of a topic with one group, of which these topics exist.
async fn found(created: &[Created<'_>]) -> Option<Found> {
    let server = variable("DUCTAPE_TEST_KAFKA")?;
    let (topic, group) = (topic("examined"), group("g"));
    for (suffix, partitions, settings) in created {
        create(
            &server,
            &format!("{}{suffix}", topic.physical()),
            *partitions,
            settings,
        )
        .await;
    }
    let provider = connect(&server, json!({})).await;
    let spec = TopicSpec::new(topic).with_group(group);
    let findings = provider.examine_dyn(&[spec]).await.unwrap();
    Some(
        findings
            .into_iter()
            .map(|finding| (finding.name, finding.severity, finding.message))
            .collect(),
    )
}

fn has(found: &Found, name: &str, severity: Severity) {
    let of_name: Vec<_> = found.iter().filter(|found| found.0 == name).collect();
    assert!(
        of_name.iter().any(|found| found.1 == severity),
        "no {name} in {found:#?}"
    );
}

fn has_not(found: &Found, name: &str) {
    assert!(found.iter().all(|found| found.0 != name), "{name} in {found:#?}");
}

#[tokio::test]
async fn what_is_not_there_yet_is_no_finding() {
    let Some(found) = found(&[]).await else { return };
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn what_this_program_declares_has_only_the_findings_of_one_broker() {
    let Some(server) = variable("DUCTAPE_TEST_KAFKA") else {
        return;
    };
    let (topic, group) = (topic("declared"), group("g"));
    let provider = connect(&server, json!({})).await;
    declare(&provider, &topic, &[&group]).await.unwrap();
    let spec = TopicSpec::new(topic).with_group(group);
    let findings = provider.examine_dyn(&[spec]).await.unwrap();
    let names: Vec<&str> = findings.iter().map(|finding| finding.name).collect();
    assert_eq!(names, ["kafka-replication-one"; 3], "{findings:#?}");
}

#[tokio::test]
async fn one_copy_is_found() {
    let Some(found) = found(&[("", 1, &[])]).await else {
        return;
    };
    has(&found, "kafka-replication-one", Severity::Warning);
}

#[tokio::test]
async fn a_topic_that_can_confirm_nothing_is_found() {
    let Some(found) = found(&[("", 1, &[("min.insync.replicas", "2")])]).await else {
        return;
    };
    has(&found, "kafka-min-insync", Severity::Refusal);
}

#[tokio::test]
async fn a_compacted_topic_is_found() {
    let Some(found) = found(&[("", 1, &[("cleanup.policy", "compact,delete")])]).await else {
        return;
    };
    has(&found, "kafka-cleanup-compact", Severity::Refusal);
}

#[tokio::test]
async fn a_topic_that_takes_less_than_is_published_is_found() {
    let Some(found) = found(&[("", 1, &[]), (".g.dlq", 1, &[("max.message.bytes", "500000")])]).await else {
        return;
    };
    has(&found, "kafka-message-too-small", Severity::Refusal);
}

#[tokio::test]
async fn a_short_retention_is_found() {
    let Some(found) = found(&[("", 1, &[("retention.ms", "3600000")])]).await else {
        return;
    };
    has(&found, "kafka-retention-short", Severity::Warning);
    has_not(&found, "kafka-offsets-retention");
    let found = self::found(&[("", 1, &[]), (".g.retry", 1, &[("retention.ms", "86400000")])])
        .await
        .unwrap();
    has(&found, "kafka-retention-short", Severity::Refusal);
}

#[tokio::test]
async fn places_that_are_forgotten_before_the_messages_are_found() {
    let Some(found) = found(&[("", 1, &[("retention.ms", "-1")])]).await else {
        return;
    };
    has(&found, "kafka-offsets-retention", Severity::Warning);
    has_not(&found, "kafka-retention-short");
}

#[tokio::test]
async fn retries_that_fewer_members_can_work_on_are_found() {
    let Some(found) = found(&[("", 4, &[]), (".g.retry", 1, &[("retention.ms", "-1")])]).await else {
        return;
    };
    has(&found, "kafka-retry-topic-partitions", Severity::Warning);
}

#[tokio::test]
async fn dead_letters_that_expire_are_found() {
    let Some(found) = found(&[("", 1, &[]), (".g.dlq", 1, &[])]).await else {
        return;
    };
    has(&found, "kafka-dead-letters-expire", Severity::Warning);
}
