//! How long the history is kept.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use ductape_events::prelude::*;
use ductape_events::store::tracking::{
    Attempted, BrokerFilter, DeadLetterFilter, Original, Outcome, Produced, Record, Retention, TopicPlace,
    TrackingWriter,
};
use ductape_events::{DuctapeBuilder, ErrorCode};

use crate::couriers;
use crate::support::places;
use crate::{Paid, bill, messages};

const MONTH: Duration = Duration::from_hours(30 * 24);

fn kept(age_max: Option<Duration>, bytes_max: Option<u64>) -> Retention {
    Retention { age_max, bytes_max }
}

/// A message that was produced `days` ago and handled; or given up.
fn from_earlier(id: &str, days: u64, is_dead: bool) -> [Record; 2] {
    let topic = Arc::new(TopicPlace {
        product: "app".into(),
        env: "prd".into(),
        broker_tag: "shop".into(),
        topic_tag: "paid".into(),
    });
    let at = SystemTime::now() - Duration::from_hours(days * 24);
    let payload = Bytes::from_static(b"{}");
    let produced = Produced {
        topic: Arc::clone(&topic),
        message_id: id.to_owned(),
        producer_tag: "till".into(),
        produced_at: at,
        payload: Some(payload.clone()),
        key: None,
        idempotency_key: None,
        metadata: None,
        process_id: None,
        session_tag: None,
        replay_of: None,
        groups: Arc::new(["billing".into()]),
    };
    let error = "no".to_owned();
    let attempted = Attempted {
        topic,
        message_id: id.to_owned(),
        consumer_tag: "billing".into(),
        redrive: 0,
        attempt: 1,
        outcome: if is_dead {
            Outcome::DeadLettered { error }
        } else {
            Outcome::Success
        },
        started_at: at,
        elapsed: Duration::from_millis(1),
        produced_at: Some(at),
        response_data: None,
        original: is_dead.then_some(Original {
            payload,
            key: None,
            metadata: None,
        }),
    };
    [
        Record::Produced(Box::new(produced)),
        Record::Attempted(Box::new(attempted)),
    ]
}

async fn total(ductape: &Ductape) -> u64 {
    let broker = BrokerFilter {
        broker_tag: "shop".to_owned(),
        ..BrokerFilter::default()
    };
    ductape.messaging().messages().stats(&broker).await.unwrap().total
}

async fn until_total(ductape: &Ductape, is_so: impl Fn(u64) -> bool) -> u64 {
    let began = Instant::now();
    loop {
        let total = total(ductape).await;
        if is_so(total) {
            return total;
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{total} messages are kept"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn builder() -> DuctapeBuilder {
    let builder = Ductape::builder().without_inventory().in_process();
    builder.environment("prd").consumer::<bill>()
}

#[tokio::test]
async fn what_is_too_old_leaves_the_history_and_open_dead_letters_stay() {
    for place in places().await {
        let store = place.open().await;
        let mut records: Vec<Record> = (0..700)
            .flat_map(|n| from_earlier(&format!("old-{n}"), 40, false))
            .collect();
        records.extend(from_earlier("dead", 40, true));
        records.extend(from_earlier("young", 20, false));
        let writer = TrackingWriter::new(&store);
        writer.write(&records, SystemTime::now()).await.unwrap();

        let unbounded = builder().store(store.clone()).build().await.unwrap();
        assert_eq!(
            total(&unbounded).await,
            702,
            "nothing is removed unless it is asked for"
        );
        unbounded.shutdown().await.unwrap();

        let bounded = builder().store(store.clone()).retention(kept(Some(MONTH), None));
        let bounded = bounded.build().await.unwrap();
        until_total(&bounded, |total| total == 1).await;
        let history = bounded.messaging().messages();
        assert!(history.get("young").await.unwrap().is_some());
        let letters = DeadLetterFilter {
            broker_tag: "shop".to_owned(),
            ..DeadLetterFilter::default()
        };
        let letters = history.dead_letters(&letters).await.unwrap().dead_letters;
        assert_eq!(letters[0].message_id, "dead");
        bounded.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_too_much_leaves_the_history_from_its_beginning() {
    for place in places().await {
        let store = place.open().await;
        let ductape = builder().store(store.clone()).build().await.unwrap();
        for n in 0..300 {
            let paid = Paid {
                order: format!("{n:03}"),
                secret: "x".repeat(10_000),
            };
            paid.produce(&ductape).await.unwrap();
        }
        until_total(&ductape, |total| total == 300).await;
        ductape.shutdown().await.unwrap();

        let bounded = builder()
            .store(store.clone())
            .retention(kept(None, Some(1_000_000)));
        let bounded = bounded.build().await.unwrap();
        let left = until_total(&bounded, |total| total < 110).await;
        assert!(left > 50, "{left}");
        let newest = messages(&bounded, |messages| {
            messages.len() == usize::try_from(left).unwrap()
        })
        .await;
        assert_eq!(newest[0].key.as_deref(), Some("299"), "the newest stay");
        bounded.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_retention_that_leaves_nothing_is_refused() {
    for retention in [kept(Some(Duration::ZERO), None), kept(None, Some(0))] {
        let refused = builder().retention(retention).build().await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::ConfigInvalid, "{refused}");
    }
}

/// Someone was thanked.
#[topic("shop:thanked", key = order)]
struct Thanked {
    order: String,
}

#[consumer(group = "thanks")]
async fn thank(paid: Paid) -> Result<Thanked, HandlerError> {
    Ok(Thanked { order: paid.order })
}

#[consumer(group = "many-thanks", batch = 5)]
async fn thank_many(all: Vec<Paid>) -> Result<Vec<Thanked>, HandlerError> {
    Ok(all
        .into_iter()
        .map(|paid| Thanked { order: paid.order })
        .collect())
}

#[tokio::test]
async fn what_a_handler_returned_is_told_as_its_answer() {
    for place in places().await {
        let store = place.open().await;
        let builder = Ductape::builder().without_inventory().in_process();
        let ductape = builder
            .environment("prd")
            .topic::<Thanked>()
            .consumer::<bill>()
            .consumer::<thank>()
            .consumer::<thank_many>()
            .store(store.clone())
            .build()
            .await
            .unwrap();
        ductape.start().await.unwrap();
        let order = couriers::order("thanked");
        let receipt = Paid::of(&order).produce(&ductape).await.unwrap();
        let id = receipt.process_id.to_string();
        let all = messages(&ductape, |messages| {
            messages.len() == 3
                && messages
                    .iter()
                    .filter(|one| one.topic_tag == "paid")
                    .all(|one| one.status.as_str() == "success")
        })
        .await;
        let paid = all.iter().find(|one| one.message_id == id).unwrap();
        for delivery in &paid.consumer_deliveries {
            let answer = delivery.response_data.as_ref();
            if delivery.consumer_tag == "billing" {
                assert!(answer.is_none(), "{answer:?}");
                continue;
            }
            let answer = answer.unwrap();
            assert_eq!(answer["event"], "shop:thanked");
            let thanked = all.iter().find(|one| answer["messageId"] == *one.message_id);
            assert_eq!(thanked.unwrap().topic_tag, "thanked");
        }
        let event = ductape.brokers().get_event(&id).await.unwrap();
        assert_eq!(event.response_data["thanks"]["event"], "shop:thanked");
        ductape.shutdown().await.unwrap();
    }
}
