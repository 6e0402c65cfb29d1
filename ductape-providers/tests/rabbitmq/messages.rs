//! Messages of others, and what a server adds.

use std::time::Duration;

use ductape_providers::spec::{Ordering, Source};
use ductape_providers::{ErrorKind, GroupSpec, MessageId, Outgoing, Route, Settlement, SubscriptionSpec};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    PATIENCE, Raw, consume, declare, group, is_silent, kind, number, provider, settle, string, subscribe,
    take, text, topic, try_publish, url,
};

#[tokio::test]
async fn messages_of_others_are_messages() {
    let Some(url) = url() else { return };
    let provider = provider(&url, json!({})).await;
    let (topic, billing) = (topic("foreign"), group("billing"));
    declare(&provider, &topic, &[&billing]).await;
    let raw = Raw::new(&url).await;
    let mut headers = FieldTable::default();
    for (name, value) in [
        ("n", number(7)),
        ("list", AMQPValue::FieldArray(FieldArray::default())),
        ("Bad name", string("x")),
        ("not text", AMQPValue::LongString(vec![0xff].into())),
        ("void", AMQPValue::Void),
        ("cloudEvents:subject", string("key-1")),
    ] {
        headers.insert(name.into(), value);
    }
    let exchange = topic.event().broker().to_owned();
    let key = topic.physical();
    raw.publish(&exchange, &key, b"", BasicProperties::default())
        .await;
    raw.publish(
        &exchange,
        &key,
        b"\xff not json",
        BasicProperties::default().with_headers(headers),
    )
    .await;
    let named = BasicProperties::default()
        .with_message_id("m-1".into())
        .with_content_type("text/plain".into());
    raw.publish(&exchange, &key, b"named", named).await;

    let mut reader = subscribe(&provider, &topic, &billing).await;
    let first = take(&mut reader, 3).await;
    assert_eq!(first[1].message.key.as_deref(), Some(&b"key-1"[..]));
    assert_eq!(first[1].message.headers.get("n"), Some("7"));
    assert_eq!(first[1].message.headers.len(), 1);
    assert_eq!(first[2].message.id, MessageId::from_text("m-1"));
    assert_eq!(first[2].message.headers.get("content-type"), Some("text/plain"));
    let ids: Vec<MessageId> = first.iter().map(|delivery| delivery.message.id.clone()).collect();
    drop(first);
    reader.close_dyn().await.unwrap();
    // The same message has the same id when it comes again.
    let mut reader = subscribe(&provider, &topic, &billing).await;
    let again = take(&mut reader, 3).await;
    assert_eq!(
        again
            .into_iter()
            .map(|delivery| delivery.message.id)
            .collect::<Vec<_>>(),
        ids
    );
}

#[tokio::test]
async fn a_wait_of_several_parts_ends_in_time() {
    let Some(url) = url() else { return };
    let provider = provider(&url, json!({})).await;
    let (topic, billing) = (topic("parts"), group("billing"));
    declare(&provider, &topic, &[&billing]).await;
    let mut reader = subscribe(&provider, &topic, &billing).await;
    // 6,144 ms and then the rest: the next longer queue would be more than 2 s late.
    let wait = Duration::from_millis(6_190);
    for route in [Route::Topic, Route::Group(billing.name.clone())] {
        let mut message = Outgoing::new(topic.clone(), "later").with_route(route.clone());
        message.not_before = std::time::SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_millis(ductape_providers::clock::to_millis(
                ductape_providers::clock::wall(),
            )))
            .and_then(|now| now.checked_add(wait));
        let began = Instant::now();
        try_publish(&provider, vec![message])
            .await
            .pop()
            .unwrap()
            .unwrap();
        let came = take(&mut reader, 1).await.pop().unwrap();
        let took = began.elapsed();
        assert!(
            took + Duration::from_millis(5) >= wait && took < wait + Duration::from_secs(5),
            "{route:?}: {took:?}"
        );
        assert_eq!(came.message.delivery_count.unwrap().get(), 1, "{route:?}");
        settle(&*reader, came, Settlement::Ack).await.unwrap();
    }
    assert!(is_silent(&mut reader).await);
}

/// A group that many can read at a time.
fn relaxed(name: &str) -> GroupSpec {
    GroupSpec {
        ordering: Ordering::Relaxed,
        ..group(name)
    }
}

/// A message that its reader never settles, and never lives to count.
#[tokio::test]
async fn the_server_gives_up_what_came_back_twenty_times() {
    let Some(url) = url() else { return };
    let provider = provider(&url, json!({})).await;
    let (topic, billing) = (topic("limit"), relaxed("billing"));
    declare(&provider, &topic, &[&billing]).await;
    crate::publish(&provider, &topic, &["poison"]).await;
    let raw = Raw::new(&url).await;
    let queue = format!("{}.billing", topic.physical());
    let began = Instant::now();
    while raw.ready(&format!("{queue}.dlq")).await != Some(1) {
        assert!(began.elapsed() < PATIENCE, "it is still given out");
        let got = raw
            .channel
            .basic_get(queue.as_str().into(), lapin::options::BasicGetOptions::default());
        if let Some(got) = got.await.unwrap() {
            let back = lapin::options::BasicNackOptions {
                requeue: true,
                ..lapin::options::BasicNackOptions::default()
            };
            got.delivery.nack(back).await.unwrap();
        }
    }
    let mut letters = SubscriptionSpec::new(topic.clone(), billing.clone());
    letters.source = Source::DeadLetters;
    let mut letters = provider.subscribe_dyn(&letters).await.unwrap();
    assert_eq!(consume(&mut letters, 1).await, ["poison"]);
}

#[tokio::test]
async fn members_of_a_relaxed_group_share_and_of_a_strict_one_take_turns() {
    let Some(url) = url() else { return };
    let provider = provider(&url, json!({})).await;
    for (ordering, together) in [(Ordering::Relaxed, true), (Ordering::Strict, false)] {
        let (topic, mut billing) = (topic("turns"), group("billing"));
        billing.ordering = ordering;
        declare(&provider, &topic, &[&billing]).await;
        let mut one = SubscriptionSpec::new(topic.clone(), billing.clone());
        one.prefetch = std::num::NonZeroUsize::MIN;
        let mut first = provider.subscribe_dyn(&one).await.unwrap();
        let mut second = provider.subscribe_dyn(&one).await.unwrap();
        crate::publish(&provider, &topic, &["1", "2"]).await;
        let held = take(&mut first, 1).await;
        assert_eq!(!is_silent(&mut second).await, together, "{ordering:?}");
        drop(held);
        first.close_dyn().await.unwrap();
        if !together {
            for text in ["1", "2"] {
                assert_eq!(consume(&mut second, 1).await, [text]);
            }
        }
    }
}

#[tokio::test]
async fn a_name_that_has_no_room_is_refused() {
    let Some(url) = url() else { return };
    let provider = provider(&url, json!({})).await;
    let mut long = crate::spec(&topic("long"), &[&group("billing")]);
    long.physical = Some("x".repeat(250));
    let refused = provider.declare_dyn(&long).await;
    assert_eq!(kind(&refused), Some(ErrorKind::ConfigInvalid), "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("255"));
}

#[tokio::test]
async fn what_waits_or_is_dead_is_kept_by_queues_of_its_own() {
    let Some(url) = url() else { return };
    let provider = provider(&url, json!({})).await;
    let (topic, billing) = (topic("own"), group("billing"));
    declare(&provider, &topic, &[&billing]).await;
    crate::publish(&provider, &topic, &["1"]).await;
    let mut reader = subscribe(&provider, &topic, &billing).await;
    let failed = take(&mut reader, 1).await.pop().unwrap();
    assert_eq!(text(&failed), "1");
    settle(&*reader, failed, Settlement::RequeueAfter(Duration::from_secs(8)))
        .await
        .unwrap();
    let raw = Raw::new(&url).await;
    let queue = format!("{}.billing", topic.physical());
    assert_eq!(raw.ready(&format!("{queue}.hold.8192")).await, Some(1));
    assert_eq!(raw.ready(&queue).await, Some(0));
    assert_eq!(raw.ready(&format!("{queue}.dlq")).await, Some(0));
    // It is deleted while it is used: the next wait makes it again.
    raw.delete(&format!("{queue}.hold.8192")).await;
    let wait = || {
        let mut message = Outgoing::new(topic.clone(), "2").with_route(Route::Group(billing.name.clone()));
        message.not_before = ductape_providers::clock::wall().checked_add(Duration::from_secs(8));
        vec![message]
    };
    let gone = try_publish(&provider, wait()).await.pop().unwrap();
    assert!(
        gone.as_ref().is_err_and(ductape_providers::Error::is_temporary),
        "{gone:?}"
    );
    try_publish(&provider, wait()).await.pop().unwrap().unwrap();
    assert_eq!(raw.ready(&format!("{queue}.hold.8192")).await, Some(1));
}
