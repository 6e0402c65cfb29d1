//! What happens to the connection, and what is told of it.

use std::time::Duration;

use ductape_providers::{ErrorKind, Outgoing, Route, Settlement};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::{
    Raw, by_url, connect, consume, declare, group, kind, own_topic, provider, publish, settle, subscribe,
    take, topic, try_publish, url,
};

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepted = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut header = [0; 8];
        socket.read_exact(&mut header).await.unwrap();
        // The client hangs up, instead of waiting for ever.
        socket.read_to_end(&mut Vec::new()).await.unwrap();
        header
    });
    let began = Instant::now();
    let answer = connect(&by_url(&format!("amqp://127.0.0.1:{port}"))).await;
    assert_eq!(kind(&answer), Some(ErrorKind::Unreachable), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let header = tokio::time::timeout(Duration::from_secs(10), accepted)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&header, b"AMQP\x00\x00\x09\x01");
}

#[tokio::test]
async fn what_is_no_rabbitmq_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let answer = connect(&by_url(&format!("amqp://127.0.0.1:{port}"))).await;
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test]
async fn a_queue_that_is_deleted_ends_its_reader() {
    let Some(url) = url() else { return };
    let provider = provider(&url, json!({})).await;
    let (topic, billing) = (topic("deleted"), group("billing"));
    declare(&provider, &topic, &[&billing]).await;
    publish(&provider, &topic, &["1"]).await;
    let mut reader = subscribe(&provider, &topic, &billing).await;
    let held = take(&mut reader, 1).await.pop().unwrap();
    Raw::new(&url)
        .await
        .delete(&format!("{}.billing", topic.physical()))
        .await;
    let mut into = Vec::new();
    let ended = tokio::time::timeout(
        crate::PATIENCE,
        reader.receive_dyn(&mut into, std::num::NonZeroUsize::MIN),
    );
    let ended = ended.await.unwrap().unwrap_err();
    assert_eq!(
        (ended.kind(), ended.is_temporary()),
        (ErrorKind::GroupMissing, false),
        "{ended}"
    );
    let late = settle(&*reader, held, Settlement::Ack).await;
    assert_eq!(kind(&late), Some(ErrorKind::LeaseLost), "{late:?}");
    // Nobody reads the topic any more, and this program knows that somebody should.
    let sent = try_publish(&provider, vec![Outgoing::new(topic.clone(), "2")]).await;
    assert_eq!(kind(&sent[0]), Some(ErrorKind::TopologyMismatch), "{sent:?}");
}

#[tokio::test]
async fn an_exchange_that_is_deleted_is_told_and_made_again() {
    let Some(url) = url() else { return };
    let provider = provider(&url, json!({})).await;
    let (topic, billing) = (own_topic("exchange"), group("billing"));
    declare(&provider, &topic, &[&billing]).await;
    publish(&provider, &topic, &["1"]).await;
    let raw = Raw::new(&url).await;
    let deleted = raw.channel.exchange_delete(
        topic.event().broker().into(),
        lapin::options::ExchangeDeleteOptions::default(),
    );
    deleted.await.unwrap();
    for _ in 0..2 {
        let sent = try_publish(&provider, vec![Outgoing::new(topic.clone(), "lost")]).await;
        assert_eq!(kind(&sent[0]), Some(ErrorKind::TopicMissing), "{sent:?}");
        assert!(!sent[0].as_ref().unwrap_err().is_indeterminate(), "{sent:?}");
    }
    declare(&provider, &topic, &[&billing]).await;
    publish(&provider, &topic, &["2"]).await;
    let mut reader = subscribe(&provider, &topic, &billing).await;
    assert_eq!(consume(&mut reader, 2).await, ["1", "2"]);
}

/// The client gives what came back to any confirmation of the channel; here it must be told of the right one.
#[tokio::test]
async fn of_a_batch_the_right_one_comes_back() {
    let Some(url) = url() else { return };
    let provider = provider(&url, json!({})).await;
    let (topic, billing) = (topic("returned"), group("billing"));
    declare(&provider, &topic, &[&billing]).await;
    let to = |name: &str, text: String| {
        Outgoing::new(topic.clone(), text).with_route(Route::Group(name.parse().unwrap()))
    };
    for round in 0..20 {
        let batch = (0..40).map(|i| {
            let missing = i % 7 == round % 7;
            to(
                if missing { "missing" } else { "billing" },
                format!("{round}/{i}"),
            )
        });
        for (i, outcome) in try_publish(&provider, batch.collect()).await.iter().enumerate() {
            let expected = (i % 7 == round % 7).then_some(ErrorKind::GroupMissing);
            assert_eq!(kind(outcome), expected, "{round}/{i}: {outcome:?}");
        }
    }
}
