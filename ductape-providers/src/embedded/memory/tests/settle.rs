use super::*;
use crate::message::MessageId;
use crate::spec::Source;

#[tokio::test]
async fn an_acknowledged_or_rejected_message_never_comes_back() {
    let shop = Shop::open(&[group()]).await;
    let mut member = shop.join(&group()).await;
    shop.publish(&["1", "2", "3"]).await;
    let [one, two, three]: [Delivery; 3] = member.ready(3).try_into().unwrap();
    member.settle(three.receipt, Settlement::Ack).unwrap();
    member.settle(one.receipt, Settlement::Reject).unwrap();
    drop(member);
    let mut member = shop.join(&group()).await;
    assert_eq!(member.texts(), ["2"], "what was settled around it does not count");
    drop(two);
}

#[tokio::test]
async fn a_requeued_message_comes_back_in_its_place_and_uncounted() {
    let shop = Shop::open(&[group()]).await;
    let mut member = shop.join(&group()).await;
    shop.publish(&["1", "2", "3", "4"]).await;
    let [one, two]: [Delivery; 2] = member.ready(2).try_into().unwrap();
    member.settle(two.receipt, Settlement::Requeue).unwrap();
    member.settle(one.receipt, Settlement::Requeue).unwrap();
    let again = member.ready(9);
    assert_eq!(again.iter().map(text).collect::<Vec<_>>(), ["1", "2", "3", "4"]);
    assert!(
        again
            .iter()
            .all(|d| d.message.delivery_count == NonZeroU32::new(1))
    );
}

#[tokio::test]
async fn a_receipt_settles_once_and_for_its_own_member() {
    let shop = Shop::open(&[group()]).await;
    let (mut member, other) = (shop.join(&group()).await, shop.join(&group()).await);
    shop.publish(&["1"]).await;
    let token = member.next().await.receipt.token();
    assert_eq!(
        kind(other.settle(Receipt::new(token), Settlement::Ack)),
        ErrorKind::LeaseLost
    );
    member.settle(Receipt::new(token), Settlement::Ack).unwrap();
    assert_eq!(
        kind(member.settle(Receipt::new(token), Settlement::Ack)),
        ErrorKind::LeaseLost
    );
    shop.publish(&["2"]).await;
    let next = member.next().await;
    assert_eq!(
        kind(member.settle(Receipt::new(token), Settlement::Ack)),
        ErrorKind::LeaseLost
    );
    member.settle(next.receipt, Settlement::Ack).unwrap();
}

#[tokio::test]
async fn a_dropped_subscription_gives_back_at_once() {
    let shop = Shop::open(&[group()]).await;
    let (mut gone, mut other) = (shop.join(&group()).await, shop.join(&group()).await);
    shop.publish(&["1", "2"]).await;
    let held = gone.ready(2);
    let settler = gone.0.settler();
    let waiting = tokio::spawn(async move { (text(&other.next().await), other) });
    tokio::task::yield_now().await;
    drop(gone);
    let (first, mut other) = waiting.await.unwrap();
    assert_eq!((first.as_str(), other.texts()), ("1", vec!["2".to_owned()]));
    let mut slots: Vec<_> = held
        .into_iter()
        .map(|d| SettleSlot::new(d.receipt, Settlement::Ack))
        .collect();
    settler.settle(&mut slots).await;
    let lost = |slot: SettleSlot| kind(slot.outcome.unwrap()) == ErrorKind::LeaseLost;
    assert!(slots.into_iter().all(lost));
}

#[tokio::test]
async fn prefetch_bounds_what_is_unsettled() {
    let shop = Shop::open(&[group()]).await;
    let mut spec = shop.spec(&group());
    spec.prefetch = NonZeroUsize::new(2).unwrap();
    let mut member = shop.join_as(&spec).await;
    shop.publish(&["1", "2", "3"]).await;
    let mut held = member.ready(9);
    assert_eq!((held.len(), member.texts().len()), (2, 0));
    let settler = member.0.settler();
    let waiting = tokio::spawn(async move { text(&member.next().await) });
    tokio::task::yield_now().await;
    let mut slots = [SettleSlot::new(held.remove(0).receipt, Settlement::Ack)];
    settler.settle(&mut slots).await;
    assert_eq!(waiting.await.unwrap(), "3");
}

#[tokio::test]
async fn a_cancelled_receive_takes_nothing() {
    let shop = Shop::open(&[group()]).await;
    let mut member = shop.join(&group()).await;
    for n in 0..50 {
        assert!(member.texts().is_empty());
        shop.publish(&[&n.to_string()]).await;
        assert_eq!(member.texts(), [n.to_string()]);
    }
}

#[tokio::test]
async fn dead_letters_are_their_group_s_own() {
    let (shop, other) = (
        Shop::open(&[group()]).await,
        GroupSpec::new("other".parse().unwrap()),
    );
    let shop = Shop::on(shop.memory, std::slice::from_ref(&other)).await;
    let dead = shop.message("1").with_route(Route::DeadLetters(group().name));
    shop.send(dead.clone()).await.unwrap();
    let mut spec = shop.spec(&group());
    assert!(shop.join_as(&spec).await.texts().is_empty());
    spec.source = Source::DeadLetters;
    let mut member = shop.join_as(&spec).await;
    let letter = member.next().await;
    assert_eq!((&letter.message.id, letter.message.position), (&dead.id, None));
    drop(member);
    let mut member = shop.join_as(&spec).await;
    let letter = member.next().await;
    assert_eq!(letter.message.delivery_count, NonZeroU32::new(2));
    assert_eq!(
        shop.memory
            .backlog(&shop.topic, &group().name)
            .await
            .unwrap()
            .dead_letters,
        1
    );
    member.settle(letter.receipt, Settlement::Ack).unwrap();
    assert_eq!(
        shop.memory
            .backlog(&shop.topic, &group().name)
            .await
            .unwrap()
            .dead_letters,
        0
    );
    spec.group = other;
    assert!(shop.join_as(&spec).await.texts().is_empty());
}

fn once() -> GroupSpec {
    let mut group = group();
    group.once = true;
    group
}

#[tokio::test]
async fn once_a_handled_id_is_not_delivered_again() {
    let shop = Shop::open(&[once()]).await;
    let mut member = shop.join(&once()).await;
    let message = shop.message("1");
    shop.send(message.clone()).await.unwrap();
    let delivery = member.next().await;
    member.settle(delivery.receipt, Settlement::Ack).unwrap();
    shop.send(message).await.unwrap();
    shop.publish(&["2"]).await;
    assert_eq!(member.texts(), ["2"]);
    let backlog = shop.memory.backlog(&shop.topic, &once().name).await.unwrap();
    assert_eq!((backlog.ready, backlog.in_flight), (0, 1));
}

#[tokio::test]
async fn once_what_is_sent_to_the_group_alone_is_delivered_and_remembered() {
    let shop = Shop::open(&[once()]).await;
    let mut member = shop.join(&once()).await;
    let message = shop.message("1");
    let alone = message.clone().with_route(to(&once()));
    shop.send(message.clone()).await.unwrap();
    let first = member.next().await;
    shop.send(alone.clone()).await.unwrap();
    let copy = member.next().await;
    member.settle(first.receipt, Settlement::Reject).unwrap();
    member.settle(copy.receipt, Settlement::Ack).unwrap();
    shop.send(message).await.unwrap();
    assert!(member.texts().is_empty());
    shop.send(alone).await.unwrap();
    assert_eq!(member.texts(), ["1"]);
}

#[tokio::test]
async fn once_an_id_in_flight_is_held_until_the_first_is_settled() {
    let shop = Shop::open(&[once()]).await;
    let (mut member, mut other) = (shop.join(&once()).await, shop.join(&once()).await);
    let mut message = shop.message("1");
    message.id = MessageId::from_text("twin");
    for _ in 0..3 {
        shop.send(message.clone()).await.unwrap();
    }
    let first = member.next().await;
    assert!(other.texts().is_empty());
    member.settle(first.receipt, Settlement::Requeue).unwrap();
    let again = other.next().await;
    assert!(member.texts().is_empty());
    // Rejected, the next is not a repetition of anything that was handled.
    other.settle(again.receipt, Settlement::Reject).unwrap();
    let second = member.next().await;
    assert!(other.texts().is_empty());
    member.settle(second.receipt, Settlement::Ack).unwrap();
    assert!(member.texts().is_empty());
    let backlog = shop.memory.backlog(&shop.topic, &once().name).await.unwrap();
    assert_eq!((backlog.ready, backlog.in_flight), (0, 0));
}

#[tokio::test]
async fn once_repetitions_make_room_for_publishers() {
    let config = MemoryConfig {
        capacity: 2,
        retention: 0,
        ..MemoryConfig::default()
    };
    let shop = Shop::on(config.open(), &[once()]).await;
    let mut member = shop.join(&once()).await;
    let message = shop.message("1");
    shop.send(message.clone()).await.unwrap();
    let first = member.next().await;
    member.settle(first.receipt, Settlement::Ack).unwrap();
    let mut slots = [&message, &message, &message, &message].map(|m| PublishSlot::new(m.clone()));
    let receive = tokio::spawn(async move { text(&member.next().await) });
    shop.memory.publish(&mut slots).await;
    shop.publish(&["2"]).await;
    assert_eq!(receive.await.unwrap(), "2");
}
