use std::time::Duration;

use super::*;
use crate::message::{MessageId, Route};
use crate::spec::{SeekTo, Source, Start};

#[tokio::test]
async fn each_group_gets_everything_from_its_start_on() {
    let place = Place::new();
    let store = place.open().await;
    declare(&store, &[]).await;
    publish(&store, message(None, "before")).await;
    let latest = group("latest");
    let mut earliest = group("earliest");
    earliest.start = Start::Earliest;
    declare(&store, &[latest.clone(), earliest.clone()]).await;
    publish(&store, message(None, "after")).await;
    assert_eq!(
        texts(&receive(&mut join(&store, &latest).await, 10).await),
        ["after"]
    );
    assert_eq!(
        texts(&receive(&mut join(&store, &earliest).await, 10).await),
        ["before", "after"]
    );
}

#[tokio::test]
async fn a_message_comes_as_it_was_published() {
    let place = Place::new();
    let store = place.open().await;
    let bill = group("bill");
    declare(&store, std::slice::from_ref(&bill)).await;
    let shared: std::sync::Arc<[crate::headers::Header]> =
        [("source".into(), "shop".into()), ("kind".into(), "a".into())].into();
    let mut sent = Vec::new();
    for (i, id) in [MessageId::new(), MessageId::from_text("12345"), MessageId::new()]
        .into_iter()
        .enumerate()
    {
        let mut out = message(Some("k\u{0}"), "");
        out.id = id;
        out.payload = vec![0xff, 0, 0xfe].into();
        if i != 2 {
            out.headers = crate::Headers::shared(std::sync::Arc::clone(&shared));
        }
        if i != 0 {
            out.headers.insert("kind", format!("b{i}"));
        }
        sent.push(out);
    }
    publish_all(&store, sent.clone()).await;
    // Another process reads the shared headers from the file.
    let reader = place.open().await;
    let got = receive(&mut join(&reader, &bill).await, 10).await;
    assert_eq!(got.len(), 3);
    for (got, sent) in got.iter().zip(&sent) {
        let got = &got.message;
        assert_eq!(
            (&got.id, &got.key, &got.headers),
            (&sent.id, &sent.key, &sent.headers)
        );
        assert_eq!(
            (&got.payload, got.published_at),
            (&sent.payload, Some(sent.published_at))
        );
        assert_eq!(got.topic, topic());
    }
}

#[tokio::test]
async fn a_waiting_receiver_hears_of_another_processs_publish() {
    let place = Place::new();
    let (one, two) = (place.open().await, place.open().await);
    let bill = group("bill");
    declare(&one, std::slice::from_ref(&bill)).await;
    let mut member = join(&one, &bill).await;
    for i in 0..20 {
        let text = format!("{i}");
        let (got, _) = tokio::join!(receive_one(&mut member), publish(&two, message(None, &text)));
        assert_eq!(super::text(&got), text);
        settle(&member, got, Settlement::Ack).await;
    }
}

#[tokio::test]
async fn an_ephemeral_group_is_its_process_own_and_goes_with_its_subscription() {
    let place = Place::new();
    let (one, two) = (place.open().await, place.open().await);
    let mut all = group("all");
    all.ephemeral = true;
    declare(&one, std::slice::from_ref(&all)).await;
    declare(&two, std::slice::from_ref(&all)).await;
    let (mut a, mut b) = (join(&one, &all).await, join(&two, &all).await);
    publish(&one, message(None, "x")).await;
    assert_eq!(texts(&receive(&mut a, 10).await), ["x"]);
    assert_eq!(texts(&receive(&mut b, 10).await), ["x"]);
    a.close().await.unwrap();
    let again = one.subscribe(&SubscriptionSpec::new(topic(), all.clone())).await;
    assert_eq!(kind(again), ErrorKind::GroupMissing);
    assert_eq!(two.backlog(&topic(), &all.name).await.unwrap().in_flight, 1);
    all.ephemeral = false;
    let mut lasting = TopicSpec::new(topic());
    lasting.groups.push(all);
    assert_eq!(kind(two.declare(&lasting).await), ErrorKind::TopologyMismatch);
}

#[tokio::test]
async fn dead_letters_are_a_log_of_their_own() {
    let place = Place::new();
    let store = place.open().await;
    let (bill, ship) = (group("bill"), group("ship"));
    declare(&store, &[bill.clone(), ship.clone()]).await;
    let dead = message(Some("k"), "dead").with_route(Route::DeadLetters(bill.name.clone()));
    publish(&store, dead).await;
    assert_eq!(store.backlog(&topic(), &bill.name).await.unwrap().dead_letters, 1);
    assert_eq!(store.backlog(&topic(), &ship.name).await.unwrap().dead_letters, 0);
    assert_idle(&store, &mut join(&store, &bill).await).await;
    let mut spec = SubscriptionSpec::new(topic(), bill.clone());
    spec.source = Source::DeadLetters;
    let mut letters = store.subscribe(&spec).await.unwrap();
    let letter = receive_one(&mut letters).await;
    assert_eq!(text(&letter), "dead");
    settle(&letters, letter, Settlement::Requeue).await;
    let letter = receive_one(&mut letters).await;
    settle(&letters, letter, Settlement::Ack).await;
    assert_eq!(store.backlog(&topic(), &bill.name).await.unwrap().dead_letters, 0);
}

#[tokio::test]
async fn a_handled_id_is_not_delivered_again_where_once_is_asked() {
    let place = Place::new();
    let store = place.open().await;
    let mut bill = group("bill");
    bill.once = true;
    declare(&store, std::slice::from_ref(&bill)).await;
    let mut member = join(&store, &bill).await;
    let twice = message(Some("k"), "twice");
    publish_all(
        &store,
        vec![twice.clone(), twice.clone(), message(Some("k"), "next")],
    )
    .await;
    // The second is neither delivered beside the first nor overtaken by its key's next.
    let first = receive_one(&mut member).await;
    assert_idle(&store, &mut member).await;
    settle(
        &member,
        first,
        Settlement::RequeueAfter(Duration::from_millis(50)),
    )
    .await;
    let first = receive_one(&mut member).await;
    assert_eq!((text(&first).as_str(), count(&first)), ("twice", 2));
    settle(&member, first, Settlement::Ack).await;
    assert_eq!(text(&receive_one(&mut member).await), "next");
    drop(member);
    close(&store).await;
    // It is remembered in the file.
    let store = place.open().await;
    let mut member = join(&store, &bill).await;
    publish_all(&store, vec![twice, message(Some("l"), "last")]).await;
    let rest = receive(&mut member, 10).await;
    assert_eq!(texts(&rest), ["next", "last"]);
    ack_all(&member, rest).await;
    assert_eq!(store.backlog(&topic(), &bill.name).await.unwrap().ready, 0);
}

#[tokio::test]
async fn a_rejected_id_is_handled_when_it_is_sent_again() {
    let place = Place::new();
    let store = place.open().await;
    let mut bill = group("bill");
    bill.once = true;
    declare(&store, std::slice::from_ref(&bill)).await;
    let mut member = join(&store, &bill).await;
    let letter = message(None, "x");
    publish(&store, letter.clone()).await;
    let got = receive_one(&mut member).await;
    settle(&member, got, Settlement::Reject).await;
    publish(&store, letter.clone()).await;
    let got = receive_one(&mut member).await;
    settle(&member, got, Settlement::Ack).await;
    publish(&store, letter.with_route(Route::Group(bill.name.clone()))).await;
    assert_eq!(text(&receive_one(&mut member).await), "x");
}

#[tokio::test]
async fn a_group_is_set_to_another_place() {
    let place = Place::new();
    let store = place.open().await;
    let bill = group("bill");
    declare(&store, std::slice::from_ref(&bill)).await;
    let mut positions = Vec::new();
    let start = clock::wall();
    for i in 0..10_u64 {
        let mut out = message(Some("k"), &i.to_string());
        out.published_at = start + Duration::from_secs(i);
        positions.push(publish(&store, out).await.position.unwrap());
    }
    assert!(positions.is_sorted());
    let mut member = join(&store, &bill).await;
    let all = receive(&mut member, 10).await;
    assert_eq!(all[7].message.position, Some(positions[7]));
    for (to, first) in [
        (SeekTo::Position(positions[7]), "7"),
        (SeekTo::Time(start + Duration::from_millis(4001)), "5"),
        (SeekTo::Earliest, "0"),
    ] {
        store.seek(&topic(), &bill.name, to).await.unwrap();
        let again = receive(&mut member, 10).await;
        assert_eq!(text(&again[0]), first, "{to:?}");
        assert_eq!(text(again.last().unwrap()), "9", "{to:?}");
    }
    store.seek(&topic(), &bill.name, SeekTo::Latest).await.unwrap();
    let lost = try_settle(
        &member,
        all.into_iter().map(|d| d.receipt).collect(),
        Settlement::Ack,
    )
    .await;
    assert!(
        lost.into_iter()
            .all(|outcome| kind(outcome) == ErrorKind::LeaseLost)
    );
    assert_idle(&store, &mut member).await;
}

#[tokio::test]
async fn what_was_not_declared_is_missing() {
    let place = Place::new();
    let store = place.open().await;
    let outcome = publish_all(&store, vec![message(None, "x")]).await.remove(0);
    assert_eq!(kind(outcome), ErrorKind::TopicMissing);
    let bill = group("bill");
    let spec = SubscriptionSpec::new(topic(), bill.clone());
    assert_eq!(kind(store.subscribe(&spec).await), ErrorKind::TopicMissing);
    declare(&store, &[]).await;
    assert_eq!(kind(store.subscribe(&spec).await), ErrorKind::GroupMissing);
    let to_group = message(None, "x").with_route(Route::Group(bill.name.clone()));
    let outcomes = publish_all(&store, vec![to_group, message(None, "y")]).await;
    let mut outcomes = outcomes.into_iter();
    assert_eq!(kind(outcomes.next().unwrap()), ErrorKind::GroupMissing);
    outcomes.next().unwrap().unwrap();
    assert_eq!(
        kind(store.backlog(&topic(), &bill.name).await),
        ErrorKind::GroupMissing
    );
}
