use std::time::{Duration, SystemTime};

use super::*;
use crate::spec::Ordering;

#[tokio::test]
async fn messages_come_in_the_order_of_their_publishing() {
    let place = Place::new();
    let store = place.open().await;
    let bill = group("bill");
    declare(&store, std::slice::from_ref(&bill)).await;
    let sent: Vec<_> = (0..1000).map(|i| format!("{i}")).collect();
    publish_all(&store, sent.iter().map(|text| message(Some("k"), text)).collect()).await;
    let mut member = join(&store, &bill).await;
    let mut seen = Vec::new();
    while seen.len() < 1000 {
        let batch = receive(&mut member, 100).await;
        assert!(batch.len() <= 100);
        seen.extend(texts(&batch));
        ack_all(&member, batch).await;
    }
    assert_eq!(seen, sent);
}

#[tokio::test]
async fn a_key_that_one_process_holds_is_not_given_to_another() {
    let place = Place::new();
    let (one, two) = (place.open().await, place.open().await);
    let bill = group("bill");
    declare(&one, std::slice::from_ref(&bill)).await;
    let (mut a, mut b) = (join(&one, &bill).await, join(&two, &bill).await);
    publish_keyed(&one, &[("k", "k1"), ("k", "k2"), ("l", "l1"), ("k", "k3")]).await;
    let first = receive_one(&mut a).await;
    assert_eq!(text(&first), "k1");
    let other = receive(&mut b, 10).await;
    assert_eq!(texts(&other), ["l1"]);
    ack_all(&b, other).await;
    assert_idle(&two, &mut b).await;
    settle(&a, first, Settlement::Ack).await;
    let rest = receive(&mut b, 10).await;
    assert_eq!(texts(&rest), ["k2", "k3"]);
    ack_all(&b, rest).await;
    let backlog = one.backlog(&topic(), &bill.name).await.unwrap();
    assert_eq!(backlog, crate::provider::Backlog::default());
}

#[tokio::test]
async fn a_key_that_comes_back_in_parts_is_delivered_again_from_its_earliest() {
    for (how, second) in [
        (Settlement::Requeue, Settlement::Requeue),
        (
            Settlement::Requeue,
            Settlement::RequeueAfter(Duration::from_millis(20)),
        ),
    ] {
        let place = Place::new();
        let (one, two) = (place.open().await, place.open().await);
        let bill = group("bill");
        declare(&one, std::slice::from_ref(&bill)).await;
        let (mut a, mut b) = (join(&one, &bill).await, join(&two, &bill).await);
        publish_keyed(&one, &[("k", "k1"), ("k", "k2"), ("k", "k3")]).await;
        let mut first = receive(&mut a, 2).await;
        let (k2, k1) = (first.remove(1), first.remove(0));
        settle(&a, k1, how).await;
        // The other member looks at it while the key is still held, and sets it aside.
        assert_idle(&two, &mut b).await;
        settle(&a, k2, second).await;
        drop(a);
        let mut seen = Vec::new();
        while seen.len() < 3 {
            let batch = receive(&mut b, 10).await;
            seen.extend(texts(&batch));
            ack_all(&b, batch).await;
        }
        assert_eq!(seen, ["k1", "k2", "k3"]);
    }
}

#[tokio::test]
async fn a_delayed_retry_holds_its_key_back_where_order_is_strict() {
    let place = Place::new();
    let store = place.open().await;
    let bill = group("bill");
    declare(&store, std::slice::from_ref(&bill)).await;
    let mut member = join(&store, &bill).await;
    publish_keyed(&store, &[("k", "k1"), ("k", "k2"), ("l", "l1")]).await;
    let first = receive_one(&mut member).await;
    let asked = clock::now();
    settle(
        &member,
        first,
        Settlement::RequeueAfter(Duration::from_millis(300)),
    )
    .await;
    publish_keyed(&store, &[("k", "k3"), ("l", "l2")]).await;
    let others = receive(&mut member, 10).await;
    assert_eq!(texts(&others), ["l1", "l2"]);
    ack_all(&member, others).await;
    let mut seen = Vec::new();
    let again = receive(&mut member, 10).await;
    assert!(clock::now() - asked >= Duration::from_millis(300));
    assert_eq!(count(&again[0]), 2);
    seen.extend(texts(&again));
    ack_all(&member, again).await;
    while seen.len() < 3 {
        let batch = receive(&mut member, 10).await;
        seen.extend(texts(&batch));
        ack_all(&member, batch).await;
    }
    assert_eq!(seen, ["k1", "k2", "k3"]);
}

#[tokio::test]
async fn a_delayed_retry_lets_its_key_pass_where_order_is_relaxed() {
    let place = Place::new();
    let store = place.open().await;
    let mut bill = group("bill");
    bill.ordering = Ordering::Relaxed;
    declare(&store, std::slice::from_ref(&bill)).await;
    let mut member = join(&store, &bill).await;
    publish_keyed(&store, &[("k", "k1"), ("k", "k2")]).await;
    let first = receive_one(&mut member).await;
    settle(
        &member,
        first,
        Settlement::RequeueAfter(Duration::from_millis(200)),
    )
    .await;
    let second = receive_one(&mut member).await;
    assert_eq!(text(&second), "k2");
    settle(&member, second, Settlement::Ack).await;
    assert_eq!(text(&receive_one(&mut member).await), "k1");
}

#[tokio::test]
async fn a_scheduled_message_comes_at_its_time_and_holds_nothing_back() {
    let place = Place::new();
    let store = place.open().await;
    let bill = group("bill");
    declare(&store, std::slice::from_ref(&bill)).await;
    let mut member = join(&store, &bill).await;
    let due = clock::wall() + Duration::from_millis(400);
    let mut later = message(Some("k"), "later");
    later.not_before = Some(due);
    let mut past = message(Some("k"), "past");
    past.not_before = Some(SystemTime::UNIX_EPOCH);
    let mut far = message(Some("k"), "far");
    far.not_before = Some(due + Duration::from_hours(50 * 365 * 24));
    publish_all(&store, vec![far, later, past, message(Some("k"), "now")]).await;
    let backlog = store.backlog(&topic(), &bill.name).await.unwrap();
    assert_eq!((backlog.ready, backlog.delayed), (2, 2));
    let now = receive(&mut member, 10).await;
    assert_eq!(texts(&now), ["past", "now"]);
    let backlog = store.backlog(&topic(), &bill.name).await.unwrap();
    assert_eq!((backlog.ready, backlog.delayed, backlog.in_flight), (0, 2, 2));
    ack_all(&member, now).await;
    let late = receive_one(&mut member).await;
    assert!(clock::wall() >= due);
    assert_eq!((text(&late).as_str(), count(&late)), ("later", 1));
}

#[tokio::test]
async fn members_of_two_processes_share_a_keyed_topic_in_order() {
    let place = Place::new();
    let producer = place.open().await;
    let bill = group("bill");
    declare(&producer, std::slice::from_ref(&bill)).await;
    let stores = [place.open().await, place.open().await];
    let (to, mut from) = tokio::sync::mpsc::channel(4096);
    let mut tasks = Vec::new();
    for store in &stores {
        for _ in 0..2 {
            let mut member = join(store, &bill).await;
            let to = to.clone();
            tasks.push(tokio::spawn(async move {
                loop {
                    let mut into = Vec::new();
                    if member
                        .receive(&mut into, NonZeroUsize::new(7).unwrap())
                        .await
                        .is_err()
                    {
                        return;
                    }
                    for delivery in &into {
                        let key = delivery.message.key.clone().unwrap();
                        to.send((key, text(delivery).parse::<u32>().unwrap()))
                            .await
                            .unwrap();
                    }
                    ack_all(&member, into).await;
                }
            }));
        }
    }
    for round in 0..50 {
        let some = (0..40).map(|i| message(Some(&format!("k{}", i % 16)), &(round * 40 + i).to_string()));
        publish_all(&producer, some.collect()).await;
    }
    let mut last = std::collections::HashMap::new();
    for _ in 0..2000 {
        let (key, number) = timeout(Duration::from_secs(20), from.recv())
            .await
            .expect("one is missing")
            .unwrap();
        let before = last.insert(key.clone(), number);
        assert!(
            before.is_none_or(|before| before < number),
            "{key:?}: {before:?} then {number}"
        );
    }
    for store in &stores {
        close(store).await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert!(from.try_recv().is_err());
}

#[tokio::test]
async fn what_is_sent_to_a_group_alone_keeps_its_place() {
    let place = Place::new();
    let store = place.open().await;
    let (bill, ship) = (group("bill"), group("ship"));
    declare(&store, &[bill.clone(), ship.clone()]).await;
    publish_keyed(&store, &[("k", "1")]).await;
    let own = message(Some("k"), "2").with_route(crate::Route::Group(bill.name.clone()));
    assert_eq!(publish(&store, own).await.position, None);
    publish_keyed(&store, &[("k", "3")]).await;
    let mut member = join(&store, &bill).await;
    assert_eq!(texts(&receive(&mut member, 10).await), ["1", "2", "3"]);
    let mut other = join(&store, &ship).await;
    assert_eq!(texts(&receive(&mut other, 10).await), ["1", "3"]);
}
