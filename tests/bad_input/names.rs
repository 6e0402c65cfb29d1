//! Bad event names, and names of what does not exist.

use ductape_events::prelude::*;
use ductape_events::{ErrorCode, PublishOutcome};

use crate::events::{expect, in_process};

#[tokio::test]
async fn bad_event_names_are_refused_at_every_door() {
    let long = "a".repeat(300);
    let ductape = in_process().build().await.unwrap();
    ductape.start().await.unwrap();
    let ctx = ductape.context();
    for (name, says) in [
        ("", "event name is empty"),
        ("a", "has no topic"),
        ("a:", "has no topic after the `:`"),
        (":b", "has no broker before the `:`"),
        ("a:b:c", "has more than one `:`"),
        ("a b:c", "contains ` ` at position 2"),
        (" a:b", "contains ` ` at position 1"),
        ("a:b ", "contains ` ` at position 4"),
        ("a:b\n[ERROR] fake", "contains `\\n`"),
        ("a:\u{1b}[2J", "contains `\\u{1b}`"),
        ("Ä:b", "contains `Ä`"),
        (long.as_str(), "has no topic"),
        (&format!("a:{long}"), "at most 64 are allowed"),
    ] {
        let result = ctx.produce_json(name, &serde_json::json!({})).await;
        assert_eq!(
            result.as_ref().unwrap_err().publish_outcome(),
            Some(PublishOutcome::Rejected)
        );
        expect(result, ErrorCode::EventNameInvalid, &[says]);
        let result = ctx.produce_bytes(name, "{}", ProduceOptions::default()).await;
        let text = result.as_ref().unwrap_err().to_string();
        assert!(!text.contains(['\n', '\u{1b}']), "{text:?}");
        assert!(text.len() < 300, "{text}");
        expect(result, ErrorCode::EventNameInvalid, &[says]);
        let result = ductape.consume(name, "g", async |_| Ok(())).await;
        expect(result, ErrorCode::EventNameInvalid, &[says]);
        let result = ductape.backlog(name, "g").await;
        expect(result, ErrorCode::EventNameInvalid, &[says]);
    }
    ductape.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_unknown_topic_is_answered_with_the_known_ones() {
    let ductape = in_process().build().await.unwrap();
    let json = serde_json::json!({});
    for (name, says) in [
        ("bad:order-place", "known topics of `bad`: bad:order-placed"),
        (
            "other:order-placed",
            "no topic of broker `other` is known; known topics: bad:order-placed",
        ),
    ] {
        let parts = [&*format!("no topic `{name}`"), says];
        expect(
            ductape.context().produce_json(name, &json).await,
            ErrorCode::TopicNotFound,
            &parts,
        );
        let bytes = ductape
            .context()
            .produce_bytes(name, "{}", ProduceOptions::default());
        expect(bytes.await, ErrorCode::TopicNotFound, &parts);
        let consume = ductape.consume(name, "g", async |_| Ok(()));
        expect(consume.await, ErrorCode::TopicNotFound, &parts);
    }
}

#[topic("bad:never-added")]
struct NeverAdded {
    n: u32,
}

#[tokio::test]
async fn many_events_of_an_unknown_topic_are_each_answered_as_one_is() {
    let ductape = in_process().build().await.unwrap();
    let one = NeverAdded { n: 1 }.produce(&ductape).await.unwrap_err();
    let all = NeverAdded::produce_all([1, 2].map(|n| NeverAdded { n }), &ductape).await;
    assert_eq!(all.len(), 2);
    for result in all {
        let error = result.unwrap_err();
        assert_eq!(error.to_string(), one.to_string());
        assert_eq!(error.publish_outcome(), Some(PublishOutcome::Rejected));
    }
}

#[tokio::test]
async fn bad_group_names_are_refused() {
    let ductape = in_process().build().await.unwrap();
    for (group, says) in [
        ("", "group name is empty"),
        ("A b", "contains `A`"),
        (&"g".repeat(65), "at most 64"),
    ] {
        let result = ductape.consume("bad:order-placed", group, async |_| Ok(())).await;
        expect(result, ErrorCode::SubscribeFailed, &[says, "bad:order-placed"]);
    }
    ductape
        .consume("bad:order-placed", "g", async |_| Ok(()))
        .await
        .unwrap();
    let again = ductape.consume("bad:order-placed", "g", async |_| Ok(())).await;
    expect(
        again,
        ErrorCode::AlreadyExists,
        &["group `g`", "name another group"],
    );
}
