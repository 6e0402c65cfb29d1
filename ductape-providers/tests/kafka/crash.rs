//! A process that dies with a message in hand: the message comes again, and says how often it was begun.

use std::num::NonZeroU32;
use std::process::Command;

use ductape_providers::{Outgoing, TopicName};
use serde_json::json;

use crate::{ack, connect, declare, group, next, publish, subscribe, topic, variable};

const TOPIC: &str = "DUCTAPE_TEST_KAFKA_CRASH_TOPIC";

/// Not a test of its own: what the test below runs as another process.
#[tokio::test]
#[ignore = "run by `a_message_that_ends_its_process_is_counted`"]
async fn dies() {
    let Ok(event) = std::env::var(TOPIC) else { return };
    let topic = TopicName::new(event.parse().unwrap(), NonZeroU32::MIN);
    let provider = connect(&variable("DUCTAPE_TEST_KAFKA").unwrap(), json!({})).await;
    let mut subscription = subscribe(&provider, &topic, &group("g")).await;
    let delivery = next(&mut *subscription).await;
    assert_eq!(delivery.message.payload, "deadly");
    std::process::abort();
}

#[tokio::test]
async fn a_message_that_ends_its_process_is_counted() {
    let Some(server) = variable("DUCTAPE_TEST_KAFKA") else {
        return;
    };
    let provider = connect(&server, json!({"partitions": 1})).await;
    let (topic, group) = (topic("deadly"), group("g"));
    declare(&provider, &topic, &[&group]).await.unwrap();
    publish(&provider, Outgoing::new(topic.clone(), "deadly"))
        .await
        .unwrap();
    for _ in 0..2 {
        let mut died = Command::new(std::env::current_exe().unwrap());
        died.args(["--exact", "crash::dies", "--ignored"]);
        died.env(TOPIC, topic.event().as_str());
        let output = tokio::task::spawn_blocking(move || died.output())
            .await
            .unwrap()
            .unwrap();
        let code = std::os::unix::process::ExitStatusExt::signal(&output.status);
        assert_eq!(code, Some(6), "{output:?}");
    }
    // The group gives the partition away once the dead member's time is over.
    let mut subscription = subscribe(&provider, &topic, &group).await;
    let delivery = next(&mut *subscription).await;
    assert_eq!(delivery.message.delivery_count.map(NonZeroU32::get), Some(3));
    ack(&*subscription, delivery).await;
    // The one partition is a member's for as long as it is one.
    subscription.close_dyn().await.unwrap();
    // What comes later is not counted, nor is what is only given back.
    publish(&provider, Outgoing::new(topic.clone(), "harmless"))
        .await
        .unwrap();
    for _ in 0..2 {
        let mut subscription = subscribe(&provider, &topic, &group).await;
        let delivery = next(&mut *subscription).await;
        assert_eq!(delivery.message.delivery_count, None);
        subscription.close_dyn().await.unwrap();
    }
}
