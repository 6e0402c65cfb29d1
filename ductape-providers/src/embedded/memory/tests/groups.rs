use super::*;
use crate::clock;
use crate::message::Position;
use crate::spec::{SeekTo, Start};

#[tokio::test]
async fn each_group_gets_every_message_once() {
    let other = GroupSpec::new("other".parse().unwrap());
    let shop = Shop::open(&[group(), other.clone()]).await;
    let (mut one, mut two) = (shop.join(&group()).await, shop.join(&group()).await);
    shop.publish(&["1", "2", "3"]).await;
    shop.send(shop.message("4").with_route(to(&group())))
        .await
        .unwrap();
    let first: Vec<_> = one.ready(2).iter().map(text).collect();
    assert_eq!(
        (first, two.texts()),
        (vec!["1".into(), "2".into()], vec!["3".into(), "4".into()])
    );
    assert_eq!(shop.join(&other).await.texts(), ["1", "2", "3"]);
}

#[tokio::test]
async fn a_group_begins_where_it_says() {
    let (latest, mut earliest) = (group(), GroupSpec::new("all".parse().unwrap()));
    earliest.start = Start::Earliest;
    let shop = Shop::open(&[]).await;
    shop.publish(&["1"]).await;
    let shop = Shop::on(shop.memory, &[latest.clone(), earliest.clone()]).await;
    shop.publish(&["2"]).await;
    assert_eq!(shop.join(&latest).await.texts(), ["2"]);
    assert_eq!(shop.join(&earliest).await.texts(), ["1", "2"]);
}

#[tokio::test]
async fn what_exists_is_not_altered() {
    let shop = Shop::open(&[group()]).await;
    shop.publish(&["1"]).await;
    let shop = Shop::on(shop.memory, &[group()]).await;
    assert_eq!(shop.join(&group()).await.texts(), ["1"]);
    let mut once = group();
    once.once = true;
    let other = TopicSpec::new(shop.topic.clone()).with_group(once);
    let error = shop.memory.declare(&other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TopologyMismatch);
    assert_eq!(
        error.message(),
        "group `bill` exists with once = false, not true; declare it alike, or use another name"
    );
}

#[tokio::test]
async fn an_ephemeral_group_goes_with_its_subscription() {
    let mut ephemeral = group();
    ephemeral.ephemeral = true;
    let shop = Shop::open(&[]).await;
    let mut member = shop.join(&ephemeral).await;
    shop.publish(&["1"]).await;
    assert_eq!(member.texts(), ["1"]);
    drop(member);
    assert_eq!(
        kind(shop.memory.backlog(&shop.topic, &ephemeral.name).await),
        ErrorKind::GroupMissing
    );
    shop.publish(&["2"]).await;
    let mut member = shop.join(&ephemeral).await;
    shop.publish(&["3"]).await;
    assert_eq!(member.texts(), ["3"]);
}

#[tokio::test]
async fn a_group_that_goes_makes_room() {
    let mut ephemeral = group();
    ephemeral.ephemeral = true;
    let config = MemoryConfig {
        capacity: 1,
        ..MemoryConfig::default()
    };
    let shop = Shop::on(config.open(), &[]).await;
    let member = shop.join(&ephemeral).await;
    shop.publish(&["1"]).await;
    let mut slots = [PublishSlot::new(shop.message("2"))];
    let mut publish = std::pin::pin!(shop.memory.publish(&mut slots));
    assert!(publish.as_mut().now_or_never().is_none());
    drop(member);
    publish.await;
}

#[tokio::test]
async fn a_group_is_set_to_another_position() {
    let shop = Shop::open(&[group()]).await;
    let mut member = shop.join(&group()).await;
    let from = clock::wall();
    for n in 0..6_u32 {
        let mut message = shop.message(&n.to_string());
        message.published_at = from + n * SECOND;
        shop.send(message).await.unwrap();
    }
    let first = member.ready(4);
    member
        .settle(
            first.into_iter().next().unwrap().receipt,
            Settlement::RequeueAfter(SECOND),
        )
        .unwrap();
    let name = group().name;
    for (to, left) in [
        (SeekTo::Position(Position(3)), vec!["3", "4", "5"]),
        (SeekTo::Time(from + 4 * SECOND), vec!["4", "5"]),
        (
            SeekTo::Time(from + 3 * SECOND + Duration::from_millis(1)),
            vec!["4", "5"],
        ),
        (SeekTo::Latest, vec![]),
        (SeekTo::Earliest, vec!["0", "1", "2", "3", "4", "5"]),
        (SeekTo::Position(Position(99)), vec![]),
    ] {
        shop.memory.seek(&shop.topic, &name, to).await.unwrap();
        let came = member.ready(9);
        assert_eq!(came.iter().map(text).collect::<Vec<_>>(), left, "{to:?}");
        assert!(
            came.iter()
                .all(|d| d.message.delivery_count == NonZeroU32::new(1))
        );
    }
}

#[tokio::test]
async fn a_seek_takes_receipts_back_and_wakes() {
    let shop = Shop::open(&[group()]).await;
    let mut member = shop.join(&group()).await;
    shop.publish(&["1"]).await;
    let held = member.next().await;
    let settler = member.0.settler();
    let waiting = tokio::spawn(async move { (member.next().await, member) });
    tokio::task::yield_now().await;
    shop.memory
        .seek(&shop.topic, &group().name, SeekTo::Earliest)
        .await
        .unwrap();
    let (again, member) = waiting.await.unwrap();
    let mut slots = [SettleSlot::new(held.receipt, Settlement::Ack)];
    settler.settle(&mut slots).await;
    let [slot] = slots;
    assert_eq!(kind(slot.outcome.unwrap()), ErrorKind::LeaseLost);
    member.settle(again.receipt, Settlement::Ack).unwrap();
}

#[test]
fn several_runtimes_share_a_broker() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let shop = runtime().block_on(Shop::open(&[group()]));
    let mut member = runtime().block_on(shop.join(&group()));
    let receiver = std::thread::spawn(move || {
        runtime().block_on(async {
            for n in 0..1_000 {
                let delivery = member.next().await;
                assert_eq!(text(&delivery), n.to_string());
                member.settle(delivery.receipt, Settlement::Ack).unwrap();
            }
        });
    });
    runtime().block_on(async {
        for n in 0..1_000 {
            shop.publish(&[&n.to_string()]).await;
        }
    });
    receiver.join().unwrap();
}
