//! Batches: each message of one has its own outcome, and no limit is passed.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::timeout;

use super::{numbered, sorted, text};
use crate::conformance::case::{Case, Failure, case, refused};
use crate::conformance::context::Context;
use crate::conformance::refuse::always;
use crate::conformance_check as check;
use crate::error::ErrorKind;
use crate::message::{MessageId, Outgoing};
use crate::provider::{PublishSlot, Settlement};
use crate::spec::SubscriptionSpec;

const GROUP: &str = "batches";

/// The cases of this file.
pub static CASES: &[Case] = &[
    case!("C-013", bulk_publish, always),
    case!("C-014", bulk_publish_chunking, always),
    case!("C-015", oversized_rejected_before_send, always),
    case!("D-004", one_refused_slot_leaves_the_others, always),
    case!("D-005", a_dropped_publish_does_no_harm, always),
    case!("C-016", batch_consume, always),
    case!("D-006", receive_returns_at_most_its_limit, always),
];

async fn bulk_publish(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    client.publish(numbered(&topic, 10)).await?;
    let came = sorted(&reader.consume(10).await?);
    let sent: Vec<String> = (0..10).map(|i| i.to_string()).collect();
    check!(came == sent, "ten were published in one call, and {came:?} came");
    reader.silent("all ten were received").await
}

async fn bulk_publish_chunking(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    // Over the provider's own limit where that is a number of messages; a large number all the same where it is not.
    let limit = client.capability().publish_batch_max.get();
    let count = limit.saturating_mul(2).saturating_add(5).min(5_000);
    let receipts = client.publish(numbered(&topic, count)).await?;
    check!(
        receipts.len() == count,
        "{count} were published, {} confirmed",
        receipts.len()
    );
    let mut seen = vec![false; count];
    for message in reader.consume(count).await? {
        let at = String::from_utf8_lossy(&message.payload).parse::<usize>().ok();
        let Some(seen) = at.and_then(|at| seen.get_mut(at)) else {
            return Err(Failure::new(format!("{:?} was never sent", message.payload)));
        };
        check!(!*seen, "message {:?} came twice", message.payload);
        *seen = true;
    }
    Ok(())
}

async fn oversized_rejected_before_send(context: Context) -> Result<(), Failure> {
    // Up to here the payload at the limit is sent as well; beyond it the refusal alone is shown.
    const SENT_MAX: usize = 64 << 20;
    let (client, topic, _group, mut reader) = context.start().await?;
    let limit = client.capability().payload_bytes_max;
    let Some(over) = limit.checked_add(1).filter(|over| *over <= 4 << 30) else {
        return Err(Failure::new(format!(
            "payload_bytes_max is {limit}, which limits nothing"
        )));
    };
    let answer = client
        .try_publish_one(Outgoing::new(topic.clone(), vec![0; over]))
        .await;
    let error = refused(
        answer,
        ErrorKind::PayloadTooLarge,
        format!("a payload of {over} bytes"),
    )?;
    check!(
        !error.is_indeterminate() && !error.is_temporary(),
        "the error says that the message may be stored, or that trying again helps: {error}"
    );
    check!(
        error.to_string().contains(&limit.to_string()),
        "the error does not name the limit of {limit} bytes: {error}"
    );
    reader.silent("its publish was refused").await?;
    if limit <= SENT_MAX {
        let sent = Outgoing::new(topic, vec![b'x'; limit]);
        client.publish(vec![sent]).await?;
        let delivery = reader.next().await?;
        let came = reader.ack(delivery).await?;
        check!(
            came.payload.len() == limit && came.payload.iter().all(|b| *b == b'x'),
            "a payload at the limit of {limit} bytes came as one of {}",
            came.payload.len()
        );
    }
    Ok(())
}

async fn one_refused_slot_leaves_the_others(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    let too_large = client.capability().payload_bytes_max.saturating_add(1);
    let mut messages = numbered(&topic, 6);
    messages[1].payload = vec![0; too_large].into();
    messages[2].headers.insert("Not Allowed", "x");
    messages[4].topic = context.topic("missing")?;
    let mut slots: Vec<PublishSlot> = messages.into_iter().map(PublishSlot::new).collect();
    client.provider().publish_dyn(&mut slots).await;
    let answers: Vec<Option<ErrorKind>> = slots
        .iter()
        .map(|slot| match &slot.outcome {
            Some(Ok(_)) => None,
            Some(Err(error)) => Some(error.kind()),
            None => Some(ErrorKind::Unexpected),
        })
        .collect();
    let wanted = [
        None,
        Some(ErrorKind::PayloadTooLarge),
        Some(ErrorKind::HeaderInvalid),
        None,
        Some(ErrorKind::TopicMissing),
        None,
    ];
    check!(answers == wanted, "the slots answer {answers:?}, not {wanted:?}");
    let came = sorted(&reader.consume(3).await?);
    check!(came == ["0", "3", "5"], "{came:?} came");
    reader.silent("its slot was refused").await
}

async fn a_dropped_publish_does_no_harm(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    for round in 0..20u64 {
        let mut slots: Vec<PublishSlot> = numbered(&topic, 10).into_iter().map(PublishSlot::new).collect();
        // Dropped after its first poll, or a little later; what became of its messages is unknown.
        let publish = client.provider().publish_dyn(&mut slots);
        let _ = timeout(Duration::from_micros(round * 50), publish).await;
    }
    client.publish(vec![text(&topic, "last")]).await?;
    let mut came: HashMap<MessageId, usize> = HashMap::new();
    loop {
        let delivery = reader.next().await?;
        let message = reader.ack(delivery).await?;
        let count = came.entry(message.id).or_default();
        *count += 1;
        check!(*count == 1, "a message of a dropped publish came {count} times");
        if message.payload == "last" {
            return Ok(());
        }
        check!(
            came.len() <= 200,
            "more messages came than were published: {}",
            came.len()
        );
    }
}

async fn receive_returns_at_most_its_limit(context: Context) -> Result<(), Failure> {
    let (client, topic, group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    client.declare(&topic, &[&group]).await?;
    let limit = client.capability().receive_batch_max.get();
    // A limit that is too large to be reached here is shown by what does come.
    let count = limit.saturating_add(10).min(3_000);
    client.publish(numbered(&topic, count)).await?;
    let mut spec = SubscriptionSpec::new(topic, group);
    spec.prefetch = spec.prefetch.saturating_add(count);
    let mut reader = client.reader_of(&spec).await?;
    let mut came = 0;
    while came < count {
        let batch = reader.receive(usize::MAX).await?;
        check!(
            batch.len() <= limit,
            "one receive returned {} deliveries; receive_batch_max is {limit}",
            batch.len()
        );
        came += batch.len();
        let receipts = batch.into_iter().map(|delivery| delivery.receipt);
        reader.settle_all(receipts, Settlement::Ack).await?;
    }
    check!(came == count, "{count} were published, {came} came");
    Ok(())
}

async fn batch_consume(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    client
        .publish(
            numbered(&topic, 12)
                .into_iter()
                .map(|m| m.with_key("k"))
                .collect(),
        )
        .await?;
    let ordered = client.capability().order != crate::capability::Order::None;
    let mut came = Vec::new();
    while came.len() < 12 {
        // Asserts that at most six come.
        let batch = reader.receive(6).await?;
        let numbers: Vec<usize> = batch
            .iter()
            .filter_map(|delivery| String::from_utf8_lossy(&delivery.message.payload).parse().ok())
            .collect();
        check!(
            !ordered || numbers.is_sorted(),
            "a batch came out of order: {numbers:?}"
        );
        came.extend(numbers);
        // Each by itself, in the order in which handlers may well end.
        for delivery in batch.into_iter().rev() {
            reader.ack(delivery).await?;
        }
    }
    came.sort_unstable();
    check!(
        came == (0..12).collect::<Vec<_>>(),
        "twelve were published, {came:?} came"
    );
    reader.silent("all twelve were acked").await
}
