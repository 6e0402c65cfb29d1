//! Order and replay: messages of a key come as they were published, and a log can be read again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{in_order, keyed, numbered, payloads, text};
use crate::capability::{Capability, Order};
use crate::clock;
use crate::conformance::case::{Applies, Case, Failure, case, refused};
use crate::conformance::client::Client;
use crate::conformance::context::Context;
use crate::conformance::reader::{Reader, show};
use crate::conformance::refuse::{always, competing, holds_key, ordered, requeue, requeue_after, seek};
use crate::conformance_check as check;
use crate::error::ErrorKind;
use crate::message::{Position, TopicName};
use crate::provider::Settlement;
use crate::spec::{GroupSpec, Ordering, SeekTo};

const GROUP: &str = "order";

/// The cases of this file.
pub static CASES: &[Case] = &[
    case!("C-049", order_single, ordered),
    case!("C-050", order_per_key, ordered),
    case!("D-036", order_per_key_while_members_come_and_go, ordered_and_competing, Broker within 60 s),
    case!("C-051", key_reported, always),
    case!("C-052", order_under_retry_strict, holds_key),
    case!("D-030", order_under_retry_relaxed, requeue_after),
    case!("D-031", requeued_message_comes_before_later_ones, ordered_requeue),
    case!("D-032", returned_messages_keep_their_order, ordered),
    case!("D-033", one_key_does_not_hold_another, always),
    case!("C-060", seek_back, seek),
    case!("D-034", seek_to_time, seek),
    case!("D-035", seek_to_the_ends, seek),
];

fn ordered_and_competing(capability: &Capability) -> Applies {
    match competing(capability) {
        Applies::Runs => ordered(capability),
        refused @ Applies::Refused { .. } => refused,
    }
}

fn ordered_requeue(capability: &Capability) -> Applies {
    match requeue(capability) {
        Applies::Runs => ordered(capability),
        refused @ Applies::Refused { .. } => refused,
    }
}

async fn order_single(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    let mut messages = numbered(&topic, 1_000);
    if client.capability().order == Order::PerKey {
        messages = messages
            .into_iter()
            .map(|message| message.with_key("k"))
            .collect();
    }
    for chunk in messages.chunks(90) {
        client.publish(chunk.to_vec()).await?;
    }
    for (at, message) in reader.consume(1_000).await?.iter().enumerate() {
        check!(
            show(message) == at.to_string(),
            "message {:?} came where {at} was due",
            show(message)
        );
    }
    Ok(())
}

async fn order_per_key(context: Context) -> Result<(), Failure> {
    order_of_keys(context, 16, 62, 10).await
}

/// Who has unsettled deliveries of a key, and how far the key has come.
#[derive(Default)]
struct Lane {
    holder: usize,
    held: usize,
    next: usize,
}

async fn order_of_keys(context: Context, keys: usize, each: usize, members: usize) -> Result<(), Failure> {
    let (client, topic, group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    client.declare(&topic, &[&group]).await?;
    let lanes: Arc<Mutex<HashMap<String, Lane>>> = Arc::default();
    let (done, mut all_done) = tokio::sync::mpsc::channel(64);
    let mut running = tokio::task::JoinSet::new();
    // A provider without shared groups still has to keep the order for its one member.
    let members = if client.capability().groups { members } else { 1 };
    for member in 0..members {
        let mut reader = client.reader(&topic, &group).await?;
        let (lanes, done) = (Arc::clone(&lanes), done.clone());
        running.spawn(async move {
            loop {
                let mut batch = Vec::new();
                if reader.try_receive(&mut batch, 8).await.is_err() {
                    return;
                }
                for delivery in &batch {
                    let outcome = {
                        let mut lanes = lanes.lock().unwrap_or_else(PoisonError::into_inner);
                        arrived(&mut lanes, member, &show(&delivery.message))
                    };
                    if done.send(outcome).await.is_err() {
                        return;
                    }
                }
                tokio::task::yield_now().await;
                for delivery in batch {
                    let key = key_of(&show(&delivery.message)).to_owned();
                    {
                        // Before the ack: from then on another member may rightly receive the key.
                        let mut lanes = lanes.lock().unwrap_or_else(PoisonError::into_inner);
                        if let Some(lane) = lanes.get_mut(&key) {
                            lane.held = lane.held.saturating_sub(1);
                        }
                    }
                    if let Err(error) = reader.ack(delivery).await {
                        let _ = done.send(Err(error)).await;
                        return;
                    }
                }
            }
        });
    }
    // Four of a key in a row, so that a batch has several of it, then the next key.
    let numbers: Vec<usize> = (0..each).collect();
    let mut messages = Vec::with_capacity(keys * each);
    for four in numbers.chunks(4) {
        for key in 0..keys {
            for number in four {
                messages.push(keyed(
                    &topic,
                    &format!("key-{key}"),
                    &format!("key-{key}/{number}"),
                ));
            }
        }
    }
    for chunk in messages.chunks(100) {
        client.publish(chunk.to_vec()).await?;
    }
    let total = messages.len();
    for at in 0..total {
        match tokio::time::timeout(context.harness().patience(), all_done.recv()).await {
            Ok(Some(outcome)) => outcome?,
            Ok(None) => return Err(Failure::new("every member stopped")),
            Err(_) => return Err(Failure::new(format!("only {at} of {total} messages came"))),
        }
    }
    Ok(())
}

fn key_of(payload: &str) -> &str {
    payload.split_once('/').map_or(payload, |(key, _)| key)
}

fn arrived(lanes: &mut HashMap<String, Lane>, member: usize, payload: &str) -> Result<(), Failure> {
    let Some((key, number)) = payload.split_once('/') else {
        return Err(Failure::new(format!("{payload:?} was never sent")));
    };
    let lane = lanes.entry(key.to_owned()).or_default();
    check!(
        number == lane.next.to_string(),
        "{payload} came where number {} of its key was due",
        lane.next
    );
    check!(
        lane.held == 0 || lane.holder == member,
        "{payload} came to member {member} while member {} held an earlier one of its key",
        lane.holder
    );
    lane.holder = member;
    lane.held += 1;
    lane.next += 1;
    Ok(())
}

async fn key_reported(context: Context) -> Result<(), Failure> {
    key_is_reported(context).await
}

/// Messages come with the keys that they were published with, whether order is kept or not.
pub(in crate::conformance) async fn key_is_reported(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    client
        .publish(vec![
            keyed(&topic, "a", "a"),
            keyed(&topic, "order/\u{263a} 7", "order/\u{263a} 7"),
            text(&topic, "none"),
        ])
        .await?;
    for message in reader.consume(3).await? {
        let wanted = Some(show(&message)).filter(|payload| payload != "none");
        let came = message
            .key
            .as_deref()
            .map(|key| String::from_utf8_lossy(key).into_owned());
        check!(came == wanted, "the key {wanted:?} came as {came:?}");
    }
    Ok(())
}

async fn order_under_retry_strict(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    let sent = ["a/1", "a/2", "b/1", "a/3", "b/2"];
    client
        .publish(sent.map(|text| keyed(&topic, key_of(text), text)).to_vec())
        .await?;
    let mut came = Vec::new();
    let mut failures = 0;
    while came.len() < sent.len() {
        // One by one, so that nothing of the key is in hand when its message fails.
        let delivery = reader.next().await?;
        if show(&delivery.message) == "a/2" && failures < 2 {
            failures += 1;
            let after = Settlement::RequeueAfter(context.harness().delay());
            reader.settle(delivery.receipt, after).await?;
        } else {
            came.push(show(&delivery.message));
            reader.ack(delivery).await?;
        }
    }
    let of = |key: &str| {
        came.iter()
            .filter(|text| key_of(text) == key)
            .cloned()
            .collect::<Vec<_>>()
    };
    check!(
        of("a") == ["a/1", "a/2", "a/3"],
        "a/2 failed twice, and its key came as {:?}",
        of("a")
    );
    check!(
        came.iter().position(|text| text == "b/2") < came.iter().position(|text| text == "a/2"),
        "the other key waited for the one that failed: {came:?}"
    );
    check!(of("b") == ["b/1", "b/2"], "the other key came as {:?}", of("b"));
    Ok(())
}

async fn order_under_retry_relaxed(context: Context) -> Result<(), Failure> {
    let (client, topic, mut group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    group.ordering = Ordering::Relaxed;
    client.declare(&topic, &[&group]).await?;
    let mut reader = client.reader(&topic, &group).await?;
    passes(&context, &client, &mut reader, &topic).await
}

/// Where no key is held back, later messages pass the one that failed in any group.
pub(in crate::conformance) async fn later_messages_pass(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    passes(&context, &client, &mut reader, &topic).await
}

async fn passes(
    context: &Context,
    client: &Client,
    reader: &mut Reader,
    topic: &TopicName,
) -> Result<(), Failure> {
    client
        .publish(["a/1", "a/2", "a/3"].map(|text| keyed(topic, "a", text)).to_vec())
        .await?;
    let first = reader.next().await?;
    let failed = show(&first.message);
    reader
        .settle(
            first.receipt,
            Settlement::RequeueAfter(context.harness().delay() * 2),
        )
        .await?;
    let came = payloads(&reader.consume(3).await?);
    check!(
        came.last() == Some(&failed) && came.len() == 3,
        "{failed} failed and was to be passed by the others, but they came as {came:?}"
    );
    Ok(())
}

async fn requeued_message_comes_before_later_ones(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    let messages = (0..5).map(|i| keyed(&topic, "k", &i.to_string()));
    client.publish(messages.collect()).await?;
    let first = reader.next().await?;
    reader.settle(first.receipt, Settlement::Requeue).await?;
    let came = payloads(&reader.consume(5).await?);
    check!(
        came == ["0", "1", "2", "3", "4"],
        "the first was requeued, and its key came as {came:?}"
    );
    Ok(())
}

async fn returned_messages_keep_their_order(context: Context) -> Result<(), Failure> {
    let (client, topic, group, mut reader) = context.start().await?;
    let messages = (0..10).map(|i| keyed(&topic, "k", &i.to_string()));
    client.publish(messages.collect()).await?;
    reader.consume(2).await?;
    let held = reader.receive(4).await?;
    drop(held);
    reader.close().await?;
    let mut reader = client.reader(&topic, &group).await?;
    let came = payloads(&reader.consume(8).await?);
    let wanted: Vec<String> = (2..10).map(|i| i.to_string()).collect();
    check!(
        came == wanted,
        "what a closed subscription gave back came as {came:?}, not {wanted:?}"
    );
    Ok(())
}

async fn one_key_does_not_hold_another(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    client
        .publish(vec![
            keyed(&topic, "a", "a/1"),
            keyed(&topic, "b", "b/1"),
            text(&topic, "none"),
        ])
        .await?;
    let held = reader.take(3).await?;
    check!(
        held.len() == 3,
        "only {} of three keys came unsettled",
        held.len()
    );
    reader
        .settle_all(held.into_iter().map(|delivery| delivery.receipt), Settlement::Ack)
        .await
}

async fn seek_back(context: Context) -> Result<(), Failure> {
    let (client, topic, group, mut reader) = context.start().await?;
    let receipts = client.publish(in_order(&client, numbered(&topic, 6))).await?;
    let mut third: Option<Position> = None;
    for message in reader.consume(5).await? {
        if show(&message) == "2" {
            third = message.position;
        }
    }
    let Some(third) = third else {
        return Err(Failure::new(
            "a provider that can seek gave a message no position",
        ));
    };
    if let Some(Some(position)) = receipts.get(2).map(|receipt| receipt.position) {
        check!(
            position == third,
            "the receipt says that message 2 stands at {position:?}, its delivery {third:?}"
        );
    }
    let unsettled = reader.next().await?;
    seek_to(&client, &topic, &group, SeekTo::Position(third)).await?;
    let late = reader.try_settle(unsettled.receipt, Settlement::Ack).await;
    refused(
        late,
        ErrorKind::LeaseLost,
        "an ack of what was unsettled at the seek",
    )?;
    let came = payloads(&reader.consume(4).await?);
    check!(
        came == ["2", "3", "4", "5"],
        "after the seek to message 2 {came:?} came"
    );
    reader.silent("all from the position on were acked").await
}

async fn seek_to(client: &Client, topic: &TopicName, group: &GroupSpec, to: SeekTo) -> Result<(), Failure> {
    let sought = client.provider().seek_dyn(topic, &group.name, to).await;
    sought.map_err(|error| Failure::step(format!("seek to {to:?}"), &error))
}

async fn seek_to_time(context: Context) -> Result<(), Failure> {
    let (client, topic, group, mut reader) = context.start().await?;
    client.publish(in_order(&client, numbered(&topic, 3))).await?;
    // Brokers note the time in milliseconds.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let between = clock::wall();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let later = ["3", "4", "5"].map(|name| text(&topic, name));
    client.publish(in_order(&client, later.to_vec())).await?;
    reader.consume(6).await?;
    seek_to(&client, &topic, &group, SeekTo::Time(between)).await?;
    let came = payloads(&reader.consume(3).await?);
    check!(
        came == ["3", "4", "5"],
        "after the seek to the time between 2 and 3 {came:?} came"
    );
    reader.silent("all from the time on were acked").await
}

async fn seek_to_the_ends(context: Context) -> Result<(), Failure> {
    let (client, topic, group, mut reader) = context.start().await?;
    let other = context.group("other")?;
    client.declare(&topic, &[&other]).await?;
    client.publish(in_order(&client, numbered(&topic, 4))).await?;
    seek_to(&client, &topic, &group, SeekTo::Latest).await?;
    reader
        .silent("the group was set to the end after it was published")
        .await?;
    client
        .publish(in_order(&client, vec![text(&topic, "new")]))
        .await?;
    let came = payloads(&reader.consume(1).await?);
    check!(came == ["new"], "after the seek to the end {came:?} came");
    seek_to(&client, &topic, &group, SeekTo::Earliest).await?;
    let came = payloads(&reader.consume(5).await?);
    check!(
        came == ["0", "1", "2", "3", "new"],
        "after the seek to the beginning {came:?} came"
    );
    // Another group of the topic has its own place.
    let came = payloads(&client.reader(&topic, &other).await?.consume(5).await?);
    check!(came.len() == 5, "the other group received {came:?}");
    Ok(())
}

const KEYS: usize = 8;

/// Members join and leave while messages flow: what is acked of a key is acked in order, whoever acks it.
async fn order_per_key_while_members_come_and_go(context: Context) -> Result<(), Failure> {
    const EACH: usize = 40;
    let (client, topic, group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    client.declare(&topic, &[&group]).await?;
    let mut messages = Vec::with_capacity(KEYS * EACH);
    for i in 0..EACH {
        messages.extend((0..KEYS).map(|key| keyed(&topic, &format!("k{key}"), &format!("k{key}-{i}"))));
    }
    client.publish(messages).await?;
    let acked: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let mut steady = tokio::task::JoinSet::new();
    steady.spawn(acks_in_order(
        client.reader(&topic, &group).await?,
        Arc::clone(&acked),
        EACH / 2,
    ));
    for _ in 0..3 {
        let mut passing = client.reader(&topic, &group).await?;
        // What it has in hand when it leaves was not begun, and is given back.
        let mut into = Vec::new();
        let _ = tokio::time::timeout(context.harness().quiet(), passing.try_receive(&mut into, 4)).await;
        drop(into);
        passing.close().await?;
    }
    while let Some(done) = steady.join_next().await {
        done.map_err(|error| Failure::new(format!("a member panicked: {error}")))??;
    }
    let rest = acks_in_order(client.reader(&topic, &group).await?, Arc::clone(&acked), EACH);
    rest.await?;
    let acked = acked.lock().unwrap_or_else(PoisonError::into_inner);
    check!(
        acked.len() == KEYS && acked.values().all(|next| *next == EACH),
        "{EACH} of each of {KEYS} keys were published, and acked were {acked:?}"
    );
    Ok(())
}

/// Acks one by one, until every key has come as far as `until`.
async fn acks_in_order(
    mut reader: Reader,
    acked: Arc<Mutex<HashMap<String, usize>>>,
    until: usize,
) -> Result<(), Failure> {
    loop {
        {
            let acked = acked.lock().unwrap_or_else(PoisonError::into_inner);
            if acked.len() == KEYS && acked.values().all(|next| *next >= until) {
                break;
            }
        }
        // Enough to hold two messages of a key.
        for delivery in reader.receive(2 * KEYS).await? {
            let name = show(&delivery.message);
            let (key, i) = name
                .split_once('-')
                .and_then(|(key, i)| Some((key.to_owned(), i.parse::<usize>().ok()?)))
                .ok_or_else(|| Failure::new(format!("{name:?} was not published")))?;
            reader.ack(delivery).await?;
            let mut acked = acked.lock().unwrap_or_else(PoisonError::into_inner);
            let next = acked.entry(key.clone()).or_default();
            check!(i <= *next, "message {i} of {key} was acked when {next} was due");
            *next = (*next).max(i + 1);
        }
    }
    reader.close().await
}
