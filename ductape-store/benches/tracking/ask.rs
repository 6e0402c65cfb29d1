//! How long questions take.

use std::future::Future;
use std::time::{Duration, Instant, SystemTime};

use ductape_store::Store;
use ductape_store::tracking::{
    BrokerFilter, ConsumerFilter, DeadLetterFilter, EventCategory, EventFilter, EventStatus, MessageFilter,
    MessageStatus, ProducerFilter, Retention, Tracking,
};

const ROUNDS: usize = 5;

/// Asks each question a few times: prints the first time, and the median of the others.
async fn measure<F: Future<Output = u64>>(what: &str, mut ask: impl FnMut() -> F) {
    let mut times = Vec::new();
    let mut found = 0;
    for _ in 0..=ROUNDS {
        let start = Instant::now();
        found = ask().await;
        times.push(start.elapsed());
    }
    let first = times.remove(0);
    times.sort_unstable();
    println!(
        "{what:48} {:>9.2?} first {first:>9.2?}   ({found})",
        times[ROUNDS / 2]
    );
}

fn all() -> MessageFilter {
    MessageFilter {
        product: "shop".to_owned(),
        env: "prd".to_owned(),
        broker_tag: "order-events".to_owned(),
        ..MessageFilter::default()
    }
}

const TOPIC: &str = "topic-3";

fn broker() -> BrokerFilter {
    BrokerFilter {
        product: "shop".to_owned(),
        env: "prd".to_owned(),
        broker_tag: "order-events".to_owned(),
    }
}

pub(crate) async fn ask(store: &Store) {
    let now = SystemTime::now();
    let tracking = store.tracking();
    ask_messages(&tracking, now).await;
    ask_numbers(&tracking, now).await;
    ask_dead_letters(&tracking, now).await;
}

fn filters(now: SystemTime) -> Vec<(&'static str, MessageFilter)> {
    let topic = Some(TOPIC.to_owned());
    let producer = Some("producer-1".to_owned());
    let consumer = Some("billing".to_owned());
    let days = |days: u64| Some(now - Duration::from_secs(days * 24 * 3600 + 1234));
    vec![
        ("all", all()),
        (
            "topic",
            MessageFilter {
                topic_tag: topic.clone(),
                ..all()
            },
        ),
        (
            "producer",
            MessageFilter {
                producer_tag: producer.clone(),
                ..all()
            },
        ),
        (
            "topic and producer",
            MessageFilter {
                topic_tag: topic.clone(),
                producer_tag: producer.clone(),
                ..all()
            },
        ),
        (
            "consumer",
            MessageFilter {
                consumer_tag: consumer.clone(),
                ..all()
            },
        ),
        (
            "success",
            MessageFilter {
                status: Some(MessageStatus::Success),
                ..all()
            },
        ),
        (
            "failed",
            MessageFilter {
                status: Some(MessageStatus::Failed),
                ..all()
            },
        ),
        (
            "pending",
            MessageFilter {
                status: Some(MessageStatus::Pending),
                ..all()
            },
        ),
        (
            "topic and failed",
            MessageFilter {
                topic_tag: topic.clone(),
                status: Some(MessageStatus::Failed),
                ..all()
            },
        ),
        (
            "consumer and success",
            MessageFilter {
                consumer_tag: consumer,
                status: Some(MessageStatus::Success),
                ..all()
            },
        ),
        (
            "a week",
            MessageFilter {
                start_date: days(14),
                end_date: days(7),
                ..all()
            },
        ),
        (
            "a week of a topic",
            MessageFilter {
                topic_tag: topic.clone(),
                start_date: days(14),
                end_date: days(7),
                ..all()
            },
        ),
    ]
}

async fn ask_messages(tracking: &Tracking, now: SystemTime) {
    for (name, filter) in filters(now) {
        let total = tracking.messages(&filter).await.unwrap().total;
        let last = u32::try_from(total / 20).unwrap();
        for page in [1, 100, 10_000, last.max(1)] {
            if page > last.max(1) {
                continue;
            }
            let filter = MessageFilter {
                page,
                ..filter.clone()
            };
            measure(&format!("messages: {name}, page {page}"), async || {
                tracking.messages(&filter).await.unwrap().total
            })
            .await;
        }
    }
    let first = tracking.messages(&all()).await.unwrap();
    let second = MessageFilter {
        page: 2,
        snapshot: Some(first.snapshot),
        ..all()
    };
    measure("messages: all, page 2 of a snapshot", async || {
        tracking.messages(&second).await.unwrap().total
    })
    .await;
}

async fn ask_numbers(tracking: &Tracking, now: SystemTime) {
    let broker = broker();
    measure("stats", async || tracking.stats(&broker).await.unwrap().total).await;
    measure("event stats", async || {
        tracking.event_stats(&broker).await.unwrap().total_events
    })
    .await;
    measure("dashboard", async || {
        tracking.dashboard(&broker, now).await.unwrap().stats.total
    })
    .await;
    let producers = ProducerFilter {
        product: "shop".to_owned(),
        env: "prd".to_owned(),
        broker_tag: "order-events".to_owned(),
        ..ProducerFilter::default()
    };
    measure("producers", async || {
        tracking.producers(&producers, now).await.unwrap().total
    })
    .await;
    let consumers = ConsumerFilter {
        product: "shop".to_owned(),
        env: "prd".to_owned(),
        broker_tag: "order-events".to_owned(),
        ..ConsumerFilter::default()
    };
    measure("consumers", async || {
        tracking.consumers(&consumers, now).await.unwrap().total
    })
    .await;
}

async fn ask_dead_letters(tracking: &Tracking, now: SystemTime) {
    let broker = broker();
    let topic = Some(TOPIC.to_owned());
    let dead = DeadLetterFilter {
        product: "shop".to_owned(),
        env: "prd".to_owned(),
        broker_tag: "order-events".to_owned(),
        ..DeadLetterFilter::default()
    };
    measure("dead letters", async || {
        tracking.dead_letters(&dead, now).await.unwrap().total
    })
    .await;
    let late = DeadLetterFilter {
        page: 1_000,
        ..dead.clone()
    };
    measure("dead letters, page 1000", async || {
        tracking.dead_letters(&late, now).await.unwrap().total
    })
    .await;
    let of_topic = DeadLetterFilter {
        topic_tag: topic.clone(),
        ..dead.clone()
    };
    measure("dead letters of a topic", async || {
        tracking.dead_letters(&of_topic, now).await.unwrap().total
    })
    .await;
    measure("dead letter groups", async || {
        tracking.dead_letter_groups(&broker).await.unwrap().len() as u64
    })
    .await;
    for (status, category) in [
        (Some(EventStatus::Failed), None),
        (None, Some(EventCategory::Error)),
        (None, Some(EventCategory::Consumer)),
        (Some(EventStatus::Pending), Some(EventCategory::Producer)),
    ] {
        let filter = EventFilter {
            product: "shop".to_owned(),
            env: "prd".to_owned(),
            broker_tag: "order-events".to_owned(),
            status,
            category,
            ..EventFilter::default()
        };
        measure(&format!("events: {status:?} {category:?}"), async || {
            tracking.events(&filter).await.unwrap().total
        })
        .await;
    }
    let retention = Retention {
        age_max: Some(Duration::from_hours(29 * 24)),
        bytes_max: None,
    };
    measure("prune, a step", async || {
        tracking.prune(retention, now).await.unwrap().messages
    })
    .await;
}
