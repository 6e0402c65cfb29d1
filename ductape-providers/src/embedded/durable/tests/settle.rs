use std::time::Duration;

use super::*;

async fn with_one(place: &Place, lease: Duration) -> (Durable, GroupSpec, DurableSubscription) {
    let store = place.open().await;
    let mut bill = group("bill");
    bill.lease = lease;
    declare(&store, std::slice::from_ref(&bill)).await;
    let member = join(&store, &bill).await;
    publish_keyed(&store, &[("k", "1"), ("k", "2"), ("k", "3")]).await;
    (store, bill, member)
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn an_acknowledged_message_never_returns() {
    let place = Place::new();
    let (store, bill, mut member) = with_one(&place, LONG).await;
    let all = receive(&mut member, 10).await;
    ack_all(&member, all).await;
    drop(member);
    close(&store).await;
    let store = place.open().await;
    let mut member = join(&store, &bill).await;
    assert_idle(&store, &mut member).await;
}

#[tokio::test]
async fn only_what_is_not_settled_returns_after_the_process_has_died() {
    let place = Place::new();
    let (store, bill, mut member) = with_one(&place, Duration::from_millis(200)).await;
    let mut all = receive(&mut member, 10).await;
    settle(&member, all.pop().unwrap(), Settlement::Ack).await;
    // As a process that is killed: nothing is given back.
    std::mem::forget((store, member));
    let store = place.open().await;
    let mut member = join(&store, &bill).await;
    let again = receive(&mut member, 10).await;
    assert_eq!(texts(&again), ["1", "2"]);
    assert!(again.iter().all(|delivery| count(delivery) == 2));
}

#[tokio::test]
async fn a_requeued_message_returns_at_once_in_its_place_and_is_not_counted() {
    let place = Place::new();
    let (_store, _, mut member) = with_one(&place, LONG).await;
    let mut some = receive(&mut member, 2).await;
    let second = some.pop().unwrap();
    settle(&member, second, Settlement::Requeue).await;
    settle(
        &member,
        some.pop().unwrap(),
        Settlement::RequeueAfter(Duration::ZERO),
    )
    .await;
    let again = receive(&mut member, 10).await;
    assert_eq!(texts(&again), ["1", "2", "3"]);
    assert_eq!(again.iter().map(count).collect::<Vec<_>>(), [2, 1, 1]);
}

#[tokio::test]
async fn a_rejected_message_never_returns() {
    let place = Place::new();
    let (store, _, mut member) = with_one(&place, LONG).await;
    let all = receive(&mut member, 10).await;
    for delivery in all {
        settle(&member, delivery, Settlement::Reject).await;
    }
    assert_idle(&store, &mut member).await;
}

#[tokio::test]
async fn after_its_lease_a_delivery_is_anothers() {
    let place = Place::new();
    let (_store, bill, mut member) = with_one(&place, Duration::from_millis(150)).await;
    let lost = receive_one(&mut member).await;
    let other_store = place.open().await;
    let mut other = join(&other_store, &bill).await;
    let taken = receive_one(&mut other).await;
    assert_eq!((text(&taken).as_str(), count(&taken)), ("1", 2));
    let outcome = try_settle(&member, vec![lost.receipt], Settlement::Ack)
        .await
        .remove(0);
    assert_eq!(kind(outcome), ErrorKind::LeaseLost);
    settle(&other, taken, Settlement::Ack).await;
}

#[tokio::test]
async fn a_receiver_whose_own_leases_have_ended_gets_them_again() {
    let place = Place::new();
    let (store, bill, member) = with_one(&place, Duration::from_millis(100)).await;
    drop(member);
    let mut spec = SubscriptionSpec::new(topic(), bill);
    spec.prefetch = NonZeroUsize::new(2).unwrap();
    let mut member = store.subscribe(&spec).await.unwrap();
    assert_eq!(texts(&receive(&mut member, 2).await), ["1", "2"]);
    assert_eq!(texts(&receive(&mut member, 2).await), ["1", "2"]);
}

#[tokio::test]
async fn an_extended_lease_is_kept() {
    let place = Place::new();
    let (_store, bill, mut member) = with_one(&place, Duration::from_millis(250)).await;
    let kept = receive(&mut member, 10).await;
    let other_store = place.open().await;
    let mut other = join(&other_store, &bill).await;
    let receipts: Vec<_> = kept.iter().map(|delivery| &delivery.receipt).collect();
    for _ in 0..5 {
        member
            .settler()
            .extend(&receipts, Duration::from_millis(250))
            .await
            .unwrap();
        let mut into = Vec::new();
        let received = timeout(
            Duration::from_millis(120),
            other.receive(&mut into, NonZeroUsize::MIN),
        )
        .await;
        assert!(received.is_err(), "{into:?}");
    }
    ack_all(&member, kept).await;
}

#[tokio::test]
async fn extending_says_when_one_was_lost() {
    let place = Place::new();
    let (_store, _, mut member) = with_one(&place, LONG).await;
    let mut some = receive(&mut member, 2).await;
    let settled = some.remove(0);
    let copy = Receipt::new(settled.receipt.token());
    settle(&member, settled, Settlement::Ack).await;
    let extended = member.settler().extend(&[&copy, &some[0].receipt], LONG).await;
    assert_eq!(kind(extended), ErrorKind::LeaseLost);
}

#[tokio::test]
async fn a_dropped_subscription_gives_back_at_once() {
    let place = Place::new();
    let (_store, bill, mut member) = with_one(&place, LONG).await;
    let _unsettled = receive(&mut member, 10).await;
    let other_store = place.open().await;
    let mut other = join(&other_store, &bill).await;
    drop(member);
    assert_eq!(texts(&receive(&mut other, 10).await), ["1", "2", "3"]);
}

#[tokio::test]
async fn prefetch_bounds_what_is_unsettled() {
    let place = Place::new();
    let (store, bill, member) = with_one(&place, LONG).await;
    drop(member);
    let mut spec = SubscriptionSpec::new(topic(), bill.clone());
    spec.prefetch = NonZeroUsize::new(2).unwrap();
    let mut member = store.subscribe(&spec).await.unwrap();
    let mut some = receive(&mut member, 10).await;
    assert_eq!(some.len(), 2);
    assert_idle(&store, &mut member).await;
    settle(&member, some.remove(0), Settlement::Ack).await;
    assert_eq!(texts(&receive(&mut member, 10).await), ["3"]);
}

#[tokio::test]
async fn a_cancelled_receive_loses_nothing() {
    let place = Place::new();
    let (store, _, mut member) = with_one(&place, LONG).await;
    let sent: Vec<_> = (0..200).map(|i| message(None, &format!("m{i}"))).collect();
    publish_all(&store, sent).await;
    let mut seen = Vec::new();
    let mut polls = 0_u32;
    while seen.len() < 203 {
        let mut into = Vec::new();
        let patience = Duration::from_micros(u64::from(polls % 40) * 10);
        drop(timeout(patience, member.receive(&mut into, NonZeroUsize::new(3).unwrap())).await);
        seen.extend(texts(&into));
        ack_all(&member, into).await;
        polls += 1;
        assert!(polls < 20_000, "{} of 203", seen.len());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 203);
}

#[tokio::test]
async fn settling_after_leaving_says_that_the_lease_is_lost() {
    let place = Place::new();
    let (_store, _, mut member) = with_one(&place, LONG).await;
    let settler = member.settler();
    let mut slots: Vec<_> = receive(&mut member, 10)
        .await
        .into_iter()
        .map(|delivery| SettleSlot::new(delivery.receipt, Settlement::Ack))
        .collect();
    member.close().await.unwrap();
    settler.settle(&mut slots).await;
    for slot in slots {
        assert_eq!(kind(slot.outcome.unwrap()), ErrorKind::LeaseLost);
    }
}
