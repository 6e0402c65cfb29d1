use std::time::Duration;

use ductape_events::prelude::*;
use ductape_events::{ErrorCode, IdempotencyKey, PublishOutcome};
use futures_util::future::join_all;

use crate::support::{OrderPlaced, order, places, published};

#[tokio::test]
async fn a_key_publishes_once_and_answers_the_same() {
    for place in places().await {
        let program = place.program().await;
        assert_eq!(program.context().check_idempotency("k").await.unwrap(), None);
        let first = order("a", 1).produce_idempotent("k", &program).await.unwrap();
        assert!(!first.duplicate);
        let again = order("a", 1).produce_idempotent("k", &program).await.unwrap();
        assert!(again.duplicate);
        assert_eq!(
            (&again.process_id, again.durability),
            (&first.process_id, first.durability)
        );
        let known = program.context().check_idempotency("k").await.unwrap().unwrap();
        assert!(known.done);
        assert_eq!(
            (&*known.event, &known.process_id),
            (OrderPlaced::EVENT, &first.process_id)
        );
        let error = order("a", 2).produce_idempotent("k", &program).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::IdempotencyConflict);
        assert_eq!(error.publish_outcome(), Some(PublishOutcome::Rejected));
        assert_eq!(published(&program).len(), 1);
    }
}

#[tokio::test]
async fn of_many_at_once_in_two_programs_one_publishes() {
    for place in places().await {
        let programs = [place.program().await, place.program().await];
        let event = order("a", 1);
        let calls = (0..40).map(|n| event.produce_idempotent("k", &programs[n % 2]));
        let receipts: Vec<ProduceReceipt> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(receipts.iter().filter(|receipt| !receipt.duplicate).count(), 1);
        assert!(
            receipts
                .iter()
                .all(|receipt| receipt.process_id == receipts[0].process_id)
        );
        let published = programs.iter().map(|program| published(program).len());
        assert_eq!(published.sum::<usize>(), 1);
    }
}

#[tokio::test]
async fn a_refused_publish_lets_its_key_go_and_a_key_ends() {
    for place in places().await {
        let program = place.program().await;
        let large = order(&"x".repeat(2_000_000), 1);
        let error = large.produce_idempotent("k", &program).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::PayloadTooLarge);
        let key = || IdempotencyKey::from("k").ttl(Duration::from_secs(1));
        let first = order("a", 1).produce_idempotent(key(), &program).await.unwrap();
        assert!(!first.duplicate);
        let until = tokio::time::Instant::now() + Duration::from_secs(10);
        while program.context().check_idempotency("k").await.unwrap().is_some() {
            assert!(tokio::time::Instant::now() < until, "the key does not end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(
            !order("a", 2)
                .produce_idempotent(key(), &program)
                .await
                .unwrap()
                .duplicate
        );
    }
}

#[tokio::test]
async fn what_can_be_no_key_and_a_program_without_a_store_are_told() {
    for place in places().await {
        let program = place.program().await;
        for key in ["", "ü", "\n"] {
            let error = order("a", 1).produce_idempotent(key, &program).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::PublishIdempotentFailed, "{error}");
            assert_eq!(error.publish_outcome(), Some(PublishOutcome::Rejected));
        }
    }
    let builder = Ductape::builder()
        .without_inventory()
        .topic::<OrderPlaced>()
        .in_process();
    let program = builder.build().await.unwrap();
    let error = order("a", 1).produce_idempotent("k", &program).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::StoreFailed);
    assert!(error.to_string().contains("DUCTAPE_STORE"), "{error}");
}
