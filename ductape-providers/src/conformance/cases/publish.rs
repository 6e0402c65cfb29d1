//! Publish and receive: what is confirmed arrives, as it was, where it belongs, and nowhere else.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::{numbered, payloads, sorted, text};
use crate::clock;
use crate::conformance::case::{Case, Failure, case, refused};
use crate::conformance::context::Context;
use crate::conformance::refuse::always;
use crate::conformance_check as check;
use crate::error::ErrorKind;
use crate::headers::Headers;
use crate::message::{MessageId, Outgoing};
use crate::provider::{PublishSlot, Settlement};
use crate::spec::SubscriptionSpec;

const GROUP: &str = "publish";

/// The cases of this file.
pub static CASES: &[Case] = &[
    case!("C-001", publish_subscribe_100, always),
    case!("C-002", json_body, always),
    case!("C-003", non_utf8_body, always),
    case!("C-004", weird_metadata, always),
    case!("D-001", weird_header_names_are_refused, always),
    case!("D-002", header_limits, always),
    case!("C-005", empty_body, always),
    case!("D-003", an_id_from_elsewhere_is_kept, always),
    case!("C-008", topics_isolated, always),
    case!("C-012", unsubscribed_topic_silent, always),
    case!("C-013", bulk_publish, always),
    case!("C-014", bulk_publish_chunking, always),
    case!("C-015", oversized_rejected_before_send, always),
    case!("D-004", one_refused_slot_leaves_the_others, always),
    case!("D-005", a_dropped_publish_does_no_harm, always),
    case!("C-016", batch_consume, always),
    case!("D-006", receive_returns_at_most_its_limit, always),
    case!("C-020", dynamic_topic, always),
    case!("C-088", missing_topic_send, always),
];

async fn publish_subscribe_100(context: Context) -> Result<(), Failure> {
    let (client, topic, group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    client.declare(&topic, &[&group]).await?;
    let mut sent: HashMap<MessageId, Outgoing> = HashMap::new();
    for (i, mut message) in numbered(&topic, 100).into_iter().enumerate() {
        message.headers.insert("number", i.to_string());
        message.headers.insert("tenant", "acme");
        sent.insert(message.id.clone(), message);
    }
    client.publish(sent.values().cloned().collect()).await?;

    let mut reader = client.reader(&topic, &group).await?;
    for message in reader.consume(100).await? {
        let Some(was) = sent.remove(&message.id) else {
            return Err(Failure::new(format!(
                "message {} came that was not sent, or twice",
                message.id
            )));
        };
        check!(
            message.topic == topic,
            "message {} came from {}",
            message.id,
            message.topic
        );
        check!(
            message.payload == was.payload,
            "the payload of {} is {:?}, not {:?}",
            message.id,
            message.payload,
            was.payload
        );
        check!(
            message.headers == was.headers,
            "the headers of {} are {:?}, not {:?}",
            message.id,
            message.headers,
            was.headers
        );
        check!(message.key.is_none(), "message {} has a key", message.id);
        let came = message.published_at.map(clock::to_millis);
        let went = clock::to_millis(was.published_at);
        check!(
            came == Some(went),
            "message {} was produced at {went}, but came with {came:?}",
            message.id
        );
    }
    reader.silent("all 100 were received").await
}

async fn arrives_as_it_was(context: Context, payload: &[u8]) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    let message = Outgoing::new(topic, Bytes::copy_from_slice(payload));
    client.publish(vec![message]).await?;
    let delivery = reader.next().await?;
    let message = reader.ack(delivery).await?;
    check!(
        message.payload == payload,
        "{} bytes were sent, and came as {:?}",
        payload.len(),
        message.payload
    );
    Ok(())
}

async fn json_body(context: Context) -> Result<(), Failure> {
    arrives_as_it_was(context, br#"{"Foo":"Bar"}"#).await
}

async fn non_utf8_body(context: Context) -> Result<(), Failure> {
    let mut body: Vec<u8> = (0..=u8::MAX).collect();
    body.extend_from_slice(b"\xff\xfe\x00\xc3\x28 / \\ \" .. \r\n\0");
    body.extend_from_slice("\u{263a}\u{feff}".as_bytes());
    arrives_as_it_was(context, &body).await
}

async fn empty_body(context: Context) -> Result<(), Failure> {
    arrives_as_it_was(context, b"").await
}

async fn weird_metadata(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    let ascii: String = (0..128u8).map(char::from).collect();
    let values = [
        "",
        " ",
        "a/b\\c\"d'e..",
        "\u{263a} \u{1f980}",
        "\r\nx: y",
        "null",
        &ascii,
    ];
    let mut message = text(&topic, "weird").with_key((0..=u8::MAX).collect::<Bytes>());
    for (i, value) in values.into_iter().enumerate() {
        message.headers.insert(format!("h{i}"), value);
    }
    for name in ["a-b_c.d", "0", "ce_id", "content-type", "traceparent"] {
        message.headers.insert(name, name);
    }
    client.publish(vec![message.clone()]).await?;
    let delivery = reader.next().await?;
    let came = reader.ack(delivery).await?;
    for (name, value) in message.headers.iter() {
        check!(
            came.headers.get(name) == Some(value),
            "header `{name}` went as {value:?} and came as {:?}",
            came.headers.get(name)
        );
    }
    check!(
        came.headers.len() == message.headers.len(),
        "there are headers that were not sent: {:?}",
        came.headers
    );
    check!(
        came.key == message.key,
        "the key of all 256 bytes came as {:?}",
        came.key
    );
    Ok(())
}

async fn weird_header_names_are_refused(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    for name in ["", "Upper", "a b", "a/b", "a\"b", "a:b", "a\nb", "\u{263a}", "\0"] {
        let mut message = text(&topic, "refused");
        message.headers.insert(name, "value");
        let answer = client.try_publish_one(message).await;
        let error = refused(answer, ErrorKind::HeaderInvalid, format!("header name {name:?}"))?;
        check!(
            !error.is_indeterminate(),
            "header name {name:?}: the message may have been stored: {error}"
        );
    }
    reader.silent("every publish was refused").await
}

async fn header_limits(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    let with = |count: usize, value: usize| {
        let mut message = text(&topic, &format!("{count} of {value}"));
        message.headers = (0..count).map(|i| (format!("h{i}"), "v".repeat(value))).collect();
        message
    };
    for (count, value) in [
        (Headers::COUNT_MAX + 1, 1),
        (1, Headers::VALUE_LEN_MAX + 1),
        (5, Headers::TOTAL_LEN_MAX / 5),
    ] {
        let step = format!("{count} headers of {value} bytes");
        let answer = client.try_publish_one(with(count, value)).await;
        refused(answer, ErrorKind::HeaderInvalid, step)?;
    }
    let most = with(Headers::COUNT_MAX, 400);
    let longest = with(1, Headers::VALUE_LEN_MAX);
    client.publish(vec![most.clone(), longest.clone()]).await?;
    for message in reader.consume(2).await? {
        let was = if message.id == most.id { &most } else { &longest };
        check!(
            message.headers == was.headers,
            "{} headers came of {} that were sent",
            message.headers.len(),
            was.headers.len()
        );
    }
    Ok(())
}

async fn an_id_from_elsewhere_is_kept(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    let ids = [
        "order-7",
        "67E55044-10B1-426F-9247-BB680E5FE0C8",
        "a b/c:\u{263a}",
    ];
    let mut sent = Vec::new();
    for id in ids {
        let mut message = text(&topic, id);
        message.id = MessageId::from_text(id);
        sent.push(message);
    }
    client.publish(sent).await?;
    for message in reader.consume(ids.len()).await? {
        let was = String::from_utf8_lossy(&message.payload);
        check!(
            message.id.to_string() == was,
            "the id {was:?} came as `{}`",
            message.id
        );
    }
    Ok(())
}

async fn topics_isolated(context: Context) -> Result<(), Failure> {
    let client = context.connect().await?;
    let (one, two, group) = (context.topic("one")?, context.topic("two")?, context.group("g")?);
    client.declare(&one, &[&group]).await?;
    client.declare(&two, &[&group]).await?;
    let mut first = client.reader(&one, &group).await?;
    let mut second = client.reader(&two, &group).await?;
    client.publish(vec![text(&one, "one"), text(&two, "two")]).await?;
    for (reader, wanted) in [(&mut first, "one"), (&mut second, "two")] {
        let came = payloads(&reader.consume(1).await?);
        check!(came == [wanted], "the reader of `{wanted}` received {came:?}");
    }
    first.silent("it belongs to the other topic").await?;
    second.silent("it belongs to the other topic").await
}

async fn unsubscribed_topic_silent(context: Context) -> Result<(), Failure> {
    let (client, _topic, _group, mut reader) = context.start().await?;
    let other = context.topic("unread")?;
    client.declare(&other, &[]).await?;
    client.publish(numbered(&other, 5)).await?;
    reader.silent("it belongs to a topic that nobody reads").await
}

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

async fn dynamic_topic(context: Context) -> Result<(), Failure> {
    let client = context.connect().await?;
    let group = context.group("g")?;
    for tag in ["tenant-1", "tenant-2"] {
        let topic = context.topic(tag)?;
        client.declare(&topic, &[&group]).await?;
        client.publish(vec![text(&topic, tag)]).await?;
        let came = payloads(&client.reader(&topic, &group).await?.consume(1).await?);
        check!(came == [tag], "the topic of `{tag}` gave {came:?}");
    }
    check!(
        context.topic("Tenant 3").is_err(),
        "`Tenant 3` was taken for the name of a topic"
    );
    Ok(())
}

async fn missing_topic_send(context: Context) -> Result<(), Failure> {
    let (client, topic) = (context.connect().await?, context.topic("missing")?);
    let answer = client.try_publish_one(text(&topic, "lost")).await;
    let error = refused(answer, ErrorKind::TopicMissing, "publish to an undeclared topic")?;
    check!(
        !error.is_indeterminate(),
        "the message may have been stored: {error}"
    );
    Ok(())
}
