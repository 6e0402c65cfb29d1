//! What a wrong set-up is found as.

use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use ductape_providers::{AnyProvider, ErrorKind, TopicName, TopicSpec};
use serde_json::json;

use crate::{connect, group, raw, server, spec, unique};

/// The names of what is found of `spec`, in order.
async fn found(provider: &AnyProvider, spec: &TopicSpec) -> Vec<&'static str> {
    let findings = provider.examine_dyn(std::slice::from_ref(spec)).await.unwrap();
    let mut names: Vec<&str> = findings.iter().map(|finding| finding.name).collect();
    names.sort_unstable();
    names
}

fn queue_of(topic: &TopicName, suffix: &str) -> String {
    format!("{}__g{suffix}", topic.physical().replace('.', "_"))
}

#[tokio::test]
async fn what_was_declared_has_no_findings_nor_has_what_is_missing() {
    for variable in ["DUCTAPE_TEST_SQS", "DUCTAPE_TEST_SQS_MOTO"] {
        let Some(endpoint) = server(variable) else { return };
        let provider = connect(&endpoint, &json!({})).await.unwrap();
        let spec = spec(&unique("good"), &[group("g")]);
        assert!(found(&provider, &spec).await.is_empty());
        provider.declare_dyn(&spec).await.unwrap();
        assert!(found(&provider, &spec).await.is_empty(), "{variable}");
    }
}

#[tokio::test]
async fn a_queue_that_is_set_up_wrongly_is_found() {
    for variable in ["DUCTAPE_TEST_SQS", "DUCTAPE_TEST_SQS_MOTO"] {
        let Some(endpoint) = server(variable) else { return };
        let provider = connect(&endpoint, &json!({})).await.unwrap();
        let (sqs, _) = raw(&endpoint);
        let topic = unique("wrong");
        let spec = spec(&topic, &[group("g")]);
        provider.declare_dyn(&spec).await.unwrap();
        let url = |name: String| {
            let sqs = sqs.clone();
            async move {
                let answer = sqs.get_queue_url().queue_name(name).send().await.unwrap();
                answer.queue_url.unwrap()
            }
        };
        let (queue, dead) = (
            url(queue_of(&topic, ".fifo")).await,
            url(queue_of(&topic, "__DLQ")).await,
        );
        let target = format!(
            "arn:aws:sqs:us-east-1:{}:{}",
            account(&queue),
            queue_of(&topic, "-other.fifo")
        );
        sqs.create_queue()
            .queue_name(queue_of(&topic, "-other.fifo"))
            .attributes(Attribute::FifoQueue, "true")
            .send()
            .await
            .unwrap();
        let redrive = json!({"deadLetterTargetArn": target, "maxReceiveCount": 3}).to_string();
        for (attribute, value, name) in [
            (Attribute::MessageRetentionPeriod, "3600", "sqs-retention-short"),
            (Attribute::DelaySeconds, "30", "sqs-delay-seconds"),
            (Attribute::MaximumMessageSize, "65536", "sqs-message-size-small"),
            (Attribute::RedrivePolicy, &redrive, "sqs-receive-count-low"),
        ] {
            let before = found(&provider, &spec).await;
            let set = sqs
                .set_queue_attributes()
                .queue_url(&queue)
                .attributes(attribute, value);
            set.send().await.unwrap();
            let after = found(&provider, &spec).await;
            assert!(
                !before.contains(&name) && after.contains(&name),
                "{variable} {name}: {after:?}"
            );
        }
        let set = sqs.set_queue_attributes().queue_url(&dead);
        let set = set.attributes(Attribute::MessageRetentionPeriod, "60").send();
        set.await.unwrap();
        assert!(
            found(&provider, &spec)
                .await
                .contains(&"sqs-dead-letters-retention-short")
        );
    }
}

fn account(queue_url: &str) -> &str {
    queue_url.rsplit('/').nth(1).unwrap()
}

#[tokio::test]
async fn a_queue_without_a_policy_is_found() {
    let Some(endpoint) = server("DUCTAPE_TEST_SQS") else {
        return;
    };
    let provider = connect(&endpoint, &json!({})).await.unwrap();
    let (sqs, _) = raw(&endpoint);
    let topic = unique("policy");
    let spec = spec(&topic, &[group("g")]);
    // Made by hand, before the program was.
    let create = sqs.create_queue().queue_name(queue_of(&topic, ".fifo"));
    create
        .attributes(Attribute::FifoQueue, "true")
        .send()
        .await
        .unwrap();
    provider.declare_dyn(&spec).await.unwrap();
    assert_eq!(found(&provider, &spec).await, ["sqs-queue-refuses-topic"]);
}

#[tokio::test]
async fn a_subscription_that_is_not_raw_or_filters_is_found_and_not_declared_over() {
    for variable in ["DUCTAPE_TEST_SQS", "DUCTAPE_TEST_SQS_MOTO"] {
        let Some(endpoint) = server(variable) else { return };
        let provider = connect(&endpoint, &json!({})).await.unwrap();
        let (_, sns) = raw(&endpoint);
        let topic = unique("raw");
        let spec = spec(&topic, &[group("g")]);
        provider.declare_dyn(&spec).await.unwrap();
        let queue = queue_of(&topic, ".fifo");
        let topics = sns
            .list_topics()
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .unwrap();
        let name = format!(":{}.fifo", topic.physical().replace('.', "_"));
        let arns = topics.iter().filter_map(|topic| topic.topic_arn());
        let arn = arns.into_iter().find(|arn| arn.ends_with(&name)).unwrap();
        let listed = sns
            .list_subscriptions_by_topic()
            .topic_arn(arn)
            .send()
            .await
            .unwrap();
        let one = listed
            .subscriptions()
            .iter()
            .find(|one| one.endpoint().unwrap().ends_with(&queue));
        let subscription = one.unwrap().subscription_arn().unwrap().to_owned();
        for (name, value, finding) in [
            (
                "FilterPolicy",
                r#"{"tenant":["acme"]}"#,
                "sqs-subscription-filter",
            ),
            ("RawMessageDelivery", "false", "sqs-subscription-not-raw"),
        ] {
            let set = sns.set_subscription_attributes().subscription_arn(&subscription);
            set.attribute_name(name)
                .attribute_value(value)
                .send()
                .await
                .unwrap();
            let names = found(&provider, &spec).await;
            assert!(names.contains(&finding), "{variable} {finding}: {names:?}");
        }
        // Another process that starts later is told, before anything flows.
        let other = connect(&endpoint, &json!({})).await.unwrap();
        let error = other.declare_dyn(&spec).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TopologyMismatch, "{variable}: {error}");
        assert!(error.to_string().contains(&queue), "{error}");
        let unsubscribe = sns.unsubscribe().subscription_arn(&subscription);
        unsubscribe.send().await.unwrap();
        let checking = connect(&endpoint, &json!({"declare": "check"})).await.unwrap();
        assert_eq!(
            found(&checking, &spec).await,
            ["sqs-subscription-missing"],
            "{variable}"
        );
        let error = checking.declare_dyn(&spec).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::GroupMissing, "{variable}: {error}");
    }
}

#[tokio::test]
async fn a_standard_queue_or_topic_for_keys_is_found() {
    let Some(endpoint) = server("DUCTAPE_TEST_SQS") else {
        return;
    };
    let topic = unique("keys");
    let (sqs, _) = raw(&endpoint);
    let name = format!("given-{}", topic.event().topic());
    let url = sqs
        .create_queue()
        .queue_name(&name)
        .send()
        .await
        .unwrap()
        .queue_url
        .unwrap();
    let mut spec = spec(&topic, &[group("g")]);
    let given = json!({"queueUrls": {(topic.event().topic()): url}});
    let provider = connect(&endpoint, &given).await.unwrap();
    // The queue of a stand-in keeps messages for four days, as that of AWS.
    assert_eq!(found(&provider, &spec).await, ["sqs-standard-queue-with-key"]);
    spec.keyed = false;
    assert!(found(&provider, &spec).await.is_empty());
    spec.keyed = true;

    let standard = connect(&endpoint, &json!({"fifo": false})).await.unwrap();
    standard.declare_dyn(&spec).await.unwrap();
    assert!(found(&standard, &spec).await.is_empty());
    let provider = connect(&endpoint, &json!({})).await.unwrap();
    assert_eq!(found(&provider, &spec).await, ["sqs-standard-topic-with-key"]);
}
