//! Whose turn it is to read, and who competes.

use std::time::Duration;

use ductape_providers::spec::Ordering;
use ductape_providers::{ErrorKind, Settlement, TopicSpec};

use crate::{at, connect, consume, declare, group, is_silent, kind, plain, publish, raw, settle, stream};
use crate::{subscribe, take, text, topic, try_declare};

#[tokio::test]
async fn a_topic_without_keys_lets_members_compete() {
    let Some(server) = plain() else { return };
    let provider = connect(&at(&server)).await.unwrap();
    let (of, reads) = (topic("t"), group("g"));
    let mut spec = TopicSpec::new(of.clone()).with_group(reads.clone());
    spec.keyed = false;
    provider.declare_dyn(&spec).await.unwrap();
    let mut one = subscribe(&provider, &of, &reads).await;
    // Another process, which did not declare it, reads it alike.
    let mut two = subscribe(&connect(&at(&server)).await.unwrap(), &of, &reads).await;
    publish(&provider, &of, &["0", "1"]).await;
    let first = take(&mut one, 1).await;
    let second = take(&mut two, 1).await;
    assert_ne!(text(&first[0]), text(&second[0]));
    let other = try_declare(&provider, &of, &[&reads]).await;
    assert_eq!(kind(&other), Some(ErrorKind::TopologyMismatch), "{other:?}");
    assert!(
        other
            .unwrap_err()
            .to_string()
            .contains("`g` exists with order = together")
    );
}

#[tokio::test]
async fn one_member_reads_at_a_time_and_another_takes_over_in_order() {
    let Some(server) = plain() else { return };
    let (one, two) = (
        connect(&at(&server)).await.unwrap(),
        connect(&at(&server)).await.unwrap(),
    );
    let (of, reads) = (topic("t"), group("g"));
    declare(&one, &of, &[&reads]).await;
    let mut first = subscribe(&one, &of, &reads).await;
    let mut second = subscribe(&two, &of, &reads).await;
    publish(&one, &of, &["0", "1", "2", "3"]).await;
    let held = take(&mut first, 2).await;
    assert!(is_silent(&mut second, Duration::from_millis(500)).await);
    for delivery in held.into_iter().skip(1) {
        settle(&*first, delivery, Settlement::Ack).await.unwrap();
    }
    first.close_dyn().await.unwrap();
    let rest = take(&mut second, 3).await;
    let texts: Vec<String> = rest.iter().map(text).collect();
    assert_eq!(texts, ["0", "2", "3"]);
    let counts: Vec<u32> = rest
        .iter()
        .map(|delivery| delivery.message.delivery_count.unwrap().get())
        .collect();
    assert_eq!(counts, [2, 1, 1], "only the first was in somebody's hands before");
}

#[tokio::test]
async fn a_member_whose_turn_is_taken_is_told_and_has_nothing_more() {
    let Some(server) = plain() else { return };
    let provider = connect(&at(&server)).await.unwrap();
    let (of, mut reads) = (topic("t"), group("g"));
    reads.lease = Duration::from_millis(600);
    declare(&provider, &of, &[&reads]).await;
    let mut reader = subscribe(&provider, &of, &reads).await;
    publish(&provider, &of, &["0", "1"]).await;
    let held = take(&mut reader, 1).await.remove(0);
    // As when the member had been asleep for longer than its turn.
    let owner = format!("{}:g:owner", stream(&of));
    raw(&server, &["SET", &owner, "somebody-else", "PX", "1500"]).await;
    tokio::time::sleep(Duration::from_millis(450)).await;
    let late = settle(&*reader, held, Settlement::Ack).await;
    assert_eq!(kind(&late), Some(ErrorKind::LeaseLost), "{late:?}");
    assert!(
        is_silent(&mut reader, Duration::from_millis(500)).await,
        "it is another's turn"
    );
    // Once the other is gone, everything comes, in order.
    assert_eq!(consume(&mut reader, 2).await, ["0", "1"]);
}

#[tokio::test]
async fn members_that_are_gone_leave_no_consumers_behind() {
    let Some(server) = plain() else { return };
    let provider = connect(&at(&server)).await.unwrap();
    for ordering in [Ordering::Strict, Ordering::Relaxed] {
        let (of, mut reads) = (topic("t"), group("g"));
        reads.ordering = ordering;
        declare(&provider, &of, &[&reads]).await;
        publish(&provider, &of, &["0", "1", "2"]).await;
        for _ in 0..3 {
            let mut reader = subscribe(&provider, &of, &reads).await;
            let held = take(&mut reader, 1).await;
            reader.close_dyn().await.unwrap();
            drop(held);
        }
        let mut reader = subscribe(&provider, &of, &reads).await;
        consume(&mut reader, 3).await;
        reader.close_dyn().await.unwrap();
        let left = raw(&server, &["XINFO", "CONSUMERS", &stream(&of), "g"]).await;
        assert_eq!(left, redis::Value::Array(vec![]), "{ordering:?}");
    }
}
