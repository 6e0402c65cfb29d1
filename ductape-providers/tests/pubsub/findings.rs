//! A server that is set up wrongly, in each way that is looked for.

use std::time::Duration;

use ductape_providers::TopicName;
use ductape_providers::examine::{Finding, Severity};
use google_cloud_pubsub::model::{DeadLetterPolicy, ExpirationPolicy, PushConfig, Subscription};
use serde_json::json;

use super::{Admin, connect, group, server_or_return, spec, topic};

/// What is found of a group whose subscription was made with a change.
async fn found(server: &str, change: impl FnOnce(Subscription) -> Subscription) -> Vec<Finding> {
    let admin = Admin::new(server).await;
    let name = topic("findings");
    let path = admin.topic(&name.physical()).await;
    admin
        .subscription(&format!("{}.g", name.physical()), &path, change)
        .await;
    examine(server, &name).await
}

async fn examine(server: &str, name: &TopicName) -> Vec<Finding> {
    let provider = connect(server, &json!({})).await;
    provider.examine_dyn(&[spec(name, &[&group("g")])]).await.unwrap()
}

fn assert_found(findings: &[Finding], name: &str, severity: Severity) {
    assert!(
        findings
            .iter()
            .any(|found| found.name == name && found.severity == severity),
        "{name} was not found: {findings:#?}"
    );
}

fn hours(hours: u64) -> Duration {
    Duration::from_hours(hours)
}

#[tokio::test]
async fn a_good_set_up_has_no_findings() {
    let server = server_or_return!();
    assert_eq!(found(&server, |there| there).await, []);
    // What was never made is not looked for.
    assert_eq!(examine(&server, &topic("nothing")).await, []);
    let provider = connect(&server, &json!({})).await;
    let (name, group) = (topic("ours"), group("g"));
    provider.declare_dyn(&spec(&name, &[&group])).await.unwrap();
    assert_eq!(examine(&server, &name).await, [], "what declare makes is good");
}

#[tokio::test]
async fn a_subscription_without_order_of_a_topic_with_keys() {
    let server = server_or_return!();
    let findings = found(&server, |there| there.set_enable_message_ordering(false)).await;
    assert_found(&findings, "pubsub-no-ordering", Severity::Refusal);
    assert_eq!(findings.len(), 1, "{findings:#?}");
}

#[tokio::test]
async fn a_subscription_that_pushes() {
    let server = server_or_return!();
    let push = PushConfig::new().set_push_endpoint("http://127.0.0.1:9/nobody");
    let findings = found(&server, |there| there.set_push_config(push)).await;
    assert_found(&findings, "pubsub-push-subscription", Severity::Refusal);
}

#[tokio::test]
async fn a_subscription_with_a_filter() {
    let server = server_or_return!();
    let findings = found(&server, |there| there.set_filter("attributes:tenant")).await;
    assert_found(&findings, "pubsub-filter", Severity::Refusal);
}

#[tokio::test]
async fn a_subscription_that_expires() {
    let server = server_or_return!();
    for (ttl, severity) in [
        (hours(24), Severity::Refusal),
        (hours(31 * 24), Severity::Warning),
    ] {
        let mut policy = ExpirationPolicy::new();
        policy.ttl = ttl.try_into().ok();
        let findings = found(&server, |there| there.set_expiration_policy(policy)).await;
        assert_found(&findings, "pubsub-subscription-expires", severity);
    }
}

#[tokio::test]
async fn a_subscription_that_forgets_soon() {
    let server = server_or_return!();
    let findings = found(&server, |mut there| {
        there.message_retention_duration = Duration::from_mins(10).try_into().ok();
        there
    })
    .await;
    assert_found(&findings, "pubsub-retention-short", Severity::Warning);
}

#[tokio::test]
async fn a_subscription_that_waits_less_than_the_lease() {
    let server = server_or_return!();
    let findings = found(&server, |there| there.set_ack_deadline_seconds(10)).await;
    assert_found(&findings, "pubsub-ack-deadline-short", Severity::Warning);
}

#[tokio::test]
async fn dead_letters_that_go_where_nobody_reads() {
    let server = server_or_return!();
    let admin = Admin::new(&server).await;
    let nowhere = admin.topic(&topic("nowhere").physical()).await;
    let policy = DeadLetterPolicy::new()
        .set_dead_letter_topic(&nowhere)
        .set_max_delivery_attempts(5);
    let findings = found(&server, |there| there.set_dead_letter_policy(policy)).await;
    assert_found(
        &findings,
        "pubsub-dead-letter-without-subscription",
        Severity::Refusal,
    );
    assert_found(&findings, "pubsub-dead-letter-policy", Severity::Warning);
    assert!(
        findings.iter().any(|found| found.message.contains(&nowhere)),
        "{findings:#?}"
    );
}

#[tokio::test]
async fn a_topic_of_dead_letters_that_nobody_reads_where_nothing_is_made() {
    let server = server_or_return!();
    let admin = Admin::new(&server).await;
    let name = topic("unread");
    admin.topic(&format!("{}.g.dlq", name.physical())).await;
    let groups = [spec(&name, &[&group("g")])];
    let checked = connect(&server, &json!({"declare": "check"})).await;
    let findings = checked.examine_dyn(&groups).await.unwrap();
    assert_found(
        &findings,
        "pubsub-dead-letter-without-subscription",
        Severity::Refusal,
    );
    let created = connect(&server, &json!({})).await;
    assert_eq!(
        created.examine_dyn(&groups).await.unwrap(),
        [],
        "declare would make it"
    );
}

#[tokio::test]
async fn a_subscription_whose_topic_was_deleted() {
    let server = server_or_return!();
    let admin = Admin::new(&server).await;
    let name = topic("deleted");
    let path = admin.topic(&name.physical()).await;
    admin
        .subscription(&format!("{}.g", name.physical()), &path, |there| there)
        .await;
    admin.topics.delete_topic().set_topic(&path).send().await.unwrap();
    let findings = examine(&server, &name).await;
    assert_found(&findings, "pubsub-topic-deleted", Severity::Refusal);
}
