//! Writers beside each other, and those that stop midway.

use ductape_store::tracking::{Outcome, TrackingWriter};

use super::{all, assert_numbers_hold, at, attempt, broker, messages, produce, write};
use crate::support::places;

#[tokio::test]
async fn writers_side_by_side_count_right() {
    for place in places().await {
        let store = place.open().await;
        let tasks = (0..4).map(|process| {
            let store = store.clone();
            tokio::spawn(async move {
                let writer = TrackingWriter::new(&store);
                for batch in 0..5 {
                    let mut records = Vec::new();
                    for number in 0..50 {
                        let id = format!("{batch}-{number}");
                        // Each message is told by two processes, its deliveries by the two others.
                        records.push(match process {
                            0 | 1 => produce(&id, number, &["billing"]),
                            _ => attempt(&id, number, "billing", 1, Outcome::Success),
                        });
                    }
                    writer.write(&records, at(100)).await.unwrap();
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        let stats = store.tracking().stats(&broker()).await.unwrap();
        assert_eq!((stats.total, stats.success), (250, 250), "{store}");
        assert_numbers_hold(&store).await;
    }
}

#[tokio::test]
async fn a_write_that_is_dropped_midway_leaves_nothing_half_done() {
    for place in places().await {
        let store = place.open().await;
        let records: Vec<_> = (0..300)
            .flat_map(|number| {
                let id = format!("m{number}");
                [
                    produce(&id, number, &["billing", "mail"]),
                    attempt(&id, number, "billing", 1, Outcome::Success),
                ]
            })
            .collect();
        let mut dropped = 0;
        for micros in (0..40).map(|step| step * 500) {
            let patience = std::time::Duration::from_micros(micros);
            let writer = TrackingWriter::new(&store);
            dropped += usize::from(
                tokio::time::timeout(patience, writer.write(&records, at(100)))
                    .await
                    .is_err(),
            );
            let total = messages(&store, &all()).await.total;
            assert!(total == 0 || total == 300, "{store}: {total} after {micros} µs");
        }
        assert!(dropped > 0, "{store}");
        write(&store, &records).await;
        assert_eq!(messages(&store, &all()).await.total, 300, "{store}");
        assert_numbers_hold(&store).await;
    }
}
