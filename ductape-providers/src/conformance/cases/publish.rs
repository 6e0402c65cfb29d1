//! Publish and receive: what is confirmed arrives, as it was, where it belongs, and nowhere else.

use std::collections::HashMap;

use bytes::Bytes;

use super::{numbered, payloads, text};
use crate::clock;
use crate::conformance::case::{Case, Failure, case, refused};
use crate::conformance::context::Context;
use crate::conformance::refuse::always;
use crate::conformance_check as check;
use crate::error::ErrorKind;
use crate::headers::Headers;
use crate::message::{MessageId, Outgoing};

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

async fn dynamic_topic(context: Context) -> Result<(), Failure> {
    let (client, group) = (context.connect().await?, context.group("g")?);
    let tags = ["tenant-1", "tenant-2", "tenant-3"];
    let mut readers = Vec::new();
    for tag in tags {
        let topic = context.topic(tag)?;
        client.declare(&topic, &[&group]).await?;
        readers.push((tag, client.reader(&topic, &group).await?));
        client.publish(vec![text(&topic, tag)]).await?;
    }
    for (tag, mut reader) in readers {
        let came = payloads(&reader.consume(1).await?);
        check!(came == [tag], "the topic of `{tag}` gave {came:?}");
        reader.silent("it belongs to another topic").await?;
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
