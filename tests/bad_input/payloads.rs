//! Payloads and headers that don't fit.

use std::time::Duration;

use ductape_events::prelude::*;
use ductape_events::{ErrorCode, PublishOutcome};
use serde::Serializer;
use serde_json::json;

use crate::events::{OrderPlaced, Seen, expect, folder, in_process, program, watch};

/// The largest payload of the embedded brokers, in bytes.
const MAX: usize = 1024 * 1024;

/// An event that can't be written.
#[topic("bad:unwritable")]
struct Unwritable {
    #[serde(serialize_with = "refuse")]
    value: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde hands it over like this
fn refuse<S: Serializer>(value: &u32, _: S) -> Result<S::Ok, S::Error> {
    Err(serde::ser::Error::custom(format!(
        "{value} refuses to be written"
    )))
}

#[tokio::test]
async fn json_that_does_not_fit_is_refused_and_the_place_is_named() {
    let ductape = in_process().build().await.unwrap();
    for (value, says) in [
        (json!({"id": "1", "quantity": "two"}), "/quantity"),
        (json!({"id": "1", "quantity": -1}), "/quantity"),
        (json!({"quantity": 1}), "\"id\" is a required property"),
        (json!([]), "object"),
        (json!(null), "object"),
    ] {
        let result = ductape.context().produce_json("bad:order-placed", &value).await;
        assert_eq!(
            result.as_ref().unwrap_err().publish_outcome(),
            Some(PublishOutcome::Rejected)
        );
        expect(
            result,
            ErrorCode::PayloadInvalid,
            &["does not fit the schema of `bad:order-placed`", says],
        );
    }
    // Values stay out of errors: they may be private.
    let value = json!({"id": ["hunter2-CANARY"], "quantity": 1});
    let error = ductape
        .context()
        .produce_json("bad:order-placed", &value)
        .await
        .unwrap_err();
    assert!(!error.to_string().contains("CANARY"), "{error}");
    assert!(ductape.published("bad:order-placed").is_empty());
}

#[tokio::test]
async fn json_that_does_not_fit_becomes_a_dead_letter_of_an_untyped_consumer() {
    let ductape = in_process().build().await.unwrap();
    ductape.start().await.unwrap();
    let consume = ductape.consume("bad:order-placed", "audit", async |_| Ok(()));
    consume.await.unwrap();
    for payload in [
        "{\"id\":\"1\",\"quantity\":1}",
        "{\"id\":\"hunter2-CANARY\"}",
        "not json",
    ] {
        let produce = ductape
            .context()
            .produce_bytes("bad:order-placed", payload, ProduceOptions::default());
        produce.await.unwrap();
    }
    assert!(ductape.wait_idle(Duration::from_secs(20)).await.unwrap());
    let stats = &ductape.stats()[0];
    assert_eq!((stats.handled, stats.dead_lettered), (1, 2));
    let letters = ductape
        .dead_letters("bad:order-placed", "audit", 10)
        .await
        .unwrap();
    let reason = &letters[0].reason;
    assert!(
        reason.contains("does not fit the schema of `bad:order-placed`") && reason.contains("quantity"),
        "{reason}"
    );
    assert!(!reason.contains("CANARY"), "{reason}");
    ductape.shutdown().await.unwrap();
}

#[topic("bad:carried-anywhere", portable)]
struct CarriedAnywhere {
    text: String,
}

#[consumer(start = "earliest")]
async fn from_the_beginning(_event: CarriedAnywhere) {}

#[tokio::test]
async fn a_portable_topic_is_held_to_what_every_broker_can_do() {
    let ductape = in_process().topic::<CarriedAnywhere>().build().await.unwrap();
    let empty = "{\"text\":\"\"}".len();
    let of = |bytes: usize| CarriedAnywhere {
        text: "x".repeat(bytes - empty),
    };
    of(256 * 1024).produce(&ductape).await.unwrap();
    let over = of(256 * 1024 + 1).produce(&ductape).await;
    expect(over, ErrorCode::PayloadTooLarge, &["at most 262144 are allowed"]);
    let build = in_process().consumer::<from_the_beginning>().build();
    expect(
        build.await,
        ErrorCode::Unsupported,
        &["`from_the_beginning`", "is `portable`", "drop `start`"],
    );
}

#[tokio::test]
async fn what_the_broker_refuses_is_not_among_what_was_published() {
    let ductape = in_process().build().await.unwrap();
    // Longer than the clock reaches, and longer than the broker can.
    for delay in [Duration::MAX, Duration::from_hours(1_000_000)] {
        let options = ProduceOptions::default().delay(delay);
        let result = OrderPlaced::new("1", "").produce_with(options, &ductape).await;
        let outcome = result.as_ref().unwrap_err().publish_outcome();
        assert_eq!(outcome, Some(PublishOutcome::Rejected));
        expect(result, ErrorCode::Unsupported, &["bad:order-placed", "delay"]);
    }
    assert!(ductape.published("bad:order-placed").is_empty());
}

#[tokio::test]
async fn times_without_end_are_as_good_as_others() {
    let ductape = in_process()
        .publish_timeout(Duration::MAX)
        .shutdown_timeout(Duration::MAX)
        .lease(Duration::MAX)
        .consumer::<watch>()
        .state(Seen::default())
        .build()
        .await
        .unwrap();
    ductape.start().await.unwrap();
    OrderPlaced::new("1", "").produce(&ductape).await.unwrap();
    let all = OrderPlaced::produce_all([OrderPlaced::new("2", "")], &ductape).await;
    assert!(all[0].is_ok());
    assert!(ductape.wait_idle(Duration::MAX).await.unwrap());
    ductape.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_event_that_does_not_serialise_is_refused_and_the_next_is_fine() {
    let ductape = in_process().topic::<Unwritable>().build().await.unwrap();
    let result = Unwritable { value: 7 }.produce(&ductape).await;
    expect(
        result,
        ErrorCode::PayloadInvalid,
        &["`bad:unwritable` does not serialise", "7 refuses to be written"],
    );
    OrderPlaced::new("1", "").produce(&ductape).await.unwrap();
    assert_eq!(ductape.published("bad:order-placed").len(), 1);
}

#[tokio::test]
async fn the_largest_payload_is_delivered_and_one_byte_more_is_refused() {
    let folder = folder();
    let file = folder.join("events.db").display().to_string();
    for config in [
        "[brokers.bad.environments.dev]\ntype = 'EMBEDDED'\nmode = 'memory'".to_owned(),
        format!("[brokers.bad.environments.dev]\ntype = 'EMBEDDED'\npath = '{file}'"),
    ] {
        let ductape = program(&config)
            .consumer::<watch>()
            .state(Seen::default())
            .build()
            .await
            .unwrap();
        ductape.start().await.unwrap();
        let empty = serde_json::to_vec(&OrderPlaced::new("1", "")).unwrap().len();
        let fits = OrderPlaced::new("1", "n".repeat(MAX - empty));
        let over = OrderPlaced::new("1", "n".repeat(MAX - empty + 1));
        fits.produce(&ductape).await.unwrap();
        let sizes = [
            "has 1048577 bytes",
            "at most 1048576 are allowed",
            "bad:order-placed",
        ];
        let result = over.produce(&ductape).await;
        expect(result, ErrorCode::PayloadTooLarge, &sizes);
        let bytes = vec![b' '; MAX + 1];
        let result = ductape
            .context()
            .produce_bytes("bad:order-placed", bytes, ProduceOptions::default())
            .await;
        expect(result, ErrorCode::PayloadTooLarge, &sizes);
        // Among many, it alone is refused.
        let results = OrderPlaced::produce_all([fits.clone(), over, fits], &ductape).await;
        let refused: Vec<bool> = results.iter().map(Result::is_err).collect();
        assert_eq!(refused, [false, true, false]);
        assert!(ductape.wait_idle(Duration::from_secs(20)).await.unwrap());
        assert_eq!(ductape.stats()[0].handled, 3);
        ductape.shutdown().await.unwrap();
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn bad_headers_are_refused_by_name() {
    let ductape = in_process().build().await.unwrap();
    for (name, value, says) in [
        ("Tenant", "x".to_owned(), "\"Tenant\""),
        ("a b", "x".to_owned(), "\"a b\""),
        ("", "x".to_owned(), "0 bytes"),
        ("long", "x".repeat(8193), "8193 bytes; at most 8192"),
    ] {
        let options = ProduceOptions::default().header(name, value);
        let result = OrderPlaced::new("1", "").produce_with(options, &ductape).await;
        expect(result, ErrorCode::PayloadInvalid, &[says, "bad:order-placed"]);
    }
    let many = (0..65).fold(ProduceOptions::default(), |options, i| {
        options.header(format!("h{i}"), "x")
    });
    let result = OrderPlaced::new("1", "").produce_with(many, &ductape).await;
    expect(result, ErrorCode::PayloadInvalid, &["at most 64 are allowed"]);
}

#[tokio::test]
async fn bytes_that_no_consumer_can_decode_become_dead_letters_and_the_rest_flows() {
    let ductape = in_process()
        .consumer::<watch>()
        .state(Seen::default())
        .build()
        .await
        .unwrap();
    ductape.start().await.unwrap();
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let hostile: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"not json".to_vec(),
        b"\xff\xfe".to_vec(),
        b"{\"id\":1}".to_vec(),
        b"{\"id\":\"1\",\"quantity\":1e400}".to_vec(),
        b"{\"id\":\"1\",\"id\":\"2\",\"quantity\":1}".to_vec(),
        deep(129).into_bytes(),
        vec![b'['; 1024 * 1024],
    ];
    let expected = hostile.len() as u64;
    for payload in hostile {
        let produce = ductape
            .context()
            .produce_bytes("bad:order-placed", payload, ProduceOptions::default());
        produce.await.unwrap();
    }
    OrderPlaced::new("good", "").produce(&ductape).await.unwrap();
    assert!(ductape.wait_idle(Duration::from_secs(20)).await.unwrap());
    let stats = &ductape.stats()[0];
    assert_eq!(
        (stats.handled, stats.dead_lettered, stats.retried),
        (1, expected, 0)
    );
    let backlog = ductape.backlog("bad:order-placed", "watch").await.unwrap();
    assert_eq!(backlog.dead_letters, expected);
    ductape.shutdown().await.unwrap();
    let result = OrderPlaced::new("late", "").produce(&ductape).await;
    expect(
        result,
        ErrorCode::ShuttingDown,
        &["shutting down; nothing was published"],
    );
}
