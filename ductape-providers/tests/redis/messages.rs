//! Messages of others, messages that are gone, and what is delayed.

use std::time::Duration;

use ductape_providers::clock;
use ductape_providers::spec::Ordering;
use ductape_providers::{ErrorKind, Headers, Outgoing, Route, Settlement};
use tokio::time::Instant;

use crate::own_server::OwnServer;
use crate::{at, connect, consume, declare, group, is_silent, kind, plain, publish, raw, settle, stream};
use crate::{subscribe, take, text, topic, try_publish};

#[tokio::test]
async fn an_entry_of_another_producer_is_a_message_with_an_id_that_stays() {
    let Some(server) = plain() else { return };
    let provider = connect(&at(&server)).await.unwrap();
    let (of, reads) = (topic("t"), group("g"));
    declare(&provider, &of, &[&reads]).await;
    let key = stream(&of);
    for fields in [
        &["order", r#"{"id":1}"#][..],
        &["id", "2", "total", "9.5"],
        &["data", "{}", "x-Tenant", "acme", "ce-id", "seven"],
        &["", ""],
    ] {
        let command: Vec<&str> = ["XADD", &key, "*"]
            .into_iter()
            .chain(fields.iter().copied())
            .collect();
        raw(&server, &command).await;
    }
    let mut reader = subscribe(&provider, &of, &reads).await;
    let first = take(&mut reader, 4).await;
    let texts: Vec<String> = first.iter().map(text).collect();
    assert_eq!(texts, [r#"{"id":1}"#, r#"{"id":"2","total":"9.5"}"#, "{}", ""]);
    assert_eq!(first[2].message.id.to_string(), "seven");
    assert_eq!(first[2].message.headers.get("x-tenant"), Some("acme"));
    let ids: Vec<String> = first
        .iter()
        .map(|delivery| delivery.message.id.to_string())
        .collect();
    for delivery in first {
        settle(
            &*reader,
            delivery,
            Settlement::RequeueAfter(Duration::from_millis(1)),
        )
        .await
        .unwrap();
    }
    let again = take(&mut reader, 4).await;
    let mut came: Vec<String> = again
        .iter()
        .map(|delivery| delivery.message.id.to_string())
        .collect();
    let mut ids = ids;
    came.sort_unstable();
    ids.sort_unstable();
    assert_eq!(came, ids);
    assert!(
        again
            .iter()
            .all(|delivery| delivery.message.delivery_count.unwrap().get() == 2)
    );
}

#[tokio::test]
async fn a_message_that_is_deleted_while_it_is_pending_holds_nobody_up() {
    let Some(server) = plain() else { return };
    let provider = connect(&at(&server)).await.unwrap();
    for ordering in [Ordering::Strict, Ordering::Relaxed] {
        let (of, mut reads) = (topic("t"), group("g"));
        reads.ordering = ordering;
        declare(&provider, &of, &[&reads]).await;
        publish(&provider, &of, &["0", "1", "2"]).await;
        let mut reader = subscribe(&provider, &of, &reads).await;
        let held = take(&mut reader, 2).await;
        raw(&server, &["XTRIM", &stream(&of), "MAXLEN", "1"]).await;
        drop(held);
        reader.close_dyn().await.unwrap();
        let mut reader = subscribe(&provider, &of, &reads).await;
        assert_eq!(consume(&mut reader, 1).await, ["2"]);
        assert!(is_silent(&mut reader, Duration::from_millis(300)).await);
        let pending = raw(&server, &["XPENDING", &stream(&of), "g"]).await;
        assert!(
            format!("{pending:?}").starts_with("array([int(0)") || format!("{pending:?}").contains("Int(0)"),
            "{pending:?}"
        );
    }
}

#[tokio::test]
async fn a_retry_whose_message_is_gone_is_settled() {
    let Some(server) = plain() else { return };
    let provider = connect(&at(&server)).await.unwrap();
    let (of, reads) = (topic("t"), group("g"));
    declare(&provider, &of, &[&reads]).await;
    publish(&provider, &of, &["gone"]).await;
    let mut reader = subscribe(&provider, &of, &reads).await;
    let held = take(&mut reader, 1).await.remove(0);
    raw(&server, &["XTRIM", &stream(&of), "MAXLEN", "0"]).await;
    settle(&*reader, held, Settlement::RequeueAfter(Duration::from_millis(1)))
        .await
        .unwrap();
    assert!(is_silent(&mut reader, Duration::from_millis(300)).await);
}

#[tokio::test]
async fn a_delay_of_another_process_is_kept_to_the_second() {
    let Some(server) = plain() else { return };
    let (publisher, provider) = (
        connect(&at(&server)).await.unwrap(),
        connect(&at(&server)).await.unwrap(),
    );
    let (of, reads) = (topic("t"), group("g"));
    declare(&publisher, &of, &[&reads]).await;
    let mut reader = subscribe(&provider, &of, &reads).await;
    for (route, wait) in [
        (Route::Topic, Duration::from_millis(300)),
        (Route::Group(reads.name.clone()), Duration::from_millis(1_800)),
    ] {
        let mut message = Outgoing::new(of.clone(), "later").with_route(route);
        let began = Instant::now();
        message.not_before = clock::wall().checked_add(wait);
        try_publish(&publisher, vec![message]).await.remove(0).unwrap();
        assert_eq!(consume(&mut reader, 1).await, ["later"]);
        let took = began.elapsed();
        assert!(
            took >= wait && took < wait + Duration::from_millis(1_500),
            "{took:?} for {wait:?}"
        );
    }
}

#[tokio::test]
async fn many_movers_move_each_message_once() {
    let Some(server) = plain() else { return };
    let provider = connect(&at(&server)).await.unwrap();
    let (of, mut reads) = (topic("t"), group("g"));
    reads.ordering = Ordering::Relaxed;
    declare(&provider, &of, &[&reads]).await;
    let mut readers = Vec::new();
    for _ in 0..4 {
        readers.push(subscribe(&connect(&at(&server)).await.unwrap(), &of, &reads).await);
    }
    let not_before = clock::wall().checked_add(Duration::from_millis(400));
    let messages = (0..500).map(|i| {
        let mut message = Outgoing::new(of.clone(), i.to_string());
        message.not_before = not_before;
        message
    });
    for outcome in try_publish(&provider, messages.collect()).await {
        outcome.unwrap();
    }
    let (told, mut came) = tokio::sync::mpsc::channel(1024);
    for mut reader in readers {
        let told = told.clone();
        tokio::spawn(async move {
            loop {
                let mut into = Vec::new();
                if reader
                    .receive_dyn(&mut into, std::num::NonZeroUsize::new(16).unwrap())
                    .await
                    .is_err()
                {
                    return;
                }
                for delivery in into {
                    let name = text(&delivery);
                    settle(&*reader, delivery, Settlement::Ack).await.unwrap();
                    told.send(name).await.unwrap();
                }
            }
        });
    }
    let mut all = std::collections::HashSet::new();
    for _ in 0..500 {
        let name = tokio::time::timeout(crate::PATIENCE, came.recv())
            .await
            .unwrap()
            .unwrap();
        assert!(all.insert(name.clone()), "{name} came twice");
    }
    assert!(
        tokio::time::timeout(Duration::from_millis(300), came.recv())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn what_the_server_forgot_is_told_again() {
    let Some(server) = OwnServer::start(&[]) else {
        return;
    };
    let provider = connect(&server.config()).await.unwrap();
    let (of, reads) = (topic("t"), group("g"));
    declare(&provider, &of, &[&reads]).await;
    publish(&provider, &of, &["x"]).await;
    let mut reader = subscribe(&provider, &of, &reads).await;
    let held = take(&mut reader, 1).await.remove(0);
    // Scripts first, everything then: topics that this program declared are made again.
    raw(&server.address(), &["SCRIPT", "FLUSH"]).await;
    settle(&*reader, held, Settlement::RequeueAfter(Duration::from_millis(1)))
        .await
        .unwrap();
    assert_eq!(consume(&mut reader, 1).await, ["x"]);
    raw(&server.address(), &["SCRIPT", "FLUSH"]).await;
    let mut message = Outgoing::new(of.clone(), "later");
    message.not_before = clock::wall().checked_add(Duration::from_millis(50));
    try_publish(&provider, vec![message]).await.remove(0).unwrap();
    assert_eq!(consume(&mut reader, 1).await, ["later"]);
    raw(&server.address(), &["FLUSHALL"]).await;
    publish(&provider, &of, &["after"]).await;
    assert_eq!(consume(&mut reader, 1).await, ["after"]);
    let other = try_publish(&provider, vec![Outgoing::new(topic("other"), "x")]).await;
    assert_eq!(kind(&other[0]), Some(ErrorKind::TopicMissing), "{other:?}");
}

#[tokio::test]
async fn packed_headers_are_one_field_and_read_by_all() {
    let Some(server) = OwnServer::start(&[]) else {
        return;
    };
    let mut value = server.config();
    let plainly = connect(&value).await.unwrap();
    value["headers"] = serde_json::json!("packed");
    let packing = connect(&value).await.unwrap();
    let (of, reads) = (topic("t"), group("g"));
    declare(&packing, &of, &[&reads]).await;
    let common: std::sync::Arc<[ductape_providers::headers::Header]> =
        [("ce-type".into(), "a:b".into()), ("tenant".into(), "acme".into())].into();
    let message = |text: &str| {
        let mut message = Outgoing::new(of.clone(), text.to_owned()).with_key(vec![0xff, 0x00]);
        message.headers = Headers::shared(std::sync::Arc::clone(&common));
        message.headers.insert("tenant", "other");
        message
    };
    let sent: Vec<Outgoing> = ["0", "1", "2"].map(message).to_vec();
    for outcome in try_publish(&packing, sent[..2].to_vec()).await {
        outcome.unwrap();
    }
    let entries = raw(&server.address(), &["XRANGE", &stream(&of), "-", "+"]).await;
    let redis::Value::Array(entries) = entries else {
        panic!("{entries:?}")
    };
    let redis::Value::Array(entry) = &entries[0] else {
        panic!("{entries:?}")
    };
    assert!(
        matches!(&entry[1], redis::Value::Array(fields) if fields.len() == 4),
        "{entry:?}"
    );
    let mut reader = subscribe(&plainly, &of, &reads).await;
    let same = |came: &ductape_providers::Incoming, sent: &Outgoing| {
        assert_eq!(
            (&came.id, &came.key, &came.headers),
            (&sent.id, &sent.key, &sent.headers)
        );
        assert_eq!(
            (&came.payload, came.published_at),
            (&sent.payload, Some(sent.published_at))
        );
    };
    let mut held = take(&mut reader, 2).await;
    same(&held[0].message, &sent[0]);
    same(&held[1].message, &sent[1]);
    // It comes again as it was, and a dead letter is the original.
    settle(
        &*reader,
        held.remove(0),
        Settlement::RequeueAfter(Duration::from_millis(1)),
    )
    .await
    .unwrap();
    let again = take(&mut reader, 1).await.remove(0);
    same(&again.message, &sent[0]);
    let letter = again.message.to_outgoing(Route::DeadLetters(reads.name.clone()));
    try_publish(&packing, vec![letter]).await.remove(0).unwrap();
    let mut spec = ductape_providers::SubscriptionSpec::new(of.clone(), reads.clone());
    spec.source = ductape_providers::spec::Source::DeadLetters;
    let mut letters = packing.subscribe_dyn(&spec).await.unwrap();
    same(&take(&mut letters, 1).await[0].message, &sent[0]);
    // What the server lost is stored again with the topic.
    raw(&server.address(), &["FLUSHALL"]).await;
    try_publish(&packing, vec![sent[2].clone()])
        .await
        .remove(0)
        .unwrap();
    let mut reader = subscribe(&connect(&value).await.unwrap(), &of, &reads).await;
    same(&take(&mut reader, 1).await[0].message, &sent[2]);
}
