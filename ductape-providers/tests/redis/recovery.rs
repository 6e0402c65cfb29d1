//! Crashes, of members and of the server.

use std::num::NonZeroUsize;
use std::time::Duration;

use ductape_providers::spec::Ordering;
use ductape_providers::{ErrorKind, GroupSpec, Outgoing, Settlement};
use tokio::time::{Instant, timeout};

use crate::own_server::OwnServer;
use crate::{at, connect, consume, declare, group, is_silent, kind, plain, publish, raw, settle};
use crate::{subscribe, take, text, topic, try_publish};

/// A member in a runtime of its own, which ends without a word: nothing is given back.
fn crashes_with(server: (String, u16), of: ductape_providers::TopicName, reads: GroupSpec, count: usize) {
    let crashed = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let held = runtime.block_on(async {
            let provider = connect(&at(&server)).await.unwrap();
            let mut reader = subscribe(&provider, &of, &reads).await;
            (take(&mut reader, count).await, reader, provider)
        });
        // The tasks go first, so that dropping the rest reaches nobody.
        runtime.shutdown_background();
        drop(held);
    });
    crashed.join().unwrap();
}

#[tokio::test]
async fn what_a_crashed_member_had_comes_when_its_lease_ends() {
    let Some(server) = plain() else { return };
    let provider = connect(&at(&server)).await.unwrap();
    for ordering in [Ordering::Strict, Ordering::Relaxed] {
        let (of, mut reads) = (topic("t"), group("g"));
        (reads.ordering, reads.lease) = (ordering, Duration::from_secs(1));
        declare(&provider, &of, &[&reads]).await;
        publish(&provider, &of, &["0", "1", "2"]).await;
        let began = Instant::now();
        let (at, name, spec) = (server.clone(), of.clone(), reads.clone());
        tokio::task::spawn_blocking(move || crashes_with(at, name, spec, 3))
            .await
            .unwrap();
        let mut reader = subscribe(&provider, &of, &reads).await;
        let again = take(&mut reader, 3).await;
        assert!(
            began.elapsed() >= reads.lease,
            "{ordering:?}: {:?}",
            began.elapsed()
        );
        let texts: Vec<String> = again.iter().map(text).collect();
        assert_eq!(texts, ["0", "1", "2"], "{ordering:?}");
        for delivery in again {
            assert_eq!(delivery.message.delivery_count.unwrap().get(), 2, "{ordering:?}");
            settle(&*reader, delivery, Settlement::Ack).await.unwrap();
        }
        assert!(is_silent(&mut reader, Duration::from_millis(200)).await);
    }
}

#[tokio::test]
async fn a_lease_of_competing_members_is_extended_beyond_what_the_server_keeps() {
    let Some(server) = plain() else { return };
    let provider = connect(&at(&server)).await.unwrap();
    let (of, mut reads) = (topic("t"), group("g"));
    (reads.ordering, reads.lease) = (Ordering::Relaxed, Duration::from_millis(600));
    declare(&provider, &of, &[&reads]).await;
    publish(&provider, &of, &["long"]).await;
    let mut reader = subscribe(&provider, &of, &reads).await;
    let held = take(&mut reader, 1).await.remove(0);
    let settler = reader.settler_dyn();
    settler
        .extend_dyn(&[&held.receipt], Duration::from_secs(3))
        .await
        .unwrap();
    let mut other = subscribe(&provider, &of, &reads).await;
    assert!(
        is_silent(&mut other, Duration::from_millis(2_400)).await,
        "its lease was extended for 3 s"
    );
    // And it ends then.
    assert_eq!(
        take(&mut other, 1).await[0].message.delivery_count.unwrap().get(),
        2
    );
    let late = settle(&*reader, held, Settlement::Ack).await;
    assert_eq!(kind(&late), Some(ErrorKind::LeaseLost), "{late:?}");
}

#[tokio::test]
async fn a_server_that_is_killed_and_started_again_loses_nothing_that_was_confirmed() {
    let Some(mut server) = OwnServer::start(&["--appendonly", "yes", "--appendfsync", "always"]) else {
        return;
    };
    let provider = connect(&server.config()).await.unwrap();
    let (of, reads) = (topic("t"), group("g"));
    declare(&provider, &of, &[&reads]).await;
    publish(&provider, &of, &["0", "1", "2"]).await;
    let mut reader = subscribe(&provider, &of, &reads).await;
    assert_eq!(consume(&mut reader, 1).await, ["0"]);
    let held = take(&mut reader, 1).await.remove(0);
    server.kill();
    let began = Instant::now();
    for _ in 0..20 {
        let down = try_publish(&provider, vec![Outgoing::new(of.clone(), "down")])
            .await
            .remove(0);
        let error = down.unwrap_err();
        assert!(error.is_temporary(), "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let mut into = Vec::new();
    let told = timeout(
        Duration::from_secs(10),
        reader.receive_dyn(&mut into, NonZeroUsize::MIN),
    )
    .await;
    assert!(told.unwrap().unwrap_err().is_temporary());
    server.again();
    // What was in hand still is; what was acked stays acked.
    let deadline = Instant::now() + crate::PATIENCE;
    while provider.ping_dyn().await.is_err() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    settle(&*reader, held, Settlement::Ack).await.unwrap();
    assert_eq!(consume(&mut reader, 1).await, ["2"]);
    assert!(is_silent(&mut reader, Duration::from_millis(300)).await);
    publish(&provider, &of, &["after"]).await;
    assert_eq!(consume(&mut reader, 1).await, ["after"]);
}

#[tokio::test]
async fn a_server_that_kept_nothing_gets_its_groups_again() {
    let Some(mut server) = OwnServer::start(&["--appendonly", "no", "--save", ""]) else {
        return;
    };
    let provider = connect(&server.config()).await.unwrap();
    let (of, reads) = (topic("t"), group("g"));
    declare(&provider, &of, &[&reads]).await;
    let mut reader = subscribe(&provider, &of, &reads).await;
    publish(&provider, &of, &["before"]).await;
    assert_eq!(consume(&mut reader, 1).await, ["before"]);
    server.kill();
    server.again();
    let deadline = Instant::now() + crate::PATIENCE;
    while try_publish(&provider, vec![Outgoing::new(of.clone(), "after")])
        .await
        .remove(0)
        .is_err()
    {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(consume(&mut reader, 1).await, ["after"]);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_waited_for_without_end() {
    let Some(server) = OwnServer::start(&[]) else {
        return;
    };
    let provider = connect(&server.config()).await.unwrap();
    let of = topic("t");
    declare(&provider, &of, &[]).await;
    raw(&server.address(), &["CLIENT", "PAUSE", "60000", "ALL"]).await;
    let ping = timeout(Duration::from_secs(5), provider.ping_dyn())
        .await
        .unwrap();
    assert_eq!(kind(&ping), Some(ErrorKind::Timeout), "{ping:?}");
    let publish = try_publish(&provider, vec![Outgoing::new(of, "x")]);
    let outcome = timeout(Duration::from_secs(15), publish).await.unwrap().remove(0);
    let error = outcome.unwrap_err();
    assert!(
        error.is_indeterminate() && error.is_temporary(),
        "it may be stored: {error}"
    );
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn a_connection_that_is_cut_loses_nothing() {
    let Some(server) = OwnServer::start(&[]) else {
        return;
    };
    let provider = connect(&server.config()).await.unwrap();
    let (of, reads) = (topic("t"), group("g"));
    declare(&provider, &of, &[&reads]).await;
    let mut reader = subscribe(&provider, &of, &reads).await;
    for round in 0..5 {
        let mut into = Vec::new();
        // A read waits while it is cut.
        let waits = timeout(
            Duration::from_millis(30),
            reader.receive_dyn(&mut into, NonZeroUsize::MIN),
        )
        .await;
        assert!(waits.is_err() || into.is_empty());
        raw(
            &server.address(),
            &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"],
        )
        .await;
        let deadline = Instant::now() + crate::PATIENCE;
        let text = round.to_string();
        while try_publish(&provider, vec![Outgoing::new(of.clone(), text.clone())])
            .await
            .remove(0)
            .is_err()
        {
            assert!(Instant::now() < deadline);
        }
        assert_eq!(consume(&mut reader, 1).await, [text]);
    }
}
