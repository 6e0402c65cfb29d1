//! Records, in whichever order and however often they come.

use ductape_store::StoreKeys;
use ductape_store::tracking::{
    DeliveryStatus, EventFilter, EventStatus, LeftOut, MessageStatus, Outcome, Record, TrackingWriter,
};

use super::{
    all, assert_numbers_hold, at, attempt, attempted, broker, dead, failed, message, messages, produce,
    produced, retrying, topic, write,
};
use crate::support::places;

#[tokio::test]
async fn a_message_is_there_with_all_that_is_known_of_it() {
    for place in places().await {
        let store = place.open().await;
        write(&store, &[produce("m1", 0, &["billing", "mail"])]).await;
        write(
            &store,
            &[
                attempt("m1", 0, "billing", 1, retrying("no answer")),
                attempt("m1", 2, "billing", 2, Outcome::Success),
            ],
        )
        .await;
        let one = message(&store, "m1").await;
        assert_eq!(one.event, "order-events:order-created");
        assert_eq!(one.payload.as_deref(), Some(&br#"{"orderId":"m1"}"#[..]));
        assert_eq!(one.producer_tag, "checkout");
        assert_eq!(one.process_id.as_deref(), Some("p-m1"));
        assert_eq!(one.session_tag.as_deref(), Some("user-session"));
        assert_eq!(one.produced_at, at(0));
        assert_eq!(one.created_at, at(100));
        assert_eq!(one.status, MessageStatus::Partial);
        let json = serde_json::to_value(&one).unwrap();
        assert_eq!(json["messageId"], "m1");
        assert_eq!(json["brokerTag"], "order-events");
        assert_eq!(json["payload"]["orderId"], "m1");
        assert_eq!(json["metadata"]["ce-source"], "checkout");
        assert_eq!(json["producedAt"], "2025-11-25T12:00:00Z");
        let [billing, mail] = one.consumer_deliveries.as_slice() else {
            panic!("{:?}", one.consumer_deliveries);
        };
        assert_eq!(
            (billing.consumer_tag.as_str(), billing.status),
            ("billing", DeliveryStatus::Success)
        );
        assert_eq!(billing.retry_count, 1);
        assert_eq!(billing.response_data.as_ref().unwrap()["done"], true);
        assert_eq!(
            billing.consumed_at.unwrap(),
            at(3) + std::time::Duration::from_millis(10)
        );
        assert_eq!(
            (mail.consumer_tag.as_str(), mail.status),
            ("mail", DeliveryStatus::Pending)
        );
        assert!(mail.consumed_at.is_none());
        assert_numbers_hold(&store).await;
    }
}

/// All that can happen to a few messages.
fn history() -> Vec<Record> {
    let mut again = attempted("redriven", 5, "billing", 1, Outcome::Success);
    again.redrive = 1;
    let mut other = attempted("other-topic", 3600 * 5, "billing", 1, Outcome::Success);
    other.topic = topic("order-paid");
    other.produced_at = None;
    let mut paid = produced("other-topic", 3600 * 2, &["billing"]);
    paid.topic = topic("order-paid");
    paid.producer_tag = "payments".into();
    vec![
        produce("pending", 0, &["billing", "mail"]),
        produce("nobody", 1, &[]),
        produce("success", 2, &["billing", "mail"]),
        attempt("success", 2, "billing", 1, Outcome::Success),
        attempt("success", 2, "mail", 1, Outcome::Success),
        attempt("success", 2, "mail", 2, Outcome::Duplicate),
        produce("failed", 3, &["billing"]),
        attempt("failed", 3, "billing", 1, retrying("slow 1")),
        attempt("failed", 4, "billing", 2, retrying("slow 2")),
        attempt("failed", 5, "billing", 3, failed("slow 3")),
        produce("partial", 6, &["billing", "mail"]),
        attempt("partial", 6, "billing", 1, dead("no 17")),
        attempt("partial", 6, "mail", 1, Outcome::Success),
        produce("retrying", 7, &["billing"]),
        attempt("retrying", 7, "billing", 1, retrying("slow")),
        produce("redriven", 8, &["billing"]),
        attempt("redriven", 8, "billing", 1, dead("no 18")),
        Record::Attempted(Box::new(again)),
        Record::Produced(Box::new(paid)),
        Record::Attempted(Box::new(other)),
        attempt("unproduced", 9, "billing", 1, Outcome::Success),
    ]
}

async fn assert_history(store: &ductape_store::Store, order: &str) {
    use MessageStatus::{Failed, Partial, Pending, Success};
    for (id, status) in [
        ("pending", Pending),
        ("nobody", Pending),
        ("success", Success),
        ("failed", Failed),
        ("partial", Partial),
        ("retrying", Pending),
        ("redriven", Success),
        ("other-topic", Success),
        ("unproduced", Success),
    ] {
        let one = message(store, id).await;
        assert_eq!(one.status, status, "{store}: {id}, {order}");
    }
    let stats = store.tracking().stats(&broker()).await.unwrap();
    assert_eq!(
        (
            stats.total,
            stats.pending,
            stats.success,
            stats.failed,
            stats.partial
        ),
        (9, 3, 4, 1, 1),
        "{store}: {order}"
    );
    assert_eq!(stats.dead_letter_count, 1, "{store}: {order}");
    assert_eq!(
        (stats.producer_count, stats.consumer_count),
        (2, 2),
        "{store}: {order}"
    );
    let events = store.tracking().event_stats(&broker()).await.unwrap();
    assert_eq!(
        (
            events.total_events,
            events.success_count,
            events.failed_count,
            events.pending_count
        ),
        (9, 4, 2, 3),
        "{store}: {order}"
    );
    assert_eq!(events.duplicate_count, 1, "{store}: {order}");
    assert_eq!(
        message(store, "other-topic").await.produced_at,
        at(3600 * 2),
        "{store}: {order}"
    );
    assert_numbers_hold(store).await;
}

#[tokio::test]
async fn records_may_come_in_any_order_and_any_batches() {
    for place in places().await {
        for (order, batch) in [(0, 100), (1, 100), (2, 1), (3, 1), (4, 3), (5, 5)] {
            let store = place.open().await;
            let mut records = history();
            match order {
                0 | 2 => {}
                1 | 3 => records.reverse(),
                // Neither order, nor its reverse.
                _ => records.sort_by_key(|record| format!("{record:?}").len() * 7919 % 101),
            }
            let writer = TrackingWriter::new(&store);
            for some in records.chunks(batch) {
                writer.write(some, at(100)).await.unwrap();
            }
            assert_history(&store, &format!("order {order}, batches of {batch}")).await;
            // All of it again, as after an answer that was lost, and by another process.
            writer.write(&records, at(101)).await.unwrap();
            write(&store, &records[3..]).await;
            assert_history(&store, &format!("order {order}, batches of {batch}, again")).await;
            store.close().await;
            place.empty().await;
        }
    }
}

#[tokio::test]
async fn a_delivery_recorded_before_its_produce_is_joined_to_it() {
    for place in places().await {
        let store = place.open().await;
        let mut early = attempted("m", 7200, "billing", 1, Outcome::Success);
        early.produced_at = None;
        write(&store, &[Record::Attempted(Box::new(early))]).await;
        let one = message(&store, "m").await;
        assert_eq!((one.producer_tag.as_str(), one.produced_at), ("", at(7201)));
        assert!(one.payload.is_none());
        assert_numbers_hold(&store).await;
        write(&store, &[produce("m", 0, &["billing", "mail"])]).await;
        let one = message(&store, "m").await;
        assert_eq!((one.producer_tag.as_str(), one.produced_at), ("checkout", at(0)));
        assert_eq!(one.status, MessageStatus::Partial);
        assert_eq!(one.consumer_deliveries.len(), 2);
        assert!(one.payload.is_some());
        assert_numbers_hold(&store).await;
        let mut filter = all();
        filter.end_date = Some(at(1));
        filter.consumer_tag = Some("billing".to_owned());
        assert_eq!(messages(&store, &filter).await.total, 1, "{store}");
    }
}

#[tokio::test]
async fn ids_are_of_their_topic_alone() {
    for place in places().await {
        let store = place.open().await;
        let mut paid = produced("m", 5, &[]);
        paid.topic = topic("order-paid");
        write(&store, &[produce("m", 0, &[]), Record::Produced(Box::new(paid))]).await;
        assert_eq!(messages(&store, &all()).await.total, 2);
        assert_eq!(message(&store, "m").await.topic_tag, "order-paid", "the newer");
    }
}

#[tokio::test]
async fn duplicates_count_once_each() {
    for place in places().await {
        let store = place.open().await;
        let duplicate = |number| attempt("m", 0, "billing", number, Outcome::Duplicate);
        // The first is told before the success that it is a duplicate of.
        write(&store, &[duplicate(2)]).await;
        assert_eq!(message(&store, "m").await.status, MessageStatus::Success);
        write(
            &store,
            &[
                produce("m", 0, &["billing"]),
                attempt("m", 0, "billing", 1, Outcome::Success),
            ],
        )
        .await;
        write(&store, &[duplicate(2), duplicate(3), duplicate(3)]).await;
        let one = message(&store, "m").await;
        assert_eq!(one.consumer_deliveries[0].duplicate_count, 2);
        assert!(one.consumer_deliveries[0].consumed_at.is_some());
        let filter = EventFilter {
            product: "shop".to_owned(),
            env: "prd".to_owned(),
            broker_tag: "order-events".to_owned(),
            status: Some(EventStatus::Duplicate),
            ..EventFilter::default()
        };
        assert_eq!(store.tracking().events(&filter).await.unwrap().total, 1);
        assert_numbers_hold(&store).await;
    }
}

#[tokio::test]
async fn payloads_and_responses_are_sealed() {
    let key = StoreKeys::parse("q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=").unwrap();
    for place in places().await {
        let store = place.open_with(key.clone()).await;
        let mut secret = produced("m", 0, &["billing"]);
        secret.payload = Some(bytes::Bytes::from_static(b"{\"card\":\"4111-CANARY\"}"));
        let mut answer = attempted("m", 0, "billing", 1, dead("no"));
        answer.response_data = Some("{\"card\":\"4111-CANARY\"}".to_owned());
        answer.original.as_mut().unwrap().payload = bytes::Bytes::from_static(b"4111-CANARY");
        write(
            &store,
            &[
                Record::Produced(Box::new(secret)),
                Record::Attempted(Box::new(answer)),
            ],
        )
        .await;
        let one = message(&store, "m").await;
        assert!(one.payload.unwrap().ends_with(b"4111-CANARY\"}"));
        assert_eq!(
            one.consumer_deliveries[0].response_data.as_ref().unwrap()["card"],
            "4111-CANARY"
        );
        store.close().await;
        if let Some(file) = place.file() {
            let folder = file.parent().unwrap();
            for file in std::fs::read_dir(folder).unwrap() {
                let bytes = std::fs::read(file.unwrap().path()).unwrap();
                assert!(!bytes.windows(6).any(|part| part == b"CANARY"));
            }
        }
        let without = place.open().await;
        let error = without.tracking().message("shop", None, "m").await.unwrap_err();
        assert!(error.to_string().contains("a key that is not given"), "{error}");
    }
}

#[tokio::test]
async fn what_was_left_out_is_shown_once() {
    for place in places().await {
        let store = place.open().await;
        let left_out = |id: &str, count| {
            Record::LeftOut(LeftOut {
                topic: topic("order-created"),
                id: id.to_owned(),
                at: at(0),
                count,
            })
        };
        write(&store, &[left_out("a", 7), left_out("b", 5)]).await;
        write(&store, &[left_out("a", 7)]).await;
        assert_eq!(store.tracking().stats(&broker()).await.unwrap().left_out, 12);
        assert_eq!(messages(&store, &all()).await.total, 0);
    }
}

#[tokio::test]
async fn odd_texts_are_kept_as_well_as_can_be() {
    for place in places().await {
        let store = place.open().await;
        let odd = "a\0b'\"\\%_\u{1F980}\r\n";
        let long = "é".repeat(5_000);
        for id in [odd, &long, ""] {
            let mut one = produced(id, 0, &[odd, &long]);
            one.metadata = Some(odd.to_owned());
            one.payload = Some(bytes::Bytes::from_static(b"\0\xff"));
            one.session_tag = Some(odd.to_owned());
            one.producer_tag = long.as_str().into();
            write(
                &store,
                &[
                    Record::Produced(Box::new(one)),
                    attempt(id, 0, odd, 1, dead(&long.repeat(3))),
                ],
            )
            .await;
            let one = message(&store, id).await;
            assert_eq!(one.session_tag.as_deref(), Some(odd));
            assert_eq!(one.payload.as_deref(), Some(&b"\0\xff"[..]));
            assert_eq!(one.metadata, odd);
            serde_json::to_string(&one).unwrap();
        }
        assert_eq!(
            message(&store, odd).await.message_id,
            odd.replace('\0', "\u{fffd}")
        );
        assert_numbers_hold(&store).await;
    }
}

#[tokio::test]
async fn a_store_in_memory_tracks_too() {
    let memory = ductape_store::StoreUrl::memory();
    let store = ductape_store::Store::open(&memory, StoreKeys::none())
        .await
        .unwrap();
    write(&store, &history()).await;
    assert_history(&store, "in memory").await;
}
