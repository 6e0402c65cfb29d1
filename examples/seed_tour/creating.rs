//! Brokers and topics: created, listed, fetched, changed.

use ductape_events::ErrorCode;
use ductape_events::prelude::*;
use ductape_events::registry::{
    BrokerChange, BrokerEnv, BrokerType, Messaging, NewBroker, NewTopic, QueueUrl, RegisteredTopic,
    TopicChange,
};
use serde_json::{Value, json};

use crate::PRODUCT;
use crate::checked::{Result, ensure, section, shows};
use crate::messages::Received;

/// The product whose brokers and topics the tour creates: those of [`PRODUCT`] are there since this program started.
const NEW_PRODUCT: &str = "my-new-product";

pub(crate) async fn listing_and_fetching(ductape: &Ductape) -> Result<()> {
    section("Listing and Fetching Brokers and Topics");
    let messaging = ductape.messaging();
    // The broker of the program's own topic is there since its start, and is called as its tag until someone names it.
    let named = BrokerChange {
        name: Some("Order Events".to_owned()),
        ..BrokerChange::default()
    };
    messaging.update("order-events", named).await?;

    let brokers = messaging.list().await?;
    for b in brokers.iter().filter(|b| b.tag == "order-events") {
        shows(
            format!("Broker: {} {}", b.tag, b.name),
            "Broker: order-events Order Events",
        )?;
    }
    let broker = messaging.fetch("order-events").await?;
    let broker = broker.ok_or("the broker of the program's own topic is not registered")?;
    shows(format!("Name: {}", broker.name), "Name: Order Events")?;
    let slugs: Vec<&str> = broker.envs.iter().map(|e| e.slug.as_str()).collect();
    shows(format!("Environments: {slugs:?}"), r#"Environments: ["prd"]"#)?;
    ensure(messaging.fetch("none").await?.is_none(), "there is no other")?;

    let topics = messaging.topics().list("order-events").await?;
    for t in topics.iter().filter(|t| t.topic_tag == "order-created") {
        shows(
            format!("Topic: {} {}", t.tag, t.name),
            "Topic: order-events:order-created Order Created",
        )?;
    }
    let topic = messaging.topics().fetch("order-events:order-created").await?;
    let topic = topic.ok_or("the program's own topic is not registered")?;
    shows(format!("Name: {}", topic.name), "Name: Order Created")?;
    let sample = topic.sample.unwrap_or_default();
    shows(
        format!("Sample: {} of {}", sample["orderId"], sample["customerId"]),
        r#"Sample: "12345" of "cust_789""#,
    )
}

/// The new product as it was before the tour.
async fn emptied<'d>(ductape: &'d Ductape, product: &str) -> Result<Messaging<'d>> {
    let messaging = ductape.messaging().of_product(product);
    for broker in messaging.list().await? {
        messaging.delete(&broker.tag).await?;
    }
    Ok(messaging)
}

pub(crate) async fn creating_a_message_broker(ductape: &Ductape) -> Result<()> {
    section("Creating a Message Broker");
    let messaging = emptied(ductape, NEW_PRODUCT).await?;
    let broker = messaging
        .create(NewBroker {
            name: "Order Events".to_owned(),
            tag: "order-events".to_owned(),
            description: Some("Handles all order-related messages".to_owned()),
            envs: vec![
                BrokerEnv::new(
                    "prd",
                    BrokerType::Kafka,
                    json!({
                        "brokers": ["kafka-prod.example.com:9092"],
                        "clientId": "order-service",
                        "groupId": "order-consumers",
                        "topic": "orders",
                        "ssl": true,
                        "sasl": {
                            "mechanism": "scram-sha-256",
                            "username": "prod-user",
                            "password": "prod-password",
                        },
                    }),
                ),
                BrokerEnv::new(
                    "dev",
                    BrokerType::Redis,
                    json!({ "host": "localhost", "port": 6379 }),
                ),
            ],
        })
        .await?;
    for env in &broker.envs {
        println!("{} is {}: {}", env.slug, env.kind, env.config);
    }
    // What is secret is sealed, and never shown.
    let kafka = broker.envs.iter().find(|env| env.slug == "prd");
    let shown = kafka.map_or(Value::Null, |env| env.config["sasl"]["password"].clone());
    shows(format!("Password: {shown}"), r#"Password: "***""#)?;
    let again = NewBroker {
        name: "Order Events".to_owned(),
        tag: "order-events".to_owned(),
        description: None,
        envs: vec![BrokerEnv::new("dev", BrokerType::Embedded, json!({}))],
    };
    let refused = messaging.create(again).await;
    let code = refused.err().map(|error| error.code());
    shows(code.map_or("created", ErrorCode::as_str), "ALREADY_EXISTS")
}

pub(crate) async fn provider_config_shapes(ductape: &Ductape) -> Result<()> {
    section("Provider config shapes");
    let messaging = emptied(ductape, "my-shapes").await?;
    let sasl = json!({ "mechanism": "plain", "username": "u", "password": "p" });
    for (tag, kind, config) in [
        (
            "kafka",
            BrokerType::Kafka,
            json!({
                "brokers": ["broker1:9092", "broker2:9092"], "clientId": "c", "groupId": "g", "topic": "t",
                "ssl": true, "sasl": sasl,
            }),
        ),
        (
            "rabbitmq",
            BrokerType::RabbitMq,
            json!({ "url": "amqps://user:pass@host/vhost" }),
        ),
        (
            "rabbitmq-by-parts",
            BrokerType::RabbitMq,
            json!({
                "host": "host", "port": 5672, "username": "user", "password": "pass", "queue": "q", "routingKey": "r",
                "tls": true,
            }),
        ),
        (
            "redis",
            BrokerType::Redis,
            json!({ "host": "localhost", "port": 6379, "password": "p" }),
        ),
        (
            "aws-sqs",
            BrokerType::AwsSqs,
            json!({ "region": "us-east-1", "accessKeyId": "AKIA", "secretAccessKey": "s" }),
        ),
        (
            "google-pubsub",
            BrokerType::GooglePubSub,
            json!({
                "projectId": "my-project", "topicName": "orders", "subscriptionName": "orders-sub", "keyFilename": "key.json",
            }),
        ),
        (
            "nats",
            BrokerType::Nats,
            json!({
                "servers": "nats://localhost:4222", "user": "u", "pass": "p", "name": "n",
                "maxReconnectAttempts": 10, "reconnectTimeWait": 2000,
            }),
        ),
        (
            "nats-with-token",
            BrokerType::Nats,
            json!({ "servers": ["tls://a:4222", "tls://b:4222"], "token": "t" }),
        ),
    ] {
        let created = messaging
            .create(NewBroker {
                tag: tag.to_owned(),
                name: tag.to_owned(),
                description: None,
                envs: vec![BrokerEnv::new("prd", kind, config)],
            })
            .await?;
        shows(
            format!("{tag}: {}", created.envs[0].kind),
            &format!("{tag}: {kind}"),
        )?;
    }
    // What is wrong with a configuration is told before anything connects.
    let wrong = messaging
        .create(NewBroker {
            tag: "wrong".to_owned(),
            name: "Wrong".to_owned(),
            description: None,
            envs: vec![BrokerEnv::new(
                "prd",
                BrokerType::Kafka,
                json!({ "brokrs": ["broker1:9092"] }),
            )],
        })
        .await;
    let error = wrong.err().ok_or("a configuration without brokers was taken")?;
    println!("{error}");
    shows(error.code(), "CONFIG_INVALID")
}

pub(crate) async fn managing_topics(ductape: &Ductape) -> Result<()> {
    section("Managing Topics");
    let messaging = ductape.messaging().of_product(NEW_PRODUCT);
    let topics = messaging.topics();

    println!("# Create a topic");
    let topic = topics
        .create(NewTopic {
            name: "Order Created".to_owned(),
            tag: "order-events:order-created".to_owned(),
            description: Some("Emitted when an order is created".to_owned()),
            sample: Some(json!({
                "orderId": "12345", "customerId": "cust_789", "total": 99.99, "createdAt": "2024-01-15T10:30:00Z",
            })),
            ..NewTopic::default()
        })
        .await?;
    shows(
        format!("{}: {}", topic.tag, topic.description.unwrap_or_default()),
        "order-events:order-created: Emitted when an order is created",
    )?;

    println!("# For AWS SQS, with queue URLs per environment");
    let url = |env: &str| QueueUrl {
        env_slug: env.to_owned(),
        url: format!("https://sqs.us-east-1.amazonaws.com/123/orders-{env}"),
    };
    let topic = topics
        .create(NewTopic {
            name: "Order Created".to_owned(),
            tag: "order-events:order-created".to_owned(),
            // The first one is version 1.
            version: Some(2),
            queue_urls: vec![url("prd"), url("dev")],
            sample: Some(json!({ "orderId": "12345" })),
            ..NewTopic::default()
        })
        .await?;
    for url in &topic.queue_urls {
        println!("{}: {}", url.env_slug, url.url);
    }
    shows(format!("{} URLs", topic.queue_urls.len()), "2 URLs")?;

    println!("# Update a topic");
    let topic = ductape
        .messaging()
        .topics()
        .update(
            "order-events:order-created",
            TopicChange {
                description: Some("Updated description".to_owned()),
                sample: Some(json!({
                    "orderId": "12345", "customerId": "cust_789", "total": 99.99, "status": "pending",
                })),
                ..TopicChange::default()
            },
        )
        .await?;
    shows(topic.description.unwrap_or_default(), "Updated description")?;
    shows(
        topic.sample.unwrap_or_default(),
        r#"{"customerId":"cust_789","orderId":"12345","status":"pending","total":99.99}"#,
    )?;
    emptied(ductape, NEW_PRODUCT).await?;
    emptied(ductape, "my-shapes").await?;
    Ok(())
}

pub(crate) async fn event_format(ductape: &Ductape) -> Result<()> {
    section("Event Format");
    let messaging = ductape.messaging();
    let broker = NewBroker {
        name: "Notifications".to_owned(),
        tag: "notifications".to_owned(),
        description: None,
        envs: vec![BrokerEnv::new("prd", BrokerType::Embedded, json!({}))],
    };
    there_by_now(messaging.create(broker).await)?;
    for (event, name) in [
        ("order-events:payment-processed", "Payment Processed"),
        ("notifications:user-alerts", "User Alerts"),
    ] {
        let topic = NewTopic {
            tag: event.to_owned(),
            name: name.to_owned(),
            ..NewTopic::default()
        };
        there_by_now(messaging.topics().create(topic).await)?;
    }
    for (event, wanted) in [
        (
            "order-events:order-created",
            "order-events:order-created | order-events | order-created",
        ),
        (
            "order-events:payment-processed",
            "order-events:payment-processed | order-events | payment-processed",
        ),
        (
            "notifications:user-alerts",
            "notifications:user-alerts | notifications | user-alerts",
        ),
    ] {
        let topic = messaging.topics().fetch(event).await?;
        let RegisteredTopic {
            tag,
            broker_tag,
            topic_tag,
            product,
            ..
        } = topic.ok_or("a topic that was created is not there")?;
        ensure(product == PRODUCT, "it is the product's own")?;
        shows(format!("{tag} | {broker_tag} | {topic_tag}"), wanted)?;
    }
    // What the registry alone has is produced and consumed by its name.
    let received = Received::default();
    let callback = received.clone();
    messaging
        .consume("notifications:user-alerts", move |message| {
            callback.note(message);
            async { Ok(()) }
        })
        .await?;
    messaging
        .produce(
            "notifications:user-alerts",
            &json!({ "user": "u1", "text": "hello" }),
        )
        .await?;
    shows(
        received.with("user", "u1").await?,
        r#"{"text":"hello","user":"u1"}"#,
    )
}

/// What was created, or was so by an earlier tour.
fn there_by_now<T>(created: std::result::Result<T, BrokerError>) -> Result<()> {
    match created {
        Ok(_) => Ok(()),
        Err(error) if error.code() == ErrorCode::AlreadyExists => Ok(()),
        Err(error) => Err(error.into()),
    }
}
