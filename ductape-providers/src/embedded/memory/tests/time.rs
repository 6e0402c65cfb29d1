use super::*;
use crate::clock;

const MILLISECOND: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_delayed_retry_is_counted_and_never_early() {
    let shop = Shop::open(&[group()]).await;
    let mut member = shop.join(&group()).await;
    shop.publish(&["1"]).await;
    let first = member.next().await;
    let due = clock::now() + SECOND;
    member
        .settle(first.receipt, Settlement::RequeueAfter(SECOND))
        .unwrap();
    tokio::time::advance(Duration::from_millis(999)).await;
    assert!(member.texts().is_empty());
    let again = member.next().await;
    assert!(clock::now() >= due && clock::now() <= due + 2 * MILLISECOND);
    assert_eq!(again.message.delivery_count, NonZeroU32::new(2));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_waits_learns_of_a_new_delay() {
    let shop = Shop::open(&[group()]).await;
    let (mut one, mut two) = (shop.join(&group()).await, shop.join(&group()).await);
    shop.publish(&["1"]).await;
    let first = one.next().await;
    let waiting = tokio::spawn(async move { text(&two.next().await) });
    tokio::task::yield_now().await;
    let from = clock::now();
    one.settle(first.receipt, Settlement::RequeueAfter(SECOND))
        .unwrap();
    assert_eq!(waiting.await.unwrap(), "1");
    assert!(clock::now() - from < 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_publish_waits_for_its_time_and_holds_nothing() {
    let shop = Shop::open(&[group()]).await;
    let mut member = shop.join(&group()).await;
    let mut later = shop.message("a1");
    later.not_before = Some(clock::wall() + 10 * SECOND);
    let mut past = shop.message("a2");
    past.not_before = Some(clock::wall() - SECOND);
    shop.send(later).await.unwrap();
    shop.send(past).await.unwrap();
    assert_eq!(member.texts(), ["a2"]);
    let backlog = shop.memory.backlog(&shop.topic, &group().name).await.unwrap();
    assert_eq!((backlog.ready, backlog.delayed, backlog.in_flight), (0, 1, 1));
    tokio::time::advance(9 * SECOND).await;
    assert!(member.texts().is_empty());
    let delivery = member.next().await;
    assert_eq!(text(&delivery), "a1");
    assert!(delivery.message.position.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_ended_lease_goes_to_another_member() {
    let mut group = group();
    group.lease = SECOND;
    let shop = Shop::open(&[group.clone()]).await;
    let (mut one, mut two) = (shop.join(&group).await, shop.join(&group).await);
    let waiting = tokio::spawn(async move { (two.next().await, two) });
    tokio::task::yield_now().await;
    shop.publish(&["a1"]).await;
    // Taken before the other member, which was woken, had its turn.
    let held = one.next().await;
    let from = clock::now();
    let (again, two) = waiting.await.unwrap();
    assert!(clock::now() - from >= SECOND);
    assert_eq!(again.message.delivery_count, NonZeroU32::new(2));
    assert_eq!(
        kind(one.settle(held.receipt, Settlement::Ack)),
        ErrorKind::LeaseLost
    );
    two.settle(again.receipt, Settlement::Ack).unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_extended_lease_is_kept() {
    let mut group = group();
    group.lease = SECOND;
    let shop = Shop::open(&[group.clone()]).await;
    let (mut one, mut two) = (shop.join(&group).await, shop.join(&group).await);
    shop.publish(&["1", "2"]).await;
    let [kept, lost]: [Delivery; 2] = one.ready(2).try_into().unwrap();
    let settler = one.0.settler();
    for _ in 0..5 {
        tokio::time::advance(SECOND / 2).await;
        settler.extend(&[&kept.receipt], SECOND).await.unwrap();
    }
    assert_eq!(two.texts(), ["2"]);
    let both = settler.extend(&[&lost.receipt, &kept.receipt], 10 * SECOND).await;
    assert_eq!(kind(both), ErrorKind::LeaseLost);
    tokio::time::advance(5 * SECOND).await;
    one.settle(kept.receipt, Settlement::Ack).unwrap();
}
