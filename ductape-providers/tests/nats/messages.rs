use std::time::Duration;

use async_nats::HeaderMap;
use ductape_providers::{ErrorKind, MessageId, Outgoing, Settlement, TopicName, clock};
use serde_json::json;

use crate::own_server::OwnServer;
use crate::{connect, group, next, payload, plain, publish, raw, settle, spec, subscribe, topic};

#[tokio::test]
async fn messages_of_another_producer_are_taken_as_they_are() {
    let Some(server) = plain() else { return };
    let (topic, group, raw) = (topic(), group("g"), raw(&server).await);
    let provider = connect(&server).await.unwrap();
    provider.declare_dyn(&spec(&topic, &group)).await.unwrap();
    let mut subscription = subscribe(&provider, &topic, &group).await;

    raw.publish(topic.physical(), "bare".into())
        .await
        .unwrap()
        .await
        .unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("X-Tenant", "acme");
    headers.append("X-Twice", "one");
    headers.append("X-Twice", "two");
    headers.insert("ce-time", "yesterday");
    headers.insert("ductape-escaped", "x-tenant,nothing");
    headers.insert("Nats-Msg-Id", "order-7");
    raw.publish_with_headers(topic.physical(), headers, "\u{0}".into())
        .await
        .unwrap()
        .await
        .unwrap();

    let bare = next(&mut subscription).await;
    assert_eq!(payload(&bare), "bare");
    assert!(bare.message.headers.is_empty() && bare.message.key.is_none());
    let age = bare.message.published_at.unwrap().elapsed().unwrap();
    assert!(age < Duration::from_mins(1), "{age:?}");
    let id = bare.message.id.clone();
    settle(&*subscription, bare, Settlement::RequeueAfter(Duration::ZERO))
        .await
        .unwrap();

    let other = next(&mut subscription).await;
    assert_eq!(other.message.id, MessageId::from_text("order-7"));
    assert_eq!(other.message.headers.get("x-tenant"), Some("acme"));
    assert_eq!(other.message.headers.get("x-twice"), Some("one"));
    settle(&*subscription, other, Settlement::Ack).await.unwrap();

    let again = next(&mut subscription).await;
    assert_eq!(
        again.message.id, id,
        "without an id it has the same one at each delivery"
    );
    settle(&*subscription, again, Settlement::Ack).await.unwrap();
}

#[tokio::test]
async fn a_message_that_is_published_again_is_a_duplicate() {
    let Some(server) = plain() else { return };
    let (topic, group) = (topic(), group("g"));
    let provider = connect(&server).await.unwrap();
    provider.declare_dyn(&spec(&topic, &group)).await.unwrap();
    let message = Outgoing::new(topic.clone(), "once");
    let first = publish(&provider, message.clone()).await.unwrap();
    let second = publish(&provider, message).await.unwrap();
    assert_eq!((first.duplicate, second.duplicate), (false, true));
    assert_eq!(first.position, second.position);
    let backlog = provider.backlog_dyn(&topic, &group.name).await.unwrap();
    assert_eq!(backlog.ready, 1);
}

#[tokio::test]
async fn one_id_in_two_topics_is_no_duplicate() {
    let Some(server) = plain() else { return };
    let (one, group) = (topic(), group("g"));
    let other = format!("{}:other", one.event().broker());
    let other = TopicName::new(other.parse().unwrap(), one.version());
    let provider = connect(&server).await.unwrap();
    for topic in [&one, &other] {
        provider.declare_dyn(&spec(topic, &group)).await.unwrap();
        let mut message = Outgoing::new(topic.clone(), "{}");
        message.id = MessageId::from_text("order-7");
        let receipt = publish(&provider, message).await.unwrap();
        assert!(!receipt.duplicate, "{topic}");
    }
}

#[tokio::test]
async fn headers_count_into_what_the_server_takes() {
    let Some(server) = OwnServer::start("max_payload: 65536\njetstream { store_dir: \"STORE\" }") else {
        return;
    };
    let topic = topic();
    let provider = connect(&server.config()).await.unwrap();
    provider.declare_dyn(&spec(&topic, &group("g"))).await.unwrap();
    let max = provider.capability_dyn().payload_bytes_max;
    let mut message = Outgoing::new(topic, vec![b'x'; max]);
    publish(&provider, message.clone()).await.unwrap();
    // Control characters take three bytes each on the wire.
    for i in 0..4 {
        message.headers.insert(format!("h{i}"), "\u{1}".repeat(8_000));
    }
    message.id = MessageId::new();
    let error = publish(&provider, message).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PayloadTooLarge, "{error}");
    assert!(
        error.to_string().contains("65536") && !error.is_indeterminate(),
        "{error}"
    );
}

#[tokio::test]
async fn a_forbidden_publish_is_told_at_once() {
    let settings = r#"jetstream { store_dir: "STORE" }
        authorization { users: [
            { user: "all", password: "p" },
            { user: "reader", password: "p", permissions: { publish: ["$JS.>", "_INBOX.>"], subscribe: ["_INBOX.>"] } } ] }"#;
    let Some(server) = OwnServer::start(settings) else {
        return;
    };
    let topic = topic();
    let with = |user: &str| {
        let mut config = server.config();
        config["user"] = json!(user);
        config["pass"] = json!("p");
        config
    };
    let all = connect(&with("all")).await.unwrap();
    all.declare_dyn(&spec(&topic, &group("g"))).await.unwrap();
    let reader = connect(&with("reader")).await.unwrap();
    let began = clock::now();
    let error = publish(&reader, Outgoing::new(topic.clone(), "no"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
    assert!(error.to_string().contains(&topic.physical()), "{error}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    publish(&all, Outgoing::new(topic, "yes")).await.unwrap();
}

#[tokio::test]
async fn a_topic_whose_stream_is_gone_is_missing() {
    let Some(server) = plain() else { return };
    let (topic, raw) = (topic(), raw(&server).await);
    let provider = connect(&server).await.unwrap();
    provider.declare_dyn(&spec(&topic, &group("g"))).await.unwrap();
    raw.delete_stream(topic.event().broker()).await.unwrap();
    let error = publish(&provider, Outgoing::new(topic, "lost"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TopicMissing, "{error}");
}
