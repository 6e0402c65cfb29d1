use std::time::Duration;

use ductape_providers::{Outgoing, Settlement};

use crate::{connect, group, next, payload, plain, publish, settle, spec, subscribe, topic};

/// A process that dies says nothing: its runtime is gone, and with it its connection.
#[test]
fn what_a_dead_member_had_in_hand_comes_before_what_follows_it() {
    let Some(server) = plain() else { return };
    let (topic, mut group) = (topic(), group("g"));
    group.lease = Duration::from_secs(2);
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    };
    let (dying, living) = (runtime(), runtime());
    let held = dying.block_on(async {
        let provider = connect(&server).await.unwrap();
        provider.declare_dyn(&spec(&topic, &group)).await.unwrap();
        for i in 0..6 {
            publish(
                &provider,
                Outgoing::new(topic.clone(), i.to_string()).with_key("k"),
            )
            .await
            .unwrap();
        }
        let mut subscription = subscribe(&provider, &topic, &group).await;
        let first = next(&mut subscription).await;
        settle(&*subscription, first, Settlement::Ack).await.unwrap();
        let second = next(&mut subscription).await;
        assert_eq!(payload(&second), "1");
        (provider, subscription, second)
    });
    living.block_on(async {
        let provider = connect(&server).await.unwrap();
        let mut subscription = subscribe(&provider, &topic, &group).await;
        dying.shutdown_background();
        for wanted in 1..6 {
            let delivery = next(&mut subscription).await;
            assert_eq!(payload(&delivery), wanted.to_string());
            settle(&*subscription, delivery, Settlement::Ack).await.unwrap();
        }
    });
    drop(held);
}

#[tokio::test]
async fn a_member_at_work_keeps_its_place_while_its_hands_are_full() {
    let Some(server) = plain() else { return };
    let (topic, mut group) = (topic(), group("g"));
    group.lease = Duration::from_secs(2);
    let provider = connect(&server).await.unwrap();
    provider.declare_dyn(&spec(&topic, &group)).await.unwrap();
    for i in 0..2 {
        publish(
            &provider,
            Outgoing::new(topic.clone(), i.to_string()).with_key("k"),
        )
        .await
        .unwrap();
    }
    let mut first = subscribe(&provider, &topic, &group).await;
    let held = next(&mut first).await;
    let mut second = subscribe(&provider, &topic, &group).await;
    let mut into = Vec::new();
    // Three times as long as the server waits for a member that says nothing.
    for _ in 0..18 {
        first
            .settler_dyn()
            .extend_dyn(&[&held.receipt], group.lease)
            .await
            .unwrap();
        let wait = Duration::from_millis(500);
        let came =
            tokio::time::timeout(wait, second.receive_dyn(&mut into, std::num::NonZeroUsize::MIN)).await;
        assert!(
            came.is_err(),
            "the second member got {into:?} while the first had an earlier one of its key"
        );
    }
    settle(&*first, held, Settlement::Ack).await.unwrap();
    first.close_dyn().await.unwrap();
    assert_eq!(payload(&next(&mut second).await), "1");
}

#[tokio::test]
async fn a_member_that_closes_while_it_waits_leaves_no_gap() {
    let Some(server) = plain() else { return };
    let provider = connect(&server).await.unwrap();
    // The server drops what nobody waits for now and then by itself.
    for round in 0..5 {
        let (topic, group) = (topic(), group("g"));
        provider.declare_dyn(&spec(&topic, &group)).await.unwrap();
        let mut waiting = subscribe(&provider, &topic, &group).await;
        let mut into = Vec::new();
        let wait = Duration::from_millis(50);
        let came =
            tokio::time::timeout(wait, waiting.receive_dyn(&mut into, std::num::NonZeroUsize::MIN)).await;
        assert!(came.is_err(), "{into:?}");
        waiting.close_dyn().await.unwrap();
        publish(
            &provider,
            Outgoing::new(topic.clone(), round.to_string()).with_key("k"),
        )
        .await
        .unwrap();
        let mut subscription = subscribe(&provider, &topic, &group).await;
        let delivery = next(&mut subscription).await;
        settle(&*subscription, delivery, Settlement::Ack).await.unwrap();
    }
}
