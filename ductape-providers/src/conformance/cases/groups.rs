//! Groups: each gets every message once, its members share them, and nothing more is in hand than was asked for.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{in_order, keyed, numbered, payloads, sorted, text};
use crate::clock;
use crate::conformance::case::{Case, Failure, case, refused};
use crate::conformance::context::Context;
use crate::conformance::reader::{Reader, show};
use crate::conformance::refuse::{always, backlog, competing, earliest, ephemeral, route};
use crate::conformance_check as check;
use crate::error::ErrorKind;
use crate::message::{Outgoing, Route};
use crate::provider::Backlog;
use crate::spec::{GroupSpec, Ordering, Start, SubscriptionSpec};

const GROUP: &str = "groups";

/// The cases of this file.
pub static CASES: &[Case] = &[
    case!("C-011", concurrent_subscribers, competing),
    case!("C-054", two_groups_all, always),
    case!("C-055", competing_consumers, competing),
    case!("C-056", anonymous_group, ephemeral),
    case!("D-040", anonymous_groups_are_apart, ephemeral),
    case!("C-057", required_group_first, always),
    case!("C-058", backlog_declared, always),
    case!("C-059", start_latest_default, always),
    case!("D-041", start_earliest_option, earliest),
    case!("D-042", route_to_group_reaches_one_group, route),
    case!("D-043", route_to_group_keeps_the_message, route),
    case!("D-044", backlog_counts, backlog),
    case!("D-045", backlog_is_of_one_group, backlog),
    case!("C-102", stop_one_of_two, always),
    case!("C-104", prefetch_limit, always),
    case!("D-046", prefetch_is_per_subscription, competing),
];

/// Lets every reader receive and ack until `total` messages came to them together; the count of each payload.
async fn consume_together(
    context: &Context,
    readers: Vec<Reader>,
    total: usize,
) -> Result<HashMap<String, usize>, Failure> {
    let (came, mut coming) = tokio::sync::mpsc::channel(256);
    let mut running = JoinSet::new();
    for mut reader in readers {
        let came = came.clone();
        running.spawn(async move {
            loop {
                let mut batch = Vec::new();
                if let Err(error) = reader.try_receive(&mut batch, 64).await {
                    let _ = came.send(Err(Failure::step("receive", &error))).await;
                    return;
                }
                for delivery in batch {
                    let acked = reader.ack(delivery).await;
                    if came.send(acked.map(|message| show(&message))).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
    let mut counts: HashMap<String, usize> = HashMap::new();
    for at in 0..total {
        match timeout(context.harness().patience(), coming.recv()).await {
            Ok(Some(payload)) => *counts.entry(payload?).or_default() += 1,
            Ok(None) => return Err(Failure::new("every reader stopped")),
            Err(_) => return Err(Failure::new(format!("only {at} of {total} messages came"))),
        }
    }
    match timeout(Duration::from_millis(100), coming.recv()).await {
        Ok(Some(Ok(payload))) => Err(Failure::new(format!(
            "{payload} came beyond the {total} messages"
        ))),
        _ => Ok(counts),
    }
}

fn each_once(counts: &HashMap<String, usize>, total: usize) -> Result<(), Failure> {
    let again: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).take(5).collect();
    check!(
        again.is_empty() && counts.len() == total,
        "{} of {total} messages came; several times: {again:?}",
        counts.len()
    );
    Ok(())
}

async fn concurrent_subscribers(context: Context) -> Result<(), Failure> {
    const TOTAL: usize = 5_000;
    let (client, topic, mut group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    // Some brokers keep a strict order by letting one member read at a time.
    group.ordering = Ordering::Relaxed;
    client.declare(&topic, &[&group]).await?;
    let mut readers = Vec::new();
    for _ in 0..50 {
        readers.push(client.reader(&topic, &group).await?);
    }
    let publishing = {
        let topic = topic.clone();
        tokio::spawn(async move {
            for chunk in numbered(&topic, TOTAL).chunks(250) {
                client.publish(chunk.to_vec()).await?;
            }
            Ok::<(), Failure>(())
        })
    };
    let counts = consume_together(&context, readers, TOTAL).await;
    match publishing.await {
        Ok(published) => published?,
        Err(error) => return Err(Failure::new(format!("the publisher stopped: {error}"))),
    }
    each_once(&counts?, TOTAL)
}

async fn two_groups_all(context: Context) -> Result<(), Failure> {
    let (client, topic) = (context.connect().await?, context.topic("t")?);
    let groups = [context.group("a")?, context.group("b")?];
    client.declare(&topic, &[&groups[0], &groups[1]]).await?;
    client.publish(numbered(&topic, 50)).await?;
    for group in &groups {
        let mut reader = client.reader(&topic, group).await?;
        let came: HashSet<String> = payloads(&reader.consume(50).await?).into_iter().collect();
        check!(
            came.len() == 50,
            "group {} received {} of 50 messages",
            group.name,
            came.len()
        );
        reader.silent("its group received all 50").await?;
    }
    Ok(())
}

async fn competing_consumers(context: Context) -> Result<(), Failure> {
    let (client, topic, group, reader) = context.start().await?;
    // The second member stands for another process.
    let second = context.connect().await?.reader(&topic, &group).await?;
    client.publish(numbered(&topic, 200)).await?;
    each_once(&consume_together(&context, vec![reader, second], 200).await?, 200)
}

fn own(mut group: GroupSpec) -> GroupSpec {
    group.ephemeral = true;
    group
}

async fn anonymous_group(context: Context) -> Result<(), Failure> {
    let (client, topic) = (context.connect().await?, context.topic("t")?);
    client.declare(&topic, &[]).await?;
    client.publish(vec![text(&topic, "old")]).await?;
    let group = own(context.group("own")?);
    client.declare(&topic, &[&group]).await?;
    let mut reader = client.reader(&topic, &group).await?;
    client.publish(vec![text(&topic, "new")]).await?;
    let came = payloads(&reader.consume(1).await?);
    check!(
        came == ["new"],
        "a group of its own, declared later, received {came:?}"
    );
    client.publish(vec![text(&topic, "in hand")]).await?;
    let held = reader.next().await?;
    reader.close().await?;
    drop(held);
    client.publish(vec![text(&topic, "between")]).await?;
    // One of the same name that comes later is another.
    client.declare(&topic, &[&group]).await?;
    let mut reader = client.reader(&topic, &group).await?;
    client.publish(vec![text(&topic, "newest")]).await?;
    let came = payloads(&reader.consume(1).await?);
    check!(
        came == ["newest"],
        "an ephemeral group that was closed and declared again received {came:?}"
    );
    Ok(())
}

async fn anonymous_groups_are_apart(context: Context) -> Result<(), Failure> {
    let (client, topic) = (context.connect().await?, context.topic("t")?);
    let (one, two) = (own(context.group("one")?), own(context.group("two")?));
    client.declare(&topic, &[&one]).await?;
    client.declare(&topic, &[&two]).await?;
    let mut first = client.reader(&topic, &one).await?;
    let mut second = client.reader(&topic, &two).await?;
    client.publish(numbered(&topic, 10)).await?;
    first.consume(10).await?;
    first.close().await?;
    // The end of one is not the end of the other, and its messages are not shared.
    let came = second.consume(10).await?;
    check!(came.len() == 10, "the other group received {}", came.len());
    second.silent("its group received all ten").await
}

async fn required_group_first(context: Context) -> Result<(), Failure> {
    let (client, topic, group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    client.declare(&topic, &[&group]).await?;
    client.publish(numbered(&topic, 10)).await?;
    client.close().await?;
    let later = context.connect().await?;
    let came = sorted(&later.reader(&topic, &group).await?.consume(10).await?);
    check!(
        came.len() == 10,
        "of ten messages before the first subscription {came:?} came"
    );
    Ok(())
}

async fn backlog_declared(context: Context) -> Result<(), Failure> {
    let (client, topic, group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    let early = context.group("early")?;
    client.declare(&topic, &[&early]).await?;
    client.publish(vec![text(&topic, "before")]).await?;
    client.declare(&topic, &[&group]).await?;
    client.publish(vec![text(&topic, "after")]).await?;
    let came = sorted(&client.reader(&topic, &early).await?.consume(2).await?);
    check!(
        came == ["after", "before"],
        "the group that was declared first received {came:?}"
    );
    let mut reader = client.reader(&topic, &group).await?;
    let came = payloads(&reader.consume(1).await?);
    check!(
        came == ["after"],
        "the group that was declared between received {came:?}"
    );
    reader
        .silent("it was published before the group was declared")
        .await
}

async fn start_latest_default(context: Context) -> Result<(), Failure> {
    let (client, topic) = (context.connect().await?, context.topic("t")?);
    client.declare(&topic, &[]).await?;
    client.publish(numbered(&topic, 3)).await?;
    let group = context.group("new")?;
    check!(
        group.start == Start::Latest,
        "a new group begins at {:?} unless it says otherwise",
        group.start
    );
    client.declare(&topic, &[&group]).await?;
    let mut reader = client.reader(&topic, &group).await?;
    reader
        .silent("it was published before the group was declared")
        .await
}

async fn start_earliest_option(context: Context) -> Result<(), Failure> {
    let (client, topic) = (context.connect().await?, context.topic("t")?);
    client.declare(&topic, &[]).await?;
    client.publish(in_order(&client, numbered(&topic, 3))).await?;
    let mut group = context.group("new")?;
    group.start = Start::Earliest;
    client.declare(&topic, &[&group]).await?;
    client.publish(in_order(&client, vec![text(&topic, "3")])).await?;
    let mut reader = client.reader(&topic, &group).await?;
    let came = payloads(&reader.consume(4).await?);
    check!(
        came == ["0", "1", "2", "3"],
        "a group from the earliest received {came:?}"
    );
    // Declared again, it stays where it is.
    client.declare(&topic, &[&group]).await?;
    reader.silent("the group had consumed it before").await
}

async fn route_to_group_reaches_one_group(context: Context) -> Result<(), Failure> {
    let (client, topic) = (context.connect().await?, context.topic("t")?);
    let (one, two) = (context.group("one")?, context.group("two")?);
    client.declare(&topic, &[&one, &two]).await?;
    let mut first = client.reader(&topic, &one).await?;
    let mut second = client.reader(&topic, &two).await?;
    let alone = text(&topic, "to one").with_route(Route::Group(one.name.clone()));
    client.publish(vec![alone]).await?;
    let came = payloads(&first.consume(1).await?);
    check!(came == ["to one"], "the group received {came:?}");
    second.silent("it was sent to the other group alone").await?;
    first.silent("it was acked").await
}

async fn route_to_group_keeps_the_message(context: Context) -> Result<(), Failure> {
    let (client, topic, group, mut reader) = context.start().await?;
    let mut message = text(&topic, "sent again").with_key("k");
    message.headers.insert("attempt", "2");
    client.publish(vec![message.clone()]).await?;
    let first = reader.consume(1).await?.remove(0);
    client
        .publish(vec![first.to_outgoing(Route::Group(group.name))])
        .await?;
    let again = reader.consume(1).await?.remove(0);
    check!(
        (&again.id, &again.key, &again.headers, &again.payload)
            == (&message.id, &message.key, &message.headers, &message.payload),
        "{message:?} was received and sent to its group again, and came as {again:?}"
    );
    Ok(())
}

async fn backlog_counts(context: Context) -> Result<(), Failure> {
    let (client, topic, group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    client.declare(&topic, &[&group]).await?;
    let mut messages = numbered(&topic, 6);
    let mut expected = Backlog {
        ready: 4,
        delayed: 0,
        in_flight: 2,
        dead_letters: 1,
    };
    if client.capability().publish_delay_max.is_some() {
        let mut later = text(&topic, "later");
        later.not_before = clock::wall().checked_add(Duration::from_mins(1));
        messages.push(later);
        expected.delayed = 1;
    }
    messages.push(text(&topic, "dead").with_route(Route::DeadLetters(group.name.clone())));
    client.publish(messages).await?;
    let mut spec = SubscriptionSpec::new(topic.clone(), group.clone());
    spec.prefetch = NonZeroUsize::MIN.saturating_add(1);
    let mut reader = client.reader_of(&spec).await?;
    let held = reader.take(2).await?;
    client
        .backlog_becomes(&topic, &group, expected, "two of the messages are in hand")
        .await?;
    for delivery in held {
        reader.ack(delivery).await?;
    }
    reader.consume(4).await?;
    (expected.ready, expected.in_flight) = (0, 0);
    client
        .backlog_becomes(&topic, &group, expected, "all that was due was acked")
        .await
}

async fn backlog_is_of_one_group(context: Context) -> Result<(), Failure> {
    let (client, topic, group, mut reader) = context.start().await?;
    let other = context.group("other")?;
    client.declare(&topic, &[&other]).await?;
    client.publish(numbered(&topic, 3)).await?;
    reader.consume(3).await?;
    let acked = Backlog::default();
    client
        .backlog_becomes(&topic, &group, acked, "one group acked all three")
        .await?;
    let unread = Backlog { ready: 3, ..acked };
    client
        .backlog_becomes(&topic, &other, unread, "the other group read nothing")
        .await?;
    let missing = context.group("missing")?;
    let answer = client.provider().backlog_dyn(&topic, &missing.name).await;
    refused(
        answer,
        ErrorKind::GroupMissing,
        "the backlog of an undeclared group",
    )
    .map(drop)
}

async fn stop_one_of_two(context: Context) -> Result<(), Failure> {
    let client = context.connect().await?;
    let (one, two, group) = (context.topic("one")?, context.topic("two")?, context.group("g")?);
    client.declare(&one, &[&group]).await?;
    client.declare(&two, &[&group]).await?;
    let mut first = client.reader(&one, &group).await?;
    let mut second = client.reader(&two, &group).await?;
    client.publish(vec![text(&one, "0"), text(&two, "0")]).await?;
    first.consume(1).await?;
    second.consume(1).await?;
    first.close().await?;
    let both: Vec<Outgoing> = [&one, &two]
        .into_iter()
        .flat_map(|topic| numbered(topic, 5))
        .collect();
    client.publish(both).await?;
    second.consume(5).await?;
    let kept = sorted(&client.reader(&one, &group).await?.consume(5).await?);
    check!(
        kept.len() == 5,
        "the stopped reader's topic kept {kept:?} of five messages"
    );
    Ok(())
}

async fn prefetch_limit(context: Context) -> Result<(), Failure> {
    let (client, topic, group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    client.declare(&topic, &[&group]).await?;
    client.publish(numbered(&topic, 20)).await?;
    let mut spec = SubscriptionSpec::new(topic, group);
    spec.prefetch = NonZeroUsize::MIN.saturating_add(4);
    let mut reader = client.reader_of(&spec).await?;
    let mut held = reader.receive(20).await?;
    while held.len() < 5 {
        held.extend(reader.receive(20).await?);
    }
    check!(
        held.len() == 5,
        "{} deliveries are unsettled with a prefetch of 5",
        held.len()
    );
    reader.silent("five are unsettled, and the prefetch is 5").await?;
    // What is settled makes room, also for a receive that is waiting already.
    for _ in 0..15 {
        let Some(delivery) = held.pop() else { break };
        reader.ack(delivery).await?;
        held.extend(reader.receive(20).await?);
        check!(
            held.len() <= 5,
            "{} deliveries are unsettled with a prefetch of 5",
            held.len()
        );
    }
    Ok(())
}

async fn prefetch_is_per_subscription(context: Context) -> Result<(), Failure> {
    let (client, topic, mut group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    // Some brokers keep a strict order by letting one member read at a time.
    group.ordering = Ordering::Relaxed;
    client.declare(&topic, &[&group]).await?;
    let mut spec = SubscriptionSpec::new(topic.clone(), group);
    spec.prefetch = NonZeroUsize::MIN;
    let mut first = client.reader_of(&spec).await?;
    let mut second = client.reader_of(&spec).await?;
    // Each of another key, and enough of them: members may share keys rather than messages, and need a moment for it.
    let messages = |round: usize| (0..30).map(move |i| (format!("key-{i}"), format!("{round}-{i}")));
    let mut shared = false;
    let joined_by = clock::now() + context.harness().patience();
    let mut round = 0;
    while !shared && clock::now() < joined_by {
        round += 1;
        let messages = messages(round).map(|(key, payload)| keyed(&topic, &key, &payload));
        client.publish(messages.collect()).await?;
        let mut came = [0, 0];
        while came[0] + came[1] < 30 {
            let (mut one, mut two) = (Vec::new(), Vec::new());
            tokio::select! {
                answer = first.try_receive(&mut one, 1) => answer,
                answer = second.try_receive(&mut two, 1) => answer,
            }
            .map_err(|error| Failure::step("receive", &error))?;
            came[0] += one.len();
            came[1] += two.len();
            for delivery in one {
                first.ack(delivery).await?;
            }
            for delivery in two {
                second.ack(delivery).await?;
            }
        }
        shared = came[0] > 2 && came[1] > 2;
    }
    check!(shared, "two members of a group do not share its messages");
    let messages = messages(0).map(|(key, payload)| keyed(&topic, &key, &payload));
    client.publish(messages.collect()).await?;
    let one = first.next().await?;
    // A member whose prefetch is full does not keep the messages from the other.
    let two = second.next().await?;
    first.silent("one is unsettled, and the prefetch is 1").await?;
    first.ack(one).await?;
    let three = first.next().await?;
    first.ack(three).await?;
    second.ack(two).await.map(drop)
}
