use super::*;
use crate::message::Position;
use crate::provider::Durability;
use crate::spec::{SeekTo, Start};
use crate::{Bytes, Headers};

fn small(capacity: usize, retention: usize) -> Memory {
    MemoryConfig {
        capacity,
        retention,
        payload_bytes_max: 10,
    }
    .open()
}

#[test]
fn it_opens_without_a_runtime() {
    let memory = MemoryConfig::default().open();
    assert_eq!(memory.info().address, "memory");
}

#[tokio::test]
async fn a_message_arrives_as_it_was_sent() {
    let shop = Shop::open(&[group()]).await;
    let mut member = shop.join(&group()).await;
    let mut sent = shop.message("a1");
    sent.payload = Bytes::from_static(b"\0\xff not text");
    sent.headers = [("tenant", "acme ☺")].into_iter().collect::<Headers>();
    let receipt = shop.send(sent.clone()).await.unwrap();
    assert_eq!(
        (receipt.durability, receipt.position, receipt.duplicate),
        (Durability::Buffered, Some(Position(0)), false)
    );
    let came = member.next().await.message;
    assert_eq!((&came.topic, &came.id), (&shop.topic, &sent.id));
    assert_eq!(
        (&came.key, &came.payload, &came.headers),
        (&sent.key, &sent.payload, &sent.headers)
    );
    assert_eq!(
        (came.published_at, came.position, came.delivery_count),
        (Some(sent.published_at), Some(Position(0)), NonZeroU32::new(1))
    );
}

#[tokio::test]
async fn one_refused_slot_leaves_the_others() {
    let shop = Shop::on(small(10, 10), &[group()]).await;
    let mut elsewhere = shop.message("x");
    elsewhere.topic = TopicName::new("shop:else".parse().unwrap(), NonZeroU32::MIN);
    let unknown = shop
        .message("y")
        .with_route(Route::Group("nobody".parse().unwrap()));
    let mut headers = shop.message("h");
    headers.headers.insert("Upper", "no");
    let messages = [
        shop.message("1"),
        shop.message("eleven long"),
        elsewhere,
        unknown,
        headers,
        shop.message("2"),
    ];
    let mut slots = messages.map(PublishSlot::new);
    shop.memory.publish(&mut slots).await;
    let kinds: Vec<_> = slots
        .iter()
        .map(|s| s.outcome.as_ref().unwrap().as_ref().err().map(crate::Error::kind))
        .collect();
    assert_eq!(
        kinds,
        [
            None,
            Some(ErrorKind::PayloadTooLarge),
            Some(ErrorKind::TopicMissing),
            Some(ErrorKind::GroupMissing),
            Some(ErrorKind::HeaderInvalid),
            None
        ]
    );
    assert_eq!(shop.join(&group()).await.texts(), ["1", "2"]);
}

#[tokio::test]
async fn a_full_topic_is_waited_for() {
    let shop = Shop::on(small(2, 0), &[group()]).await;
    let mut member = shop.join(&group()).await;
    shop.publish(&["1", "2"]).await;
    let mut slots = ["3", "4"].map(|text| PublishSlot::new(shop.message(text)));
    {
        let mut publish = std::pin::pin!(shop.memory.publish(&mut slots));
        assert!(publish.as_mut().now_or_never().is_none());
        let mut first = member.ready(2);
        assert!(
            publish.as_mut().now_or_never().is_none(),
            "receiving makes no room"
        );
        member
            .settle(first.pop().unwrap().receipt, Settlement::Ack)
            .unwrap();
        assert!(publish.as_mut().now_or_never().is_none(), "there is room for one");
    }
    // Cancelled: the first is in, the second is not.
    assert!(matches!(slots[0].outcome, Some(Ok(_))) && slots[1].outcome.is_none());
    assert_eq!(member.texts(), ["3"]);
}

#[tokio::test]
async fn a_waiting_publish_goes_on_when_there_is_room() {
    let shop = Shop::on(small(1, 0), &[group()]).await;
    let mut member = shop.join(&group()).await;
    let (memory, topic) = (shop.memory.clone(), shop.topic.clone());
    let publisher = tokio::spawn(async move {
        let mut slots: Vec<_> = (0..100)
            .map(|n| PublishSlot::new(Outgoing::new(topic.clone(), n.to_string())))
            .collect();
        memory.publish(&mut slots).await;
        slots.iter().all(|slot| matches!(slot.outcome, Some(Ok(_))))
    });
    for n in 0..100 {
        let delivery = member.next().await;
        assert_eq!(text(&delivery), n.to_string());
        member.settle(delivery.receipt, Settlement::Ack).unwrap();
    }
    assert!(publisher.await.unwrap());
}

#[tokio::test]
async fn what_waits_at_the_front_does_not_fill_the_topic() {
    let shop = Shop::on(small(3, 2), &[group()]).await;
    let mut member = shop.join(&group()).await;
    shop.publish(&["0"]).await;
    let held = member.next().await;
    for n in 1..50_u32 {
        shop.publish(&[&n.to_string()]).await;
        let delivery = member.next().await;
        assert_eq!(text(&delivery), n.to_string());
        member.settle(delivery.receipt, Settlement::Ack).unwrap();
    }
    let kept = shop.memory.topic(&shop.topic).unwrap().lock().ring.len();
    assert!(kept <= 5, "capacity and retention are 5, but {kept} are kept");
    member.settle(held.receipt, Settlement::Requeue).unwrap();
    let again = member.next().await;
    assert_eq!(
        (text(&again).as_str(), again.message.position),
        ("0", Some(Position(0)))
    );
}

#[tokio::test]
async fn without_groups_only_the_retention_stays() {
    let shop = Shop::on(small(2, 3), &[]).await;
    shop.publish(&["1", "2", "3", "4", "5"]).await;
    let mut late = group();
    late.start = Start::Earliest;
    let shop = Shop::on(shop.memory, &[late.clone()]).await;
    assert_eq!(shop.join(&late).await.texts(), ["3", "4", "5"]);
}

#[tokio::test]
async fn what_was_settled_stays_for_the_retention() {
    let shop = Shop::on(small(10, 2), &[group()]).await;
    let mut member = shop.join(&group()).await;
    shop.publish(&["1", "2", "3", "4"]).await;
    let all = member.ready(10);
    member.ack_all(all);
    shop.memory
        .seek(&shop.topic, &group().name, SeekTo::Earliest)
        .await
        .unwrap();
    assert_eq!(member.texts(), ["3", "4"]);
}

#[tokio::test]
async fn dead_letters_beyond_the_capacity_are_refused() {
    let shop = Shop::on(small(2, 0), &[group()]).await;
    let dead = Route::DeadLetters(group().name);
    for text in ["1", "2"] {
        shop.send(shop.message(text).with_route(dead.clone()))
            .await
            .unwrap();
    }
    let refused = shop.send(shop.message("3").with_route(dead)).await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.is_temporary()),
        (ErrorKind::Throttled, true)
    );
    shop.publish(&["4", "5"]).await;
}

#[tokio::test]
async fn close_reaches_clones_and_whoever_waits() {
    let shop = Shop::on(small(1, 0), &[group()]).await;
    let (clone, other) = (shop.memory.clone(), shop.memory.connect());
    let mut member = shop.join(&group()).await;
    shop.publish(&["1"]).await;
    let delivery = member.next().await;
    let waiting = {
        let (memory, message) = (clone.clone(), shop.message("2"));
        tokio::spawn(async move {
            let mut slots = [PublishSlot::new(message)];
            memory.publish(&mut slots).await;
            let [slot] = slots;
            slot.outcome.unwrap()
        })
    };
    let receiving = tokio::spawn(async move {
        let mut into = Vec::new();
        let end = member.0.receive(&mut into, NonZeroUsize::MIN).await;
        (end, member)
    });
    tokio::task::yield_now().await;
    for _ in 0..2 {
        shop.memory.close(crate::clock::now()).await.unwrap();
    }
    assert_eq!(kind(waiting.await.unwrap()), ErrorKind::Closed);
    let (end, member) = receiving.await.unwrap();
    assert_eq!(kind(end), ErrorKind::Closed);
    assert_eq!(
        kind(member.settle(delivery.receipt, Settlement::Ack)),
        ErrorKind::Closed
    );
    assert_eq!(kind(clone.ping().await), ErrorKind::Closed);
    assert_eq!(
        kind(clone.subscribe(&shop.spec(&group())).await),
        ErrorKind::Closed
    );
    // The other connection goes on, and gets what this one had.
    let mut member = Shop::on(other, &[group()]).await.join(&group()).await;
    assert_eq!(member.texts(), ["1"]);
}

#[tokio::test]
async fn an_error_says_what_there_is_instead() {
    let shop = Shop::open(&[group()]).await;
    let mut message = shop.message("1");
    message.topic = TopicName::new("shop:order".parse().unwrap(), NonZeroU32::MIN);
    let error = shop.send(message).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no topic `shop:order`; declare it first (declared: shop:orders)"
    );
    let nobody = GroupSpec::new("nobody".parse().unwrap());
    let error = shop.memory.subscribe(&shop.spec(&nobody)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no group `nobody` of topic `shop:orders`; declare it first (declared: bill)"
    );
}
