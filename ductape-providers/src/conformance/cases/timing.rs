//! Time: delays are a floor, and a lease gives a delivery to one at a time.

use std::time::Duration;

use tokio::time::Instant;

use super::{keyed, payloads, text};
use crate::capability::Requeue;
use crate::clock;
use crate::conformance::case::{Case, Failure, case, refused};
use crate::conformance::context::Context;
use crate::conformance::reader::show;
use crate::conformance::refuse::{delay, group_delay, lease, requeue_after};
use crate::conformance_check as check;
use crate::error::ErrorKind;
use crate::message::{Outgoing, Route, TopicName};
use crate::provider::Settlement;

const GROUP: &str = "timing";

/// How much later than asked a delayed message may come, on a busy machine and a broker that counts in seconds.
const LATE_MAX: Duration = Duration::from_secs(5);

/// The cases of this file.
pub static CASES: &[Case] = &[
    case!("C-024", nack_delay_is_floor, requeue_after),
    case!("D-020", requeue_over_the_limit_is_refused, requeue_after),
    case!("C-047", delayed_publish, delay),
    case!("D-021", past_time_is_now, delay),
    case!("D-022", delay_over_the_limit_is_refused, delay),
    case!("D-023", a_delayed_message_holds_nobody, delay),
    case!("D-025", delays_of_50_ms_and_30_s, requeue_after, Broker within 60 s),
    case!("D-026", group_delay_is_floor, group_delay),
    case!("D-027", group_delay_of_30_s_survives_its_reader, group_delay, Broker within 60 s),
    case!("C-042", lease_extended, lease),
    case!("C-043", lease_lost_detected, lease),
    case!("D-024", extend_after_the_lease_is_refused, lease),
];

/// The time was asked for with the system's clock, and is measured with the monotonic one.
fn in_time(began: Instant, asked: Duration, what: &str) -> Result<(), Failure> {
    let waited = clock::now().duration_since(began);
    // Brokers keep whole milliseconds, and the two clocks are read one after the other.
    check!(
        waited + Duration::from_millis(2) >= asked,
        "{what} came after {waited:?}, before the {asked:?} that were asked for"
    );
    check!(
        waited <= asked + LATE_MAX,
        "{what} came only after {waited:?}; {asked:?} were asked for"
    );
    Ok(())
}

async fn nack_delay_is_floor(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    client.publish(vec![text(&topic, "retried")]).await?;
    for round in 1..=2 {
        let delivery = reader.next().await?;
        let (began, asked) = (clock::now(), context.harness().delay() * round);
        reader
            .settle(delivery.receipt, Settlement::RequeueAfter(asked))
            .await?;
        let delivery = reader.next().await?;
        in_time(began, asked, "the requeued message")?;
        reader.settle(delivery.receipt, Settlement::Requeue).await?;
    }
    let delivery = reader.next().await?;
    reader.ack(delivery).await.map(drop)
}

/// A broker that counts in seconds may round a delay up, never down.
async fn delays_of_50_ms_and_30_s(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    let Requeue::Delayed { max, .. } = client.capability().requeue else {
        return Err(Failure::new("the capability changed since the suite began"));
    };
    let long = Duration::from_secs(30).min(max);
    client
        .publish(vec![text(&topic, "short"), text(&topic, "long")])
        .await?;
    let mut asked = Vec::new();
    for delivery in reader.take(2).await? {
        let wait = if show(&delivery.message) == "short" {
            Duration::from_millis(50)
        } else {
            long
        };
        asked.push((show(&delivery.message), clock::now(), wait));
        reader
            .settle(delivery.receipt, Settlement::RequeueAfter(wait))
            .await?;
    }
    reader.wait_up_to(long + LATE_MAX);
    for _ in 0..2 {
        let delivery = reader.next().await?;
        let name = show(&delivery.message);
        for (_, began, wait) in asked.iter().filter(|(asked, ..)| *asked == name) {
            in_time(*began, *wait, &format!("the requeued message `{name}`"))?;
        }
        reader.ack(delivery).await?;
    }
    Ok(())
}

/// A copy as a retry is: it waits for its time, and reaches its group alone.
fn copy(topic: &TopicName, group: &ductape_schema::GroupName, wait: Duration) -> Outgoing {
    let mut copy = text(topic, "copy").with_route(Route::Group(group.clone()));
    copy.not_before = clock::wall().checked_add(wait);
    copy
}

async fn group_delay_is_floor(context: Context) -> Result<(), Failure> {
    let (client, topic, group, mut reader) = context.start().await?;
    let other = context.group("other")?;
    client.declare(&topic, &[&other]).await?;
    let mut other = client.reader(&topic, &other).await?;
    let (began, wait) = (clock::now(), context.harness().delay() * 2);
    client.publish(vec![copy(&topic, &group.name, wait)]).await?;
    client.publish(vec![text(&topic, "now")]).await?;
    let first = reader.next().await?;
    check!(
        show(&first.message) == "now",
        "a message that was to wait for {wait:?} came before one that was not"
    );
    reader.ack(first).await?;
    let delivery = reader.next().await?;
    in_time(began, wait, "the message to one group")?;
    reader.ack(delivery).await?;
    other.consume(1).await?;
    other.silent("the copy was sent to another group alone").await
}

async fn group_delay_of_30_s_survives_its_reader(context: Context) -> Result<(), Failure> {
    let (client, topic, group, reader) = context.start().await?;
    let long = client.capability().group_delay_max.unwrap_or_default();
    let (began, wait) = (clock::now(), Duration::from_secs(30).min(long));
    client.publish(vec![copy(&topic, &group.name, wait)]).await?;
    reader.close().await?;
    let mut reader = client.reader(&topic, &group).await?;
    reader.wait_up_to(wait + LATE_MAX);
    let delivery = reader.next().await?;
    in_time(began, wait, "the message to one group")?;
    reader.ack(delivery).await.map(drop)
}

async fn requeue_over_the_limit_is_refused(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    let Requeue::Delayed { max, .. } = client.capability().requeue else {
        return Err(Failure::new("the capability changed since the suite began"));
    };
    client.publish(vec![text(&topic, "held")]).await?;
    let delivery = reader.next().await?;
    let over = max.saturating_add(Duration::from_mins(1));
    let answer = reader
        .try_settle(delivery.receipt, Settlement::RequeueAfter(over))
        .await;
    refused(
        answer,
        ErrorKind::Unsupported,
        format!("a requeue after {over:?}, over the limit of {max:?}"),
    )
    .map(drop)
}

async fn delayed_publish(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    let (began, asked) = (clock::now(), context.harness().delay() * 2);
    let mut message = text(&topic, "later");
    message.not_before = clock::wall().checked_add(asked);
    client.publish(vec![message]).await?;
    let delivery = reader.next().await?;
    in_time(began, asked, "the delayed message")?;
    reader.ack(delivery).await?;
    reader.silent("it was delayed, received and acked").await
}

async fn past_time_is_now(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    let began = clock::now();
    let mut message = text(&topic, "due");
    message.not_before = clock::wall().checked_sub(Duration::from_hours(1));
    client.publish(vec![message]).await?;
    let delivery = reader.next().await?;
    reader.ack(delivery).await?;
    in_time(began, Duration::ZERO, "the message whose time had passed")
}

async fn delay_over_the_limit_is_refused(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    let limit = client.capability().publish_delay_max.unwrap_or_default();
    let over = limit.saturating_add(Duration::from_mins(1));
    let mut message = text(&topic, "too late");
    message.not_before = clock::wall().checked_add(over);
    check!(
        message.not_before.is_some(),
        "publish_delay_max is {limit:?}, which limits nothing"
    );
    let answer = client.try_publish_one(message).await;
    let step = format!("a publish delayed by {over:?}, over the limit of {limit:?}");
    refused(answer, ErrorKind::Unsupported, step)?;
    reader.silent("its publish was refused").await
}

async fn a_delayed_message_holds_nobody(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    let mut later = keyed(&topic, "k", "later");
    later.not_before = clock::wall().checked_add(context.harness().delay() * 2);
    client
        .publish(vec![later, keyed(&topic, "other", "now"), text(&topic, "no key")])
        .await?;
    let mut came = payloads(&reader.consume(3).await?);
    check!(
        came.last().is_some_and(|last| last == "later"),
        "a delayed message came before those that were due: {came:?}"
    );
    came.sort_unstable();
    check!(came == ["later", "no key", "now"], "{came:?} came");
    Ok(())
}

async fn lease_extended(context: Context) -> Result<(), Failure> {
    let (client, topic, mut group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    group.lease = context.harness().lease();
    client.declare(&topic, &[&group]).await?;
    let mut reader = client.reader(&topic, &group).await?;
    client.publish(vec![text(&topic, "long")]).await?;
    let delivery = reader.next().await?;
    let mut other = client.reader(&topic, &group).await?;
    let began = clock::now();
    while clock::now().duration_since(began) < group.lease * 3 {
        // The other waits while this one's lease is renewed, four times a lease.
        reader
            .try_extend(&[&delivery.receipt], group.lease * 2)
            .await
            .map_err(|error| Failure::step("extend before the lease ended", &error))?;
        other
            .silent_for(group.lease / 4, "the lease of its first receiver was extended")
            .await?;
    }
    reader.ack(delivery).await?;
    other
        .silent_for(group.lease * 2, "it was acked under an extended lease")
        .await
}

async fn lease_lost_detected(context: Context) -> Result<(), Failure> {
    let (client, topic, mut group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    group.lease = context.harness().lease();
    client.declare(&topic, &[&group]).await?;
    let mut reader = client.reader(&topic, &group).await?;
    client.publish(vec![text(&topic, "stuck")]).await?;
    let began = clock::now();
    let stuck = reader.next().await?;
    let mut other = context.connect().await?.reader(&topic, &group).await?;
    let again = other.next().await?;
    in_time(began, group.lease, "the delivery whose lease was not extended")?;
    check!(
        again.message.id == stuck.message.id,
        "{:?} came in place of the message whose lease ended",
        show(&again.message)
    );
    if client.capability().delivery_count {
        let count = again.message.delivery_count.map(std::num::NonZeroU32::get);
        check!(
            count == Some(2),
            "the delivery after a lost lease says that it is {count:?}"
        );
    }
    let late = reader.try_settle(stuck.receipt, Settlement::Ack).await;
    refused(late, ErrorKind::LeaseLost, "an ack after the lease was lost")?;
    // The late ack must not have settled the delivery of the other.
    other.ack(again).await?;
    other.silent("it was acked by its second receiver").await
}

async fn extend_after_the_lease_is_refused(context: Context) -> Result<(), Failure> {
    let (client, topic, mut group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    group.lease = context.harness().lease();
    client.declare(&topic, &[&group]).await?;
    let mut reader = client.reader(&topic, &group).await?;
    client.publish(vec![text(&topic, "stuck")]).await?;
    let stuck = reader.next().await?;
    let mut other = client.reader(&topic, &group).await?;
    let taken = other.next().await?;
    let late = reader.try_extend(&[&stuck.receipt], group.lease).await;
    refused(late, ErrorKind::LeaseLost, "an extend after the lease was lost")?;
    other.ack(taken).await.map(drop)
}
