//! What is declared, under which names, and what others put there.

use std::time::Duration;

use ductape_providers::spec::SeekTo;
use ductape_providers::{ErrorKind, Outgoing, Route};
use google_cloud_auth::credentials::anonymous;
use google_cloud_pubsub::client::Publisher;
use google_cloud_pubsub::model::Message;
use serde_json::json;
use tokio::time::Instant;

use super::{Admin, PROJECT, Reader, connect, group, publish, server_or_return, spec, topic, unique};

#[tokio::test]
async fn a_group_has_a_subscription_that_keeps_order_and_never_expires() {
    let server = server_or_return!();
    let (provider, admin) = (connect(&server, &json!({})).await, Admin::new(&server).await);
    let (name, group) = (topic("t"), group("billing"));
    provider.declare_dyn(&spec(&name, &[&group])).await.unwrap();
    let base = name.physical();
    let there = admin.look(&format!("{base}.billing")).await.unwrap();
    assert_eq!(there.topic, format!("projects/{PROJECT}/topics/{base}"));
    assert!(there.enable_message_ordering && there.filter.is_empty());
    assert_eq!(there.ack_deadline_seconds, 30, "the lease");
    assert!(
        there.expiration_policy.is_some_and(|policy| policy.ttl.is_none()),
        "never"
    );
    for also in ["retry", "dlq"] {
        let there = admin.look(&format!("{base}.billing.{also}")).await.unwrap();
        assert!(
            there.topic.ends_with(&format!("{base}.billing.{also}")),
            "{}",
            there.topic
        );
    }
    let mut unkeyed = spec(&topic("unkeyed"), &[&group]);
    unkeyed.keyed = false;
    provider.declare_dyn(&unkeyed).await.unwrap();
    let there = admin
        .look(&format!("{}.billing", unkeyed.topic.physical()))
        .await
        .unwrap();
    assert!(
        !there.enable_message_ordering,
        "order is paid for only where there are keys"
    );
}

#[tokio::test]
async fn a_topic_name_is_shared_and_its_topics_are_told_apart() {
    let server = server_or_return!();
    let shared = unique("shared");
    let fields = json!({"topicName": shared});
    let (provider, admin) = (connect(&server, &fields).await, Admin::new(&server).await);
    let (one, two, group) = (topic("one"), topic("two"), group("g"));
    provider.declare_dyn(&spec(&one, &[&group])).await.unwrap();
    provider.declare_dyn(&spec(&two, &[&group])).await.unwrap();
    let there = admin.look(&format!("{}.g", one.physical())).await.unwrap();
    assert!(there.topic.ends_with(&shared), "{}", there.topic);
    assert!(there.filter.contains(one.event().as_str()), "{}", there.filter);

    let mut first = Reader::new(&provider, &one, &group).await;
    let mut second = Reader::new(&provider, &two, &group).await;
    for name in [&one, &two] {
        let mut message = Outgoing::new(name.clone(), name.event().as_str().to_owned());
        message.headers.insert("ce-type", name.event().as_str());
        publish(&provider, message).await;
    }
    assert_eq!(first.next().await.payload, one.event().as_str());
    assert_eq!(second.next().await.payload, two.event().as_str());
    first.silent().await;
    second.silent().await;
    // Declared again, by another process, it is as it was.
    connect(&server, &fields)
        .await
        .declare_dyn(&spec(&one, &[&group]))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_subscription_name_is_that_of_one_consumer_without_a_group() {
    let server = server_or_return!();
    let named = unique("subscription");
    let provider = connect(&server, &json!({"subscriptionName": named})).await;
    let name = topic("t");
    let mut unnamed = group("handler");
    unnamed.named = false;
    let other = group("other");
    provider
        .declare_dyn(&spec(&name, &[&unnamed, &other]))
        .await
        .unwrap();
    let admin = Admin::new(&server).await;
    assert!(admin.look(&named).await.is_some());
    assert!(
        admin
            .look(&format!("{}.handler", name.physical()))
            .await
            .is_none()
    );
    assert!(admin.look(&format!("{}.other", name.physical())).await.is_some());
    publish(&provider, Outgoing::new(name.clone(), "x")).await;
    assert_eq!(
        Reader::new(&provider, &name, &unnamed).await.next().await.payload,
        "x"
    );

    let mut second = group("second");
    second.named = false;
    let error = provider.declare_dyn(&spec(&name, &[&second])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid, "{error}");
    assert!(
        error.to_string().contains(&named) && error.to_string().contains("handler"),
        "{error}"
    );
}

#[tokio::test]
async fn check_makes_nothing_and_off_looks_at_nothing() {
    let server = server_or_return!();
    let (name, group) = (topic("t"), group("g"));
    let checks = connect(&server, &json!({"declare": "check"})).await;
    let error = checks.declare_dyn(&spec(&name, &[&group])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TopicMissing, "{error}");
    let off = connect(&server, &json!({"declare": "off"})).await;
    off.declare_dyn(&spec(&name, &[&group])).await.unwrap();
    let mut own = group.clone();
    own.ephemeral = true;
    let error = off.declare_dyn(&spec(&name, &[&own])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");

    let admin = Admin::new(&server).await;
    admin.topic(&name.physical()).await;
    let error = checks.declare_dyn(&spec(&name, &[&group])).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::GroupMissing || error.kind() == ErrorKind::TopicMissing,
        "{error}"
    );
    connect(&server, &json!({}))
        .await
        .declare_dyn(&spec(&name, &[&group]))
        .await
        .unwrap();
    checks.declare_dyn(&spec(&name, &[&group])).await.unwrap();
}

#[tokio::test]
async fn a_subscription_of_another_topic_does_not_fit() {
    let server = server_or_return!();
    let (admin, name) = (Admin::new(&server).await, topic("t"));
    let other = admin.topic(&topic("other").physical()).await;
    admin
        .subscription(&format!("{}.g", name.physical()), &other, |there| there)
        .await;
    let provider = connect(&server, &json!({})).await;
    let error = provider
        .declare_dyn(&spec(&name, &[&group("g")]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TopologyMismatch, "{error}");
    assert!(error.to_string().contains(&other), "{error}");
}

#[tokio::test]
async fn a_name_that_pubsub_forbids_is_refused_before_it_is_asked() {
    let server = server_or_return!();
    let provider = connect(&server, &json!({})).await;
    let name = ductape_providers::TopicName::new("goog:orders".parse().unwrap(), std::num::NonZeroU32::MIN);
    let error = provider.declare_dyn(&spec(&name, &[])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid, "{error}");
    assert!(error.to_string().contains("goog.orders"), "{error}");
}

#[tokio::test]
async fn an_ephemeral_group_expires_in_a_day_and_is_gone_when_it_is_closed() {
    let server = server_or_return!();
    let provider = connect(&server, &json!({})).await;
    let (name, mut own) = (topic("t"), group("own"));
    own.ephemeral = true;
    provider.declare_dyn(&spec(&name, &[&own])).await.unwrap();
    let admin = Admin::new(&server).await;
    let there = || async {
        let list = admin.topics.list_topic_subscriptions();
        let topic = format!("projects/{PROJECT}/topics/{}", name.physical());
        list.set_topic(topic).send().await.unwrap().subscriptions
    };
    let made = there().await;
    let [made] = made.as_slice() else {
        panic!("{made:?}")
    };
    let looked = admin.look(made.rsplit('/').next().unwrap()).await.unwrap();
    let ttl = looked.expiration_policy.unwrap().ttl.unwrap();
    assert_eq!(Duration::try_from(ttl).unwrap(), Duration::from_hours(24));
    let reader = Reader::new(&provider, &name, &own).await;
    // What is sent to the group alone reaches it too.
    publish(
        &provider,
        Outgoing::new(name.clone(), "again").with_route(Route::Group(own.name.clone())),
    )
    .await;
    let mut reader = reader;
    assert_eq!(reader.next().await.payload, "again");
    reader.0.close_dyn().await.unwrap();
    assert!(there().await.is_empty());
}

#[tokio::test]
async fn what_is_sent_to_a_group_for_later_waits_also_when_its_reader_changes() {
    let server = server_or_return!();
    let provider = connect(&server, &json!({})).await;
    let (name, group) = (topic("t"), group("g"));
    provider.declare_dyn(&spec(&name, &[&group])).await.unwrap();
    let (wait, began) = (Duration::from_secs(3), Instant::now());
    let mut later = Outgoing::new(name.clone(), "later").with_route(Route::Group(group.name.clone()));
    later.not_before = ductape_providers::clock::wall().checked_add(wait);
    publish(&provider, later).await;
    let mut reader = Reader::new(&provider, &name, &group).await;
    reader.silent().await;
    reader.0.close_dyn().await.unwrap();
    let came = Reader::new(&provider, &name, &group).await.next().await;
    assert!(
        began.elapsed() + Duration::from_millis(5) >= wait,
        "after {:?}",
        began.elapsed()
    );
    assert!(came.headers.is_empty(), "{:?}", came.headers);
}

#[tokio::test]
async fn what_others_publish_is_taken_as_it_is() {
    let server = server_or_return!();
    let provider = connect(&server, &json!({})).await;
    let (name, group) = (topic("t"), group("g"));
    provider.declare_dyn(&spec(&name, &[&group])).await.unwrap();
    let publisher = Publisher::builder(format!("projects/{PROJECT}/topics/{}", name.physical()))
        .with_endpoint(format!("http://{server}"))
        .with_credentials(anonymous::Builder::new().build())
        .build()
        .await
        .unwrap();
    let odd = [
        Message::new().set_data("not json"),
        Message::new().set_attributes([("only", "attributes")]),
        Message::new().set_data("{}").set_attributes([
            ("ce-id", ""),
            ("ce-time", "never"),
            ("Sp ace", "x"),
            ("~~1~", "y"),
            ("ce-", "z"),
        ]),
        Message::new().set_data("keyed").set_ordering_key("k"),
    ];
    for message in odd {
        publisher.publish(message).await.unwrap();
    }
    let mut reader = Reader::new(&provider, &name, &group).await;
    let mut came = Vec::new();
    for _ in 0..4 {
        came.push(reader.next().await);
    }
    let keyed = came.iter().find(|message| message.payload == "keyed").unwrap();
    assert_eq!(keyed.key.as_deref(), Some(&b"k"[..]));
    assert!(
        came.iter().all(|message| message.published_at.is_some()),
        "{came:?}"
    );
    let plain = came.iter().find(|message| message.payload == "not json").unwrap();
    assert!(plain.id.as_uuid().is_some(), "an id made from the server's own");
    reader.silent().await;
}

#[tokio::test]
async fn the_emulator_refuses_a_seek_and_says_so() {
    let server = server_or_return!();
    let provider = connect(&server, &json!({})).await;
    let (name, group) = (topic("t"), group("g"));
    provider.declare_dyn(&spec(&name, &[&group])).await.unwrap();
    let hour_ago = ductape_providers::clock::wall()
        .checked_sub(Duration::from_hours(1))
        .unwrap();
    let sought = provider
        .seek_dyn(&name, &group.name, SeekTo::Time(hour_ago))
        .await;
    // Google can; its emulator can't.
    assert!(
        sought
            .as_ref()
            .is_err_and(|error| error.kind() == ErrorKind::Unsupported),
        "{sought:?}"
    );
    assert!(sought.unwrap_err().to_string().contains("emulator"));
}
