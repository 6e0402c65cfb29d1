//! Everything about brokers in one place: events, replay, dead letters, idempotency.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ductape_events::prelude::*;
use ductape_events::providers::MessageId;
use ductape_events::store::tracking::{DeliveryStatus, EventCategory, EventFilter, EventStatus};
use ductape_events::tracking::{ReplayOptions, ReplayRange, ReprocessOptions};
use ductape_events::{ErrorCode, IdempotencyKey};
use serde_json::json;

use crate::checked::{Result, ensure, section, shows, until};
use crate::events::{OrderCreated, Stock};
use crate::messages::Received;
use crate::tracking::{GROUP, broker, dead_letters_of, until_it_is, until_order_is};
use crate::{ENV, PRODUCT};

fn order(order_id: &str, total: f64) -> OrderCreated {
    OrderCreated {
        order_id: order_id.to_owned(),
        total: Some(total),
        ..OrderCreated::default()
    }
}

fn events() -> EventFilter {
    EventFilter {
        product: PRODUCT.to_owned(),
        env: ENV.to_owned(),
        broker_tag: "order-events".to_owned(),
        ..EventFilter::default()
    }
}

pub(crate) async fn brokers_service(ductape: &Ductape) -> Result<()> {
    section("Advanced: BrokersService");
    let brokers = ductape.brokers();

    println!("# publish, subscribe");
    let received = Received::default();
    let callback = received.clone();
    brokers
        .subscribe("order-events:payment-processed", move |message| {
            callback.note(message);
            async { Ok(()) }
        })
        .await?;
    let payment = json!({ "orderId": "123", "paid": 99.99 });
    let published = brokers
        .publish("order-events:payment-processed", &payment)
        .await?;
    shows(
        received.with("orderId", "123").await?,
        r#"{"orderId":"123","paid":99.99}"#,
    )?;

    println!("# get_brokers, get_broker, get_topics, get_topic");
    let all = brokers.get_brokers().await?;
    let tags: Vec<&str> = all.iter().map(|one| one.tag.as_str()).collect();
    shows(tags.join(", "), "notifications, order-events")?;
    shows(brokers.get_broker("order-events").await?.name, "Order Events")?;
    let topics = brokers.get_topics("order-events").await?;
    let tags: Vec<&str> = topics.iter().map(|one| one.tag.as_str()).collect();
    shows(
        tags.join(", "),
        "order-events:order-created, order-events:payment-processed",
    )?;
    let topic = brokers.get_topic("order-events:payment-processed").await?;
    shows(topic.name, "Payment Processed")?;

    println!("# get_events, get_event");
    let payments = EventFilter {
        status: Some(EventStatus::Success),
        category: Some(EventCategory::Consumer),
        topic: Some("payment-processed".to_owned()),
        start_date: SystemTime::now().checked_sub(Duration::from_hours(1)),
        end_date: SystemTime::now().checked_add(Duration::from_hours(1)),
        page: 1,
        limit: 1,
        ..events()
    };
    let page = until("the payment's event", async || {
        let page = brokers.get_events(&payments).await?;
        Ok((page.total > 0).then_some(page))
    })
    .await?;
    ensure(
        page.has_more == (page.total > 1),
        "there is more when there is more",
    )?;
    let event = brokers.get_event(&page.events[0].id).await?;
    ensure(event.id == published.process_id.to_string(), "the newest is ours")?;
    shows(
        format!(
            "{}, {}, {}",
            event.event,
            event.status,
            String::from_utf8_lossy(&event.request_data.unwrap_or_default())
        ),
        r#"order-events:payment-processed, success, {"orderId":"123","paid":99.99}"#,
    )?;

    println!("# test_connection");
    let report = brokers.test_connection("order-events").await?;
    for step in &report.steps {
        println!("{}: {:?} after {:?}", step.name, step.outcome, step.took);
    }
    shows(format!("connects: {}", report.is_ok()), "connects: true")
}

pub(crate) async fn event_stats_and_replay(ductape: &Ductape, began: SystemTime) -> Result<()> {
    section("Example: event stats and replay");
    let brokers = ductape.brokers();
    let id = ProduceOptions::default().id(MessageId::from_text("event-123"));
    order("replayed", 99.99).produce_with(id, ductape).await?;
    until_it_is(ductape, "event-123", DeliveryStatus::Success).await?;

    let stats = brokers.get_event_stats(&broker()).await?;
    println!(
        "{} events: {} succeeded, {} failed, {} pending",
        stats.total_events, stats.success_count, stats.failed_count, stats.pending_count
    );
    let pending = EventFilter {
        status: Some(EventStatus::Pending),
        start_date: Some(began),
        ..events()
    };
    let pending = brokers.get_events(&pending).await?.total;
    shows(
        format!("{pending} of this tour are pending"),
        "0 of this tour are pending",
    )?;
    shows(
        format!(
            "{} topics, {} dead letters",
            stats.events_by_topic.len(),
            stats.dead_letter_count
        ),
        "2 topics, 1 dead letters",
    )?;

    // What everyone has handled is replayed by force alone.
    let refused = brokers.replay_event("event-123", &ReplayOptions::default()).await;
    let code = refused.err().map(|error| error.code());
    shows(code.map_or("replayed", ErrorCode::as_str), "REPLAY_REFUSED")?;
    let result = brokers
        .replay_event(
            "event-123",
            &ReplayOptions {
                force: true,
                group: Some(GROUP.to_owned()),
            },
        )
        .await?;
    let copy = until_it_is(ductape, &result.new_event_id.to_string(), DeliveryStatus::Success).await?;
    shows(
        format!(
            "success: {}, a copy of {} to {}",
            result.success,
            copy.replay_of.as_deref().unwrap_or("nothing"),
            result.copies[0].consumer_tag
        ),
        "success: true, a copy of event-123 to process-new-order",
    )
}

pub(crate) async fn dead_letters(ductape: &Ductape, stock: &Arc<Stock>) -> Result<()> {
    section("DLQ reprocess, and ranges");
    let (brokers, messaging) = (ductape.brokers(), ductape.messaging());
    let began = SystemTime::now();
    let dead = DeliveryStatus::DeadLettered;
    let first = until_order_is(ductape, order("large-1", 5_000.0), dead).await?;
    let second = until_order_is(ductape, order("large-2", 5_000.0), dead).await?;

    println!("# Dead letters by their failure");
    for group in messaging.messages().dead_letter_groups(&broker()).await? {
        println!("{} × {} at {}", group.count, group.error, group.consumer_tag);
    }
    println!("# A dry run, then the reprocess");
    let both = dead_letters_of(&[&first, &second]);
    let dry = ReprocessOptions {
        dry_run: true,
        ..ReprocessOptions::default()
    };
    let would = brokers.reprocess_dlq(&both, &dry).await?;
    shows(
        format!("would reprocess {}", would.reprocessed_count),
        "would reprocess 2",
    )?;
    stock.deliver();
    let at_a_rate = ReprocessOptions {
        at_most: Some(1),
        rate: Some(100),
        ..ReprocessOptions::default()
    };
    let report = brokers.reprocess_dlq(&both, &at_a_rate).await?;
    shows(
        format!(
            "reprocessed {}, failed {}",
            report.reprocessed_count, report.failed_count
        ),
        "reprocessed 1, failed 0",
    )?;
    until_it_is(ductape, &first.message_id, DeliveryStatus::Success).await?;

    println!("# One put aside, and taken up again");
    shows(
        format!("archived {}", brokers.archive_dead_letters(&both).await?),
        "archived 1",
    )?;
    shows(
        format!("restored {}", brokers.restore_dead_letters(&both).await?),
        "restored 1",
    )?;

    ranges(ductape, began).await?;
    // The copy was handled, so that the dead letter is done with.
    brokers.archive_dead_letters(&both).await?;
    edited(ductape).await
}

async fn ranges(ductape: &Ductape, began: SystemTime) -> Result<()> {
    let brokers = ductape.brokers();
    println!("# A range, as it would be and as it is");
    let range = ReplayRange {
        filter: EventFilter {
            status: Some(EventStatus::Failed),
            topic: Some("order-created".to_owned()),
            start_date: Some(began),
            ..events()
        },
        dry_run: true,
        ..ReplayRange::default()
    };
    let would = brokers.replay_range(&range).await?;
    shows(
        format!(
            "would replay {} to {}",
            would.replayed_count, would.by_group[0].consumer_tag
        ),
        "would replay 1 to process-new-order",
    )?;
    let replay = ReplayRange {
        dry_run: false,
        ..range
    };
    let replayed = brokers.replay_range(&replay).await?;
    let again = brokers.replay_range(&replay).await?;
    shows(
        format!(
            "replayed {}, and again {}",
            replayed.replayed_count, again.replayed_count
        ),
        "replayed 1, and again 0",
    )
}

async fn edited(ductape: &Ductape) -> Result<()> {
    let (brokers, messaging) = (ductape.brokers(), ductape.messaging());
    println!("# One edited");
    let unpriced = EventFilter {
        status: Some(EventStatus::Failed),
        category: Some(EventCategory::DeadLetter),
        ..events()
    };
    let mut letters = dead_letters_of(&[]);
    letters.error_contains = Some("has no price".to_owned());
    let letter = messaging.messages().dead_letters(&letters).await?.dead_letters;
    let letter = letter
        .first()
        .ok_or("the order without a price is no dead letter")?;
    ensure(
        brokers.get_events(&unpriced).await?.total > 0,
        "it is an event of that category",
    )?;
    let edited = brokers
        .edit_and_retry(&letter.id, &json!({ "orderId": "unpriced", "total": 99.99 }))
        .await?;
    until_it_is(ductape, &edited.new_event_id.to_string(), DeliveryStatus::Success).await?;
    let left = messaging.messages().stats(&broker()).await?.dead_letter_count;
    shows(format!("dead letters: {left}"), "dead letters: 0")
}

pub(crate) async fn idempotency(ductape: &Ductape) -> Result<()> {
    section("Idempotent publish");
    let brokers = ductape.brokers();
    // The tour may have been here before.
    let key = format!("order-123-{}", MessageId::new());
    let unknown = brokers.check_idempotency(&key).await?;
    shows(format!("exists: {}", unknown.is_some()), "exists: false")?;
    let message = json!({ "orderId": "123-once", "total": 99.99 });
    let event = "order-events:order-created";
    let ttl = Duration::from_hours(1);
    let key_for = || IdempotencyKey::from(key.clone()).ttl(ttl);
    let first = brokers.publish_idempotent(event, &message, key_for()).await?;
    let second = brokers.publish_idempotent(event, &message, key_for()).await?;
    shows(
        format!("duplicate: {}, then {}", first.duplicate, second.duplicate),
        "duplicate: false, then true",
    )?;
    ensure(first.process_id == second.process_id, "it is the first one's id")?;
    let known = brokers.check_idempotency(&key).await?;
    ensure(
        known.is_some_and(|known| known.process_id == first.process_id),
        "the key names it",
    )?;
    let other = json!({ "orderId": "123-once", "total": 1.0 });
    let conflict = brokers.publish_idempotent(event, &other, key_for()).await;
    let code = conflict.err().map(|error| error.code());
    shows(
        code.map_or("published", ErrorCode::as_str),
        "IDEMPOTENCY_CONFLICT",
    )?;
    let tracked = until_it_is(ductape, &first.process_id.to_string(), DeliveryStatus::Success).await?;
    ensure(tracked.idempotency_key == Some(key), "the history tells its key")
}

pub(crate) async fn error_handling(ductape: &Ductape) -> Result<()> {
    section("Error handling");
    let messaging = ductape.messaging();
    let empty = json!({});
    let failed = |error: Option<BrokerError>, wanted: &str| {
        let error = error.ok_or("it should have failed")?;
        println!("Message: {}", error.message());
        shows(format!("Code: {}", error.code()), wanted)
    };
    let produced = messaging.produce("...", &empty).await;
    failed(produced.err(), "Code: EVENT_NAME_INVALID")?;
    let produced = messaging.produce("order-events:none", &empty).await;
    failed(produced.err(), "Code: TOPIC_NOT_FOUND")?;
    let produced = messaging.produce("none:order-created", &empty).await;
    failed(produced.err(), "Code: BROKER_NOT_FOUND")?;
    let misfit = json!({ "orderId": 123 });
    let produced = messaging.produce("order-events:order-created", &misfit).await;
    failed(produced.err(), "Code: PAYLOAD_INVALID")?;
    let session = ProduceOptions::default().session("user-session:none");
    let produced = messaging
        .produce_with("order-events:order-created", &empty, session)
        .await;
    failed(produced.err(), "Code: SESSION_INVALID")?;
    let event = ductape.brokers().get_event("none").await;
    failed(event.err(), "Code: EVENT_NOT_FOUND")?;
    for (code, wanted) in [
        (ErrorCode::BrokerNotFound, "BROKER_NOT_FOUND"),
        (ErrorCode::BrokerEnvNotFound, "BROKER_ENV_NOT_FOUND"),
        (ErrorCode::TopicNotFound, "TOPIC_NOT_FOUND"),
        (ErrorCode::PublishFailed, "PUBLISH_FAILED"),
        (ErrorCode::SubscribeFailed, "SUBSCRIBE_FAILED"),
        (ErrorCode::SessionInvalid, "SESSION_INVALID"),
    ] {
        shows(code, wanted)?;
    }
    Ok(())
}

pub(crate) async fn best_practices(ductape: &Ductape) -> Result<()> {
    section("Best practices");
    // Each is a type, a check at start-up, or something that the program does by itself.
    shows(OrderCreated::EVENT, "order-events:order-created")?;
    let topic = ductape.brokers().get_topic(OrderCreated::EVENT).await?;
    ensure(
        topic.sample.is_some() && topic.schema.is_some(),
        "each topic is documented by its type",
    )?;
    let report = ductape.check(ENV).await;
    shows(
        format!("can start in {ENV}: {}", report.is_ok()),
        "can start in prd: true",
    )
}
