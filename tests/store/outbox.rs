use std::collections::HashMap;

use ductape_events::ErrorCode;
use ductape_events::prelude::*;
use sqlx::Connection as _;

use crate::support::{OrderPlaced, Place, order, places, published, wait_until};

/// Writes events in one transaction of the program's own.
async fn write(place: &Place, program: &Ductape, events: &[OrderPlaced], commit: bool) {
    macro_rules! write {
        ($connection:ty) => {{
            let url = place.url.replacen("sqlite:", "sqlite://", 1);
            let mut connection = <$connection>::connect(&url).await.unwrap();
            let mut transaction = connection.begin().await.unwrap();
            for event in events {
                event.produce_in(&mut transaction, program).await.unwrap();
            }
            if commit {
                transaction.commit().await.unwrap();
            } else {
                transaction.rollback().await.unwrap();
            }
        }};
    }
    if place.url.starts_with("sqlite") {
        write!(sqlx::SqliteConnection);
    } else {
        write!(sqlx::PgConnection);
    }
}

#[tokio::test]
async fn what_is_committed_is_published_in_order_and_what_is_not_never() {
    for place in places().await {
        let program = place.program().await;
        write(&place, &program, &[order("never", 0)], false).await;
        for round in 0..5 {
            let events: Vec<_> = (0..40)
                .map(|n| order(["a", "b"][n % 2], (round * 40 + n) as u64))
                .collect();
            write(&place, &program, &events, true).await;
        }
        wait_until("all of them are published", || published(&program).len() == 200).await;
        let mut last: HashMap<String, u64> = HashMap::new();
        for event in published(&program) {
            assert_ne!(event.shop, "never");
            if let Some(before) = last.insert(event.shop.clone(), event.n) {
                assert!(before < event.n, "{} came after {before}", event.n);
            }
        }
    }
}

#[tokio::test]
async fn what_a_program_left_another_publishes() {
    for place in places().await {
        let first = place.program().await;
        first.shutdown().await.unwrap();
        // Committed by a program that ends before it could publish.
        let second = place.program().await;
        let events: Vec<_> = (0..10).map(|n| order("a", n)).collect();
        write(&place, &second, &events, true).await;
        let other = place.program().await;
        wait_until("both together publish all", || {
            let count = |program: &Ductape| published(program).len();
            count(&second) + count(&other) == 10
        })
        .await;
        second.shutdown().await.unwrap();
        let error = order("a", 1).produce_idempotent("k", &second).await.unwrap_err();
        assert!(
            matches!(
                error.code(),
                ErrorCode::ShuttingDown | ErrorCode::PublishIdempotentFailed
            ),
            "{error}"
        );
    }
}
