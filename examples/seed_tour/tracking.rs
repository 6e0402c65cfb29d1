//! What happened to messages.

use ductape_events::prelude::*;
use ductape_events::store::tracking::{
    BrokerFilter, ConsumerFilter, DeadLetterFilter, DeliveryStatus, Message, MessageFilter, ProducerFilter,
};

use crate::checked::{Result, ensure, section, shows, until};
use crate::events::OrderCreated;
use crate::{ENV, PRODUCT};

/// The group of the typed consumer.
pub(crate) const GROUP: &str = "process-new-order";

pub(crate) fn filter() -> MessageFilter {
    MessageFilter {
        product: PRODUCT.to_owned(),
        env: ENV.to_owned(),
        broker_tag: "order-events".to_owned(),
        topic_tag: Some("order-created".to_owned()),
        page: 1,
        limit: 20,
        ..MessageFilter::default()
    }
}

/// Produces an order, and answers its message once `GROUP` has done with it as `status` says.
pub(crate) async fn until_order_is(
    ductape: &Ductape,
    order: OrderCreated,
    status: DeliveryStatus,
) -> Result<Message> {
    let receipt = order.produce(ductape).await?;
    until_it_is(ductape, &receipt.process_id.to_string(), status).await
}

/// A message, once `GROUP` has done with it as `status` says.
pub(crate) async fn until_it_is(ductape: &Ductape, id: &str, status: DeliveryStatus) -> Result<Message> {
    let messaging = ductape.messaging();
    until(&format!("message {id} is {status} at {GROUP}"), async || {
        let message = messaging.messages().get(id).await?;
        Ok(message.filter(|message| {
            let mut deliveries = message.consumer_deliveries.iter();
            deliveries.any(|one| one.consumer_tag == GROUP && one.status == status)
                && message
                    .consumer_deliveries
                    .iter()
                    .all(|one| one.status != DeliveryStatus::Pending)
        }))
    })
    .await
}

/// Puts aside what a tour left that ended early.
pub(crate) async fn tidy(ductape: &Ductape) -> Result<()> {
    ductape
        .brokers()
        .archive_dead_letters(&dead_letters_of(&[]))
        .await?;
    Ok(())
}

fn order(order_id: &str, total: f64) -> OrderCreated {
    OrderCreated {
        order_id: order_id.to_owned(),
        total: Some(total),
        ..OrderCreated::default()
    }
}

pub(crate) async fn message_tracking(ductape: &Ductape) -> Result<()> {
    section("Message tracking (messaging.messages)");
    let handled = until_order_is(ductape, order("handled", 99.99), DeliveryStatus::Success).await?;
    let unpriced = until_order_is(ductape, order("unpriced", 0.0), DeliveryStatus::DeadLettered).await?;
    shows(
        format!(
            "{}: {}",
            handled.status,
            String::from_utf8_lossy(&handled.payload.unwrap_or_default())
        ),
        r#"success: {"orderId":"handled","total":99.99}"#,
    )?;
    query(ductape).await?;
    producers_and_consumers(ductape).await?;
    dead_letters_and_stats(ductape, &unpriced).await?;
    retry_and_fail(ductape, &unpriced).await
}

async fn query(ductape: &Ductape) -> Result<()> {
    let messaging = ductape.messaging();
    let messages = messaging.messages();
    println!("# Query messages with filters");
    let page = messages.query(&filter()).await?;
    shows(
        format!("page {}, limit {}", page.page, page.limit),
        "page 1, limit 20",
    )?;
    ensure(
        page.total >= page.messages.len() as u64 && (page.has_more == (page.total > 20)),
        "the page fits its total",
    )?;
    let newest = page.messages.first().ok_or("no message is tracked")?;
    shows(
        format!(
            "{}, {}, {}",
            newest.event,
            newest.key.as_deref().unwrap_or_default(),
            newest.status
        ),
        "order-events:order-created, unpriced, partial",
    )?;
    for delivery in &newest.consumer_deliveries {
        let error = delivery.error.as_deref().unwrap_or("fine");
        println!("{}: {} ({error})", delivery.consumer_tag, delivery.status);
    }
    let with_session = page
        .messages
        .iter()
        .filter(|one| one.session_tag.as_deref() == Some("user-session"));
    shows(
        format!("with a session: {}", with_session.count().min(2)),
        "with a session: 2",
    )
}

async fn producers_and_consumers(ductape: &Ductape) -> Result<()> {
    let messaging = ductape.messaging();
    let messages = messaging.messages();
    println!("# Producers / consumers");
    let producers = messages
        .producers(&ProducerFilter {
            product: PRODUCT.to_owned(),
            env: ENV.to_owned(),
            broker_tag: "order-events".to_owned(),
            ..ProducerFilter::default()
        })
        .await?
        .producers;
    for producer in &producers {
        println!(
            "{} of {}: {} messages",
            producer.tag, producer.topic, producer.message_count
        );
    }
    let producer = producers.iter().find(|one| one.topic == "order-created");
    // A consumer failed at what it produced last.
    shows(producer.ok_or("no producer")?.status, "error")?;
    let consumers = messages
        .consumers(&ConsumerFilter {
            product: PRODUCT.to_owned(),
            env: ENV.to_owned(),
            broker_tag: "order-events".to_owned(),
            topic_tag: Some("order-created".to_owned()),
            ..ConsumerFilter::default()
        })
        .await?
        .consumers;
    let mut tags: Vec<&str> = consumers.iter().map(|one| one.tag.as_str()).collect();
    tags.sort_unstable();
    shows(tags.join(", "), "my-product, process-new-order, received-orders")
}

async fn dead_letters_and_stats(ductape: &Ductape, unpriced: &Message) -> Result<()> {
    let messaging = ductape.messaging();
    let messages = messaging.messages();
    println!("# Dead letters and stats");
    let letters = messages.dead_letters(&dead_letters_of(&[unpriced])).await?;
    let letter = letters.dead_letters.first().ok_or("there is no dead letter")?;
    shows(
        format!(
            "{}: {}, can retry: {}",
            letter.consumer_tag, letter.error, letter.can_retry
        ),
        "process-new-order: order unpriced has no price, can retry: true",
    )?;
    let broker = broker();
    let stats = messages.stats(&broker).await?;
    ensure(
        stats.total == stats.pending + stats.success + stats.failed + stats.partial,
        "each message is in one state",
    )?;
    shows(
        format!(
            "dead letters: {}, consumers: {}",
            stats.dead_letter_count, stats.consumer_count
        ),
        "dead letters: 1, consumers: 3",
    )?;
    let dashboard = messages.dashboard(&broker).await?;
    shows(
        format!(
            "{} days, {} hours, at most {} recent messages",
            dashboard.daily_activity.len(),
            dashboard.hourly_distribution.len(),
            dashboard.recent_messages.len().max(10)
        ),
        "30 days, 24 hours, at most 10 recent messages",
    )
}

async fn retry_and_fail(ductape: &Ductape, unpriced: &Message) -> Result<()> {
    let messaging = ductape.messaging();
    let messages = messaging.messages();
    println!("# A message tried again for one consumer; one given up");
    messages.retry(&unpriced.message_id, GROUP).await?;
    let again = until_it_is(ductape, &unpriced.message_id, DeliveryStatus::DeadLettered).await?;
    let mut deliveries = again.consumer_deliveries.iter();
    let redrives = deliveries
        .find(|one| one.consumer_tag == GROUP)
        .map(|one| one.redrive_count);
    shows(
        format!("given anew: {}", redrives.unwrap_or_default()),
        "given anew: 1",
    )?;
    let on_hold = OrderCreated {
        status: Some("on hold".to_owned()),
        ..order("on-hold", 99.99)
    };
    let waits = until_order_is(ductape, on_hold, DeliveryStatus::Retrying).await?;
    let failed = messages
        .fail(&waits.message_id, "given up by an operator")
        .await?;
    shows(failed.status, "partial")
}

pub(crate) fn broker() -> BrokerFilter {
    BrokerFilter {
        product: PRODUCT.to_owned(),
        env: ENV.to_owned(),
        broker_tag: "order-events".to_owned(),
    }
}

/// The dead letters of these messages.
pub(crate) fn dead_letters_of(messages: &[&Message]) -> DeadLetterFilter {
    DeadLetterFilter {
        product: PRODUCT.to_owned(),
        env: ENV.to_owned(),
        broker_tag: "order-events".to_owned(),
        message_ids: messages.iter().map(|one| one.message_id.clone()).collect(),
        ..DeadLetterFilter::default()
    }
}
