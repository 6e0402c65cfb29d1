use super::*;
use crate::spec::Ordering;

fn relaxed() -> GroupSpec {
    let mut group = group();
    group.ordering = Ordering::Relaxed;
    group
}

#[tokio::test]
async fn a_key_is_at_one_member_at_a_time() {
    let shop = Shop::open(&[group()]).await;
    let (mut one, mut two) = (shop.join(&group()).await, shop.join(&group()).await);
    shop.publish(&["a1", "a2", "b1", "a3", "b2", "1"]).await;
    let held = one.ready(2);
    assert_eq!(held.iter().map(text).collect::<Vec<_>>(), ["a1", "a2"]);
    assert_eq!(two.texts(), ["b1", "b2", "1"]);
    let mut held = held.into_iter();
    one.settle(held.next().unwrap().receipt, Settlement::Ack).unwrap();
    assert!(two.texts().is_empty());
    one.settle(held.next().unwrap().receipt, Settlement::Ack).unwrap();
    assert_eq!(two.texts(), ["a3"]);
}

#[tokio::test]
async fn a_second_member_respects_what_the_first_had_before() {
    let shop = Shop::open(&[group()]).await;
    let mut one = shop.join(&group()).await;
    shop.publish(&["a1", "a2"]).await;
    let held = one.next().await;
    let mut two = shop.join(&group()).await;
    assert!(two.texts().is_empty());
    one.settle(held.receipt, Settlement::Ack).unwrap();
    assert_eq!(two.texts(), ["a2"]);
}

#[tokio::test(start_paused = true)]
async fn a_strict_retry_holds_its_key_and_no_other() {
    let shop = Shop::open(&[group()]).await;
    let mut member = shop.join(&group()).await;
    shop.publish(&["a1", "a2", "b1"]).await;
    let first = member.next().await;
    member
        .settle(first.receipt, Settlement::RequeueAfter(SECOND))
        .unwrap();
    assert_eq!(member.texts(), ["b1"]);
    shop.publish(&["a3"]).await;
    assert!(member.texts().is_empty());
    tokio::time::advance(SECOND).await;
    assert_eq!(member.texts(), ["a1", "a2", "a3"]);
}

#[tokio::test(start_paused = true)]
async fn a_relaxed_retry_is_passed() {
    let shop = Shop::open(&[relaxed()]).await;
    let mut member = shop.join(&relaxed()).await;
    shop.publish(&["a1", "a2"]).await;
    let first = member.next().await;
    member
        .settle(first.receipt, Settlement::RequeueAfter(SECOND))
        .unwrap();
    assert_eq!(member.texts(), ["a2"]);
    tokio::time::advance(SECOND).await;
    assert_eq!(member.texts(), ["a1"]);
}

#[tokio::test(start_paused = true)]
async fn a_relaxed_retry_still_is_not_at_two_members_at_a_time() {
    let shop = Shop::open(&[relaxed()]).await;
    let (mut one, mut two) = (shop.join(&relaxed()).await, shop.join(&relaxed()).await);
    shop.publish(&["a1", "a2"]).await;
    let first = one.next().await;
    one.settle(first.receipt, Settlement::RequeueAfter(SECOND))
        .unwrap();
    let later = two.next().await;
    tokio::time::advance(SECOND).await;
    assert!(one.texts().is_empty());
    two.settle(later.receipt, Settlement::Ack).unwrap();
    assert_eq!(one.texts(), ["a1"]);
}

#[tokio::test]
async fn what_a_member_gives_back_keeps_its_order() {
    let shop = Shop::open(&[group()]).await;
    let (mut one, mut two) = (shop.join(&group()).await, shop.join(&group()).await);
    shop.publish(&["a1", "a2", "a3", "a4", "a5"]).await;
    let held = one.ready(3);
    assert_eq!(held.len(), 3);
    assert!(two.texts().is_empty());
    drop(one);
    assert_eq!(two.texts(), ["a1", "a2", "a3", "a4", "a5"]);
}

#[tokio::test]
async fn a_requeued_message_waits_for_later_ones_that_are_out() {
    let shop = Shop::open(&[group()]).await;
    let (mut one, mut two) = (shop.join(&group()).await, shop.join(&group()).await);
    shop.publish(&["a1", "a2"]).await;
    let [first, second]: [Delivery; 2] = one.ready(2).try_into().unwrap();
    one.settle(first.receipt, Settlement::Requeue).unwrap();
    assert!(two.texts().is_empty(), "the other member still has a2");
    one.settle(second.receipt, Settlement::Requeue).unwrap();
    assert_eq!(two.texts(), ["a1", "a2"]);
}

#[tokio::test]
async fn a_message_for_the_group_comes_after_what_was_published_before() {
    let shop = Shop::open(&[group()]).await;
    let mut member = shop.join(&group()).await;
    shop.publish(&["a1"]).await;
    shop.send(shop.message("a2").with_route(to(&group())))
        .await
        .unwrap();
    shop.send(shop.message("a3").with_route(to(&group())))
        .await
        .unwrap();
    shop.publish(&["a4"]).await;
    assert_eq!(member.texts(), ["a1", "a2", "a3", "a4"]);
}

/// Many members, retries and departures: each key's messages are handled in order, and each message once.
#[tokio::test]
async fn keys_keep_their_order_whatever_happens() {
    const KEYS: usize = 7;
    let shop = Shop::open(&[group()]).await;
    let mut seed = 42_u32;
    let mut random = move |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % below
    };
    let mut members = Vec::new();
    let mut held: Vec<(usize, Delivery)> = Vec::new();
    let (mut published, mut handled) = ([0; KEYS], [0; KEYS]);
    let mut names = 0;
    for step in 0..20_000 {
        match random(10) {
            0..3 if step < 15_000 => {
                let key = usize::try_from(random(7)).unwrap();
                let message = Outgoing::new(shop.topic.clone(), format!("{key} {}", published[key]));
                published[key] += 1;
                shop.send(message.with_key(key.to_string())).await.unwrap();
            }
            3 if members.len() < 4 => {
                names += 1;
                members.push((names, shop.join(&group()).await));
            }
            4 if members.len() > 1 && random(20) == 0 => {
                let at = usize::try_from(random(2)).unwrap();
                let (name, _) = members.swap_remove(at);
                held.retain(|(holder, _)| *holder != name);
            }
            5..8 if !members.is_empty() => {
                let at = usize::try_from(random(4)).unwrap() % members.len();
                let (name, member) = &mut members[at];
                held.extend(member.ready(3).into_iter().map(|delivery| (*name, delivery)));
            }
            _ if !held.is_empty() => {
                // A member handles what it has in order, as lanes do.
                let (name, delivery) = held.remove(0);
                let (_, member) = members.iter().find(|(n, _)| *n == name).unwrap();
                let label = text(&delivery);
                let (key, number) = label.split_once(' ').unwrap();
                let (key, number): (usize, i32) = (key.parse().unwrap(), number.parse().unwrap());
                if number != handled[key] || random(8) == 0 {
                    // Given back; so is what comes after it, until it has come again.
                    assert!(number >= handled[key], "{label} was handled before");
                    member.settle(delivery.receipt, Settlement::Requeue).unwrap();
                    continue;
                }
                let others = held
                    .iter()
                    .filter(|(n, d)| *n != name && d.message.key == delivery.message.key);
                assert_eq!(others.count(), 0, "{label} is at two members");
                handled[key] += 1;
                member.settle(delivery.receipt, Settlement::Ack).unwrap();
            }
            _ => {}
        }
    }
    drop(members);
    let mut last = shop.join(&group()).await;
    loop {
        let rest = last.ready(100);
        if rest.is_empty() {
            break;
        }
        for delivery in &rest {
            let label = text(delivery);
            let (key, number) = label.split_once(' ').unwrap();
            let key: usize = key.parse().unwrap();
            assert_eq!(number, handled[key].to_string(), "of key {key}");
            handled[key] += 1;
        }
        last.ack_all(rest);
    }
    assert!(published.iter().sum::<i32>() > 1_000);
    assert_eq!(handled, published);
}
