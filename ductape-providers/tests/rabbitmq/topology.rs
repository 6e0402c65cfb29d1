//! What exists already: used where it can be, refused where it can't, and never altered.

use ductape_providers::ErrorKind;
use lapin::ExchangeKind;
use lapin::options::QueueDeclareOptions;
use serde_json::json;

use crate::{
    Raw, consume, declare, durable, group, kind, number, own_topic, provider, publish, spec, string,
    subscribe, topic, url,
};

#[tokio::test]
async fn an_exchange_of_another_type_is_a_mismatch() {
    let Some(url) = url() else { return };
    let topic = own_topic("fanout");
    Raw::new(&url)
        .await
        .exchange(topic.event().broker(), ExchangeKind::Fanout, true)
        .await;
    let provider = provider(&url, json!({})).await;
    let refused = provider.declare_dyn(&spec(&topic, &[])).await;
    assert_eq!(kind(&refused), Some(ErrorKind::TopologyMismatch), "{refused:?}");
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("'topic'") && said.contains("'fanout'"), "{said}");
}

#[tokio::test]
async fn a_topic_exchange_that_is_there_is_used() {
    let Some(url) = url() else { return };
    let (topic, billing) = (own_topic("patterns"), group("billing"));
    Raw::new(&url)
        .await
        .exchange(topic.event().broker(), ExchangeKind::Topic, true)
        .await;
    let provider = provider(&url, json!({})).await;
    let found = provider.examine_dyn(&[spec(&topic, &[&billing])]).await.unwrap();
    assert!(found.is_empty(), "{found:?}");
    declare(&provider, &topic, &[&billing]).await;
    let mut subscription = subscribe(&provider, &topic, &billing).await;
    publish(&provider, &topic, &["1"]).await;
    assert_eq!(consume(&mut subscription, 1).await, ["1"]);
}

#[tokio::test]
async fn a_queue_that_can_t_be_a_group_s_is_a_mismatch() {
    let Some(url) = url() else { return };
    let raw = Raw::new(&url).await;
    let provider = provider(&url, json!({})).await;
    let billing = group("billing");
    let exclusive = QueueDeclareOptions {
        exclusive: true,
        ..durable()
    };
    for (options, queue_type) in [(exclusive, "classic"), (durable(), "stream")] {
        let topic = topic("taken");
        let queue = format!("{}.billing", topic.physical());
        raw.queue(&queue, options, &[("x-queue-type", string(queue_type))])
            .await;
        let refused = provider.declare_dyn(&spec(&topic, &[&billing])).await;
        assert_eq!(
            kind(&refused),
            Some(ErrorKind::TopologyMismatch),
            "{queue_type}: {refused:?}"
        );
        let said = refused.unwrap_err().to_string();
        assert!(said.contains(&queue) && said.contains("delete it"), "{said}");
    }
    // What was refused did not end what others use.
    let topic = topic("fine");
    declare(&provider, &topic, &[&billing]).await;
}

#[tokio::test]
async fn a_queue_that_somebody_else_made_is_used_as_it_is() {
    let Some(url) = url() else { return };
    let raw = Raw::new(&url).await;
    let (topic, billing) = (topic("made"), group("billing"));
    let queue = format!("{}.billing", topic.physical());
    raw.queue(&queue, durable(), &[("x-max-length", number(1000))])
        .await;
    let provider = provider(&url, json!({})).await;
    declare(&provider, &topic, &[&billing]).await;
    publish(&provider, &topic, &["1"]).await;
    let mut reader = subscribe(&provider, &topic, &billing).await;
    assert_eq!(consume(&mut reader, 1).await, ["1"]);
    // It is still as it was: declared just so it is success.
    raw.queue(&queue, durable(), &[("x-max-length", number(1000))])
        .await;
}
