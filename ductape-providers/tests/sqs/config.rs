//! What each key of the configuration does.

use ductape_providers::capability::Order;
use ductape_providers::config::ProviderConfig;
use ductape_providers::{ErrorKind, Outgoing, Route};
use serde_json::json;

use crate::{connect, consume, group, publish, raw, server, shape, spec, unique};

#[test]
fn requests_do_not_go_unencrypted_to_another_host_unless_it_is_allowed() {
    let far = |more| ProviderConfig::from_value(&shape("http://sqs.example:4566", &more));
    let error = far(json!({})).unwrap_err().to_string();
    assert!(
        error.contains("endpoint") && error.contains("allowPlaintext"),
        "{error}"
    );
    far(json!({"allowPlaintext": true})).unwrap();
    ProviderConfig::from_value(&shape("https://sqs.example", &json!({}))).unwrap();
}

#[test]
fn an_account_has_twelve_digits() {
    let with = |account: &str| {
        ProviderConfig::from_value(&shape("http://localhost", &json!({"accountId": account})))
    };
    with("123456789012").unwrap();
    for account in ["1", "12345678901x"] {
        let error = with(account).unwrap_err().to_string();
        assert!(error.contains("12 digits"), "{error}");
    }
}

#[tokio::test]
async fn without_fifo_topics_and_queues_are_standard_and_messages_can_be_delayed() {
    let Some(endpoint) = server("DUCTAPE_TEST_SQS") else {
        return;
    };
    let (topic, group) = (unique("standard"), group("g"));
    let spec = spec(&topic, std::slice::from_ref(&group));
    let (sqs, _) = raw(&endpoint);
    let name = format!("{}__g", topic.physical().replace('.', "_"));
    let fifo_name = format!("{name}.fifo");
    for (fifo, order, name) in [(true, Order::PerKey, &fifo_name), (false, Order::None, &name)] {
        let provider = connect(&endpoint, &json!({"fifo": fifo})).await.unwrap();
        assert_eq!(provider.capability_dyn().order, order);
        assert_eq!(provider.capability_dyn().group_delay_max.is_some(), !fifo);
        provider.declare_dyn(&spec).await.unwrap();
        let found = sqs.get_queue_url().queue_name(name).send().await.unwrap();
        assert!(found.queue_url().unwrap().ends_with(name));
    }
}

#[tokio::test]
async fn a_topic_of_queue_urls_is_that_queue_and_has_one_group() {
    for variable in ["DUCTAPE_TEST_SQS", "DUCTAPE_TEST_SQS_MOTO"] {
        let Some(endpoint) = server(variable) else { return };
        let (sqs, sns) = raw(&endpoint);
        let topic = unique("given");
        let name = format!("orders-{}.fifo", topic.event().topic());
        let create = sqs.create_queue().queue_name(&name);
        let create = create.attributes(aws_sdk_sqs::types::QueueAttributeName::FifoQueue, "true");
        let url = create.send().await.unwrap().queue_url.unwrap();
        let provider = connect(&endpoint, &json!({"queueUrls": {(topic.event().topic()): url}}))
            .await
            .unwrap();
        let (one, two) = (group("one"), group("two"));
        provider
            .declare_dyn(&spec(&topic, std::slice::from_ref(&one)))
            .await
            .unwrap();
        let refused = provider
            .declare_dyn(&spec(&topic, std::slice::from_ref(&two)))
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
        assert!(
            refused.to_string().contains("`one`") && refused.to_string().contains("`two`"),
            "{refused}"
        );

        publish(
            &provider,
            Outgoing::new(topic.clone(), "to the topic").with_key("k"),
        )
        .await
        .unwrap();
        let alone = Outgoing::new(topic.clone(), "to the group").with_route(Route::Group(one.name.clone()));
        publish(&provider, alone.with_key("k")).await.unwrap();
        let came = consume(&provider, &topic, &one, 2).await;
        assert_eq!(came[0].message.payload, "to the topic", "{variable}");
        assert_eq!(came[1].message.payload, "to the group", "{variable}");
        // Nothing of it is in SNS.
        let topics = sns.list_topics().send().await.unwrap();
        let tag = topic.event().topic();
        assert!(
            !topics
                .topics()
                .iter()
                .any(|found| found.topic_arn().unwrap().contains(tag))
        );
        provider.ping_dyn().await.unwrap();
    }
}

#[tokio::test]
async fn a_queue_of_queue_urls_that_is_missing_is_created_or_told() {
    let Some(endpoint) = server("DUCTAPE_TEST_SQS") else {
        return;
    };
    let (topic, group) = (unique("missing"), group("g"));
    let name = format!("orders-{}", topic.event().topic());
    let declared = |account: &'static str, declare: &'static str| {
        let url = format!("{endpoint}/{account}/{name}");
        let given = json!({"declare": declare, "queueUrls": {(topic.event().topic()): url}});
        let (endpoint, mut spec) = (endpoint.clone(), spec(&topic, std::slice::from_ref(&group)));
        spec.keyed = false;
        async move { connect(&endpoint, &given).await.unwrap().declare_dyn(&spec).await }
    };
    let missing = declared("000000000000", "check").await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::TopicMissing, "{missing}");
    assert!(missing.to_string().contains(&name), "{missing}");
    let other = declared("999999999999", "create").await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::TopologyMismatch, "{other}");
}

#[tokio::test]
async fn checking_creates_nothing_and_off_does_not_even_look() {
    let Some(endpoint) = server("DUCTAPE_TEST_SQS") else {
        return;
    };
    let (topic, group) = (unique("declare"), group("g"));
    let spec = spec(&topic, std::slice::from_ref(&group));
    // Something is in SNS, so that the account is known.
    let creating = connect(&endpoint, &json!({})).await.unwrap();
    creating
        .declare_dyn(&crate::spec(&unique("other"), &[]))
        .await
        .unwrap();

    let checking = connect(&endpoint, &json!({"declare": "check"})).await.unwrap();
    let error = checking.declare_dyn(&spec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TopicMissing, "{error}");
    let off = connect(&endpoint, &json!({"declare": "off", "accountId": "000000000000"}))
        .await
        .unwrap();
    off.declare_dyn(&spec).await.unwrap();
    let error = publish(&off, Outgoing::new(topic.clone(), "lost"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TopicMissing, "{error}");

    creating.declare_dyn(&crate::spec(&topic, &[])).await.unwrap();
    let error = checking.declare_dyn(&spec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::GroupMissing, "{error}");
    creating.declare_dyn(&spec).await.unwrap();
    checking.declare_dyn(&spec).await.unwrap();
    off.declare_dyn(&spec).await.unwrap();
    publish(&off, Outgoing::new(topic.clone(), "kept")).await.unwrap();
    assert_eq!(
        consume(&checking, &topic, &group, 1).await[0].message.payload,
        "kept"
    );
}
