//! Topics of the registry, with and without a Rust type.

use std::time::Duration;

use ductape_events::ErrorCode;
use ductape_events::prelude::*;
use ductape_events::registry::{BrokerEnv, BrokerType, NewBroker, NewTopic, QueueUrl, TopicChange};
use ductape_events::store::Store;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::bill;
use crate::support::{places, sqlite};

async fn program(store: &Store) -> Ductape {
    let builder = Ductape::builder()
        .without_inventory()
        .without_config()
        .consumer::<bill>();
    builder.store(store.clone()).build().await.unwrap()
}

async fn create_broker(ductape: &Ductape, tag: &str, env: BrokerEnv) {
    let broker = NewBroker {
        tag: tag.to_owned(),
        name: tag.to_owned(),
        envs: vec![env],
        ..NewBroker::default()
    };
    ductape.messaging().create(broker).await.unwrap();
}

fn topic(tag: &str, sample: Value, schema: Option<Value>) -> NewTopic {
    NewTopic {
        tag: tag.to_owned(),
        name: "Topic".to_owned(),
        sample: Some(sample),
        schema,
        ..NewTopic::default()
    }
}

/// What a produced event needs.
fn schema(field: &str) -> Value {
    json!({ "type": "object", "required": [field] })
}

#[tokio::test]
async fn a_topic_without_a_type_is_produced_checked_and_consumed() {
    for place in places().await {
        let store = place.open().await;
        let ductape = program(&store).await;
        ductape.start().await.unwrap();
        let messaging = ductape.messaging();
        // A broker that this program does not know yet.
        create_broker(
            &ductape,
            "stock",
            BrokerEnv::new("dev", BrokerType::Embedded, json!({})),
        )
        .await;
        let topics = messaging.topics();
        topics
            .create(topic("stock:sold", json!({ "item": 1 }), Some(schema("item"))))
            .await
            .unwrap();
        let (sender, mut seen) = mpsc::channel(8);
        messaging
            .consume("stock:sold", move |message| {
                let sender = sender.clone();
                async move {
                    sender.send(message).await.unwrap();
                    Ok(())
                }
            })
            .await
            .unwrap();
        let receipt = messaging
            .produce("stock:sold", &json!({ "item": 7 }))
            .await
            .unwrap();
        assert!(receipt.success);
        let first = timeout(Duration::from_secs(20), seen.recv()).await.unwrap();
        assert_eq!(first, Some(json!({ "item": 7 })));
        let error = messaging
            .produce("stock:sold", &json!({ "thing": "CANARY" }))
            .await
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::PayloadInvalid, "{error}");
        // A change is known to this program at once.
        let change = TopicChange {
            sample: Some(json!({ "thing": 1 })),
            schema: Some(schema("thing")),
            ..TopicChange::default()
        };
        topics.update("stock:sold", change).await.unwrap();
        messaging
            .produce("stock:sold", &json!({ "thing": 1 }))
            .await
            .unwrap();
        messaging
            .produce("stock:sold", &json!({ "item": 7 }))
            .await
            .unwrap_err();
        // Without a schema it is checked against nothing.
        topics
            .create(topic("stock:counted", json!(1), None))
            .await
            .unwrap();
        messaging
            .produce("stock:counted", &json!(["anything"]))
            .await
            .unwrap();
        let groups = store
            .registry()
            .consumers("app", "dev", Some(("stock", "sold")), std::time::UNIX_EPOCH)
            .await;
        assert_eq!(
            groups.unwrap()[0].tag,
            "app",
            "the group of what was added at run time"
        );
        ductape.shutdown().await.unwrap();
        let error = messaging
            .produce("stock:sold", &json!({ "thing": 1 }))
            .await
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::ShuttingDown, "{error}");
    }
}

#[tokio::test]
async fn topics_with_a_type_need_nothing_but_the_type() {
    let place = sqlite();
    let store = place.open().await;
    let ductape = program(&store).await;
    let messaging = ductape.messaging();
    messaging
        .produce("shop:paid", &json!({ "order": "1" }))
        .await
        .unwrap();
    let error = messaging.produce("shop:paid", &json!({})).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PayloadInvalid, "{error}");
    let error = messaging
        .topics()
        .create(topic("shop:paid", json!({}), None))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::AlreadyExists, "{error}");
    assert!(error.to_string().contains("a program has it"), "{error}");
    let listed = messaging.topics().list("shop").await.unwrap();
    assert_eq!(listed[0].tag, "shop:paid");
    let json = serde_json::to_value(&listed[0]).unwrap();
    for (field, value) in [("brokerTag", "shop"), ("topicTag", "paid"), ("name", "Paid")] {
        assert_eq!(json[field], value, "{json}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_with_what_is() {
    let place = sqlite();
    let store = place.open().await;
    let ductape = program(&store).await;
    let messaging = ductape.messaging();
    for (event, code, told) in [
        (
            "shop:payed",
            ErrorCode::TopicNotFound,
            "did you mean `shop:paid`?",
        ),
        ("shopp:paid", ErrorCode::BrokerNotFound, "did you mean `shop`?"),
        ("nonsense", ErrorCode::EventNameInvalid, "nonsense"),
        ("shop:o'x\u{0}", ErrorCode::EventNameInvalid, "shop"),
    ] {
        let change = TopicChange::default();
        for error in [
            messaging.produce(event, &json!({})).await.unwrap_err(),
            messaging.consume(event, async |_| Ok(())).await.unwrap_err(),
            messaging.topics().update(event, change).await.unwrap_err(),
        ] {
            assert_eq!(error.code(), code, "{event}: {error}");
            assert!(error.to_string().contains(told), "{event}: {error}");
        }
    }
    assert_eq!(messaging.topics().fetch("shop:payed").await.unwrap(), None);
    let version = TopicChange {
        version: Some(7),
        ..TopicChange::default()
    };
    let error = messaging.topics().update("shop:paid", version).await.unwrap_err();
    assert!(
        error.to_string().contains("has no version 7; its newest is 1"),
        "{error}"
    );
}

#[tokio::test]
async fn all_that_is_wrong_with_a_topic_is_said_at_once() {
    let place = sqlite();
    let store = place.open().await;
    let ductape = program(&store).await;
    let sqs = json!({ "region": "us-east-1" });
    create_broker(&ductape, "aws", BrokerEnv::new("prd", BrokerType::AwsSqs, sqs)).await;
    let url = |slug: &str, url: &str| QueueUrl {
        env_slug: slug.to_owned(),
        url: url.to_owned(),
    };
    let topics = ductape.messaging().topics();
    let wrong = NewTopic {
        name: String::new(),
        version: Some(0),
        queue_urls: vec![url("dev", "https://q"), url("prd", "not a URL")],
        ..topic("aws:paid", json!({ "n": 1 }), Some(schema("order")))
    };
    let error = topics.create(wrong).await.unwrap_err();
    assert_eq!(
        (error.code(), error.findings().len()),
        (ErrorCode::ConfigInvalid, 5),
        "{error}"
    );
    for part in [
        "name: is empty",
        "version: is 0",
        "\"order\" is a required property",
        "`dev` is no environment",
        "queueUrls.prd: is no URL",
    ] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    let error = topics
        .create(topic("aws:paid", json!(1), Some(json!({ "type": 7 }))))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("schema: is no JSON Schema"), "{error}");
    let good = NewTopic {
        queue_urls: vec![url("prd", "https://sqs.us-east-1.amazonaws.com/1/paid")],
        ..topic("aws:paid", json!({ "order": 1 }), Some(schema("order")))
    };
    let created = topics.create(good).await.unwrap();
    let json = serde_json::to_value(&created).unwrap();
    assert_eq!(
        json["queueUrls"],
        json!([{ "env_slug": "prd", "url": "https://sqs.us-east-1.amazonaws.com/1/paid" }])
    );
}
