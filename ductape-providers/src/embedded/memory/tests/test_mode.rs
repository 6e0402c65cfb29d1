use super::*;
use crate::Capability;
use crate::capability::{Order, Requeue};
use crate::spec::{SeekTo, Start};

fn least() -> Memory {
    let mut capability = Capability::least(8);
    capability.receive_batch_max = NonZeroUsize::new(2).unwrap();
    Memory::emulating(capability)
}

#[tokio::test]
async fn what_the_capability_lacks_is_refused() {
    let shop = Shop::on(least(), &[group()]).await;
    let (mut ephemeral, mut earliest, mut once) = (group(), group(), group());
    (ephemeral.ephemeral, earliest.start, once.once) = (true, Start::Earliest, true);
    for group in [ephemeral, earliest, once] {
        let spec = TopicSpec::new(shop.topic.clone()).with_group(group.clone());
        assert_eq!(
            kind(shop.memory.declare(&spec).await),
            ErrorKind::Unsupported,
            "{group:?}"
        );
        let joined = shop.memory.subscribe(&shop.spec(&group)).await;
        assert_eq!(kind(joined), ErrorKind::Unsupported, "{group:?}");
    }
    let routed = shop.message("1").with_route(to(&group()));
    assert_eq!(kind(shop.send(routed).await), ErrorKind::Unsupported);
    let mut later = shop.message("1");
    later.not_before = Some(crate::clock::wall() + SECOND);
    assert_eq!(kind(shop.send(later).await), ErrorKind::Unsupported);
    assert_eq!(
        kind(shop.send(shop.message("nine long")).await),
        ErrorKind::PayloadTooLarge
    );
    let seek = shop
        .memory
        .seek(&shop.topic, &group().name, SeekTo::Earliest)
        .await;
    assert_eq!(kind(seek), ErrorKind::Unsupported);
    let backlog = shop.memory.backlog(&shop.topic, &group().name).await;
    assert_eq!(kind(backlog), ErrorKind::Unsupported);

    let receipt = shop.send(shop.message("a1")).await.unwrap();
    assert_eq!(receipt.position, None);
    shop.publish(&["a2", "a3"]).await;
    let mut member = shop.join(&group()).await;
    assert_eq!(
        kind(shop.memory.subscribe(&shop.spec(&group())).await),
        ErrorKind::Unsupported
    );
    let mut came = member.ready(9);
    assert_eq!(came.len(), 2, "the most that one receive gives");
    let first = came.remove(0);
    assert_eq!(
        (first.message.delivery_count, first.message.position),
        (None, None)
    );
    let extended = member.0.settler().extend(&[&first.receipt], SECOND).await;
    assert_eq!(kind(extended), ErrorKind::Unsupported);
    let again = Receipt::new(first.receipt.token());
    for how in [Settlement::Requeue, Settlement::RequeueAfter(SECOND)] {
        let receipt = Receipt::new(first.receipt.token());
        assert_eq!(kind(member.settle(receipt, how)), ErrorKind::Unsupported);
    }
    member.settle(again, Settlement::Ack).unwrap();
}

#[tokio::test]
async fn delays_over_the_limit_are_refused() {
    let mut capability = Capability::least(8);
    capability.publish_delay_max = Some(SECOND);
    capability.requeue = Requeue::Delayed {
        max: SECOND,
        holds_key: false,
    };
    let shop = Shop::on(Memory::emulating(capability), &[group()]).await;
    let mut later = shop.message("1");
    later.not_before = Some(crate::clock::wall() + 10 * SECOND);
    assert_eq!(kind(shop.send(later).await), ErrorKind::Unsupported);
    shop.publish(&["2"]).await;
    let mut member = shop.join(&group()).await;
    let token = member.next().await.receipt.token();
    let late = member.settle(Receipt::new(token), Settlement::RequeueAfter(2 * SECOND));
    assert_eq!(kind(late), ErrorKind::Unsupported);
    member
        .settle(Receipt::new(token), Settlement::RequeueAfter(SECOND))
        .unwrap();
}

#[tokio::test]
async fn without_order_no_key_is_held() {
    let mut capability = MemoryConfig::default().capability();
    capability.order = Order::None;
    let shop = Shop::on(Memory::emulating(capability), &[group()]).await;
    let (mut one, mut two) = (shop.join(&group()).await, shop.join(&group()).await);
    shop.publish(&["a1", "a2", "a3"]).await;
    let first = one.next().await;
    assert_eq!(text(&two.next().await), "a2");
    one.settle(first.receipt, Settlement::RequeueAfter(SECOND))
        .unwrap();
    assert_eq!(two.texts(), ["a3"]);
}

#[tokio::test(start_paused = true)]
async fn a_delay_that_holds_no_key_is_passed_in_a_strict_group_too() {
    let mut capability = MemoryConfig::default().capability();
    capability.requeue = Requeue::Delayed {
        max: SECOND,
        holds_key: false,
    };
    let shop = Shop::on(Memory::emulating(capability), &[group()]).await;
    let mut member = shop.join(&group()).await;
    shop.publish(&["a1", "a2"]).await;
    let first = member.next().await;
    member
        .settle(first.receipt, Settlement::RequeueAfter(SECOND))
        .unwrap();
    assert_eq!(member.texts(), ["a2"]);
}

#[tokio::test(start_paused = true)]
async fn without_leases_a_delivery_stays() {
    let mut capability = MemoryConfig::default().capability();
    capability.lease = false;
    let shop = Shop::on(Memory::emulating(capability), &[group()]).await;
    let (mut one, mut two) = (shop.join(&group()).await, shop.join(&group()).await);
    shop.publish(&["1"]).await;
    let held = one.next().await;
    tokio::time::advance(100 * GroupSpec::LEASE_DEFAULT).await;
    assert!(two.texts().is_empty());
    one.settle(held.receipt, Settlement::Ack).unwrap();
}
