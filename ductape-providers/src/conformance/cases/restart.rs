//! Restart: what was confirmed, acked or delayed stays so when a reader, a handle or the broker comes again.

use std::collections::HashSet;
use std::time::Duration;

use super::{keyed, numbered, sorted, text};
use crate::clock;
use crate::conformance::case::{Case, Failure, case};
use crate::conformance::context::Context;
use crate::conformance::reader::show;
use crate::conformance::refuse::{always, persistent, persistent_requeue_after, requeue_after};
use crate::conformance_check as check;
use crate::message::Outgoing;
use crate::provider::Settlement;

const GROUP: &str = "restart";

/// The cases of this file.
pub static CASES: &[Case] = &[
    case!("C-097", shutdown_flushes_acks, always),
    case!("C-100", continue_after_close, always, Broker within 90 s),
    case!("C-101", stop_restart, always),
    case!("D-064", published_survives_reopen, persistent),
    case!("D-065", requeue_after_survives_reconnect, requeue_after),
    case!("D-066", requeue_after_survives_reopen, persistent_requeue_after),
];

async fn shutdown_flushes_acks(context: Context) -> Result<(), Failure> {
    let (client, topic, group, mut reader) = context.start().await?;
    client.publish(numbered(&topic, 50)).await?;
    let held = reader.take(50).await?;
    reader
        .settle_all(held.into_iter().map(|delivery| delivery.receipt), Settlement::Ack)
        .await?;
    client.close().await?;
    drop(reader);
    let mut reader = context.connect().await?.reader(&topic, &group).await?;
    reader
        .silent("it was acked just before the provider closed")
        .await
}

async fn continue_after_close(context: Context) -> Result<(), Failure> {
    const TOTAL: usize = 5_000;
    const ROUNDS: usize = 20;
    let (client, topic, group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    client.declare(&topic, &[&group]).await?;
    let messages = numbered(&topic, TOTAL);
    for chunk in messages.chunks(500) {
        client.publish(chunk.to_vec()).await?;
    }
    let mut acked = HashSet::with_capacity(TOTAL);
    for round in 0..=ROUNDS {
        let mut reader = client.reader(&topic, &group).await?;
        let wanted = TOTAL / ROUNDS * round.min(ROUNDS - 1) + TOTAL / ROUNDS - 10;
        let wanted = if round == ROUNDS { TOTAL } else { wanted };
        while acked.len() < wanted {
            // No more than is wanted: there must be something left to have in hand.
            let batch = reader
                .receive(64.min(wanted - acked.len()))
                .await
                .map_err(|failure| {
                    Failure::new(format!("after {} messages of {TOTAL}: {failure}", acked.len()))
                })?;
            let mut receipts = Vec::with_capacity(batch.len());
            for delivery in batch {
                let name = show(&delivery.message);
                check!(
                    acked.insert(name.clone()),
                    "message {name} came again after its ack"
                );
                receipts.push(delivery.receipt);
            }
            reader.settle_all(receipts, Settlement::Ack).await?;
        }
        if round < ROUNDS {
            // Some are in hand when the reader goes, in turn by a close and by a drop.
            let held = reader.receive(5).await?;
            if round % 2 == 0 {
                reader.close().await?;
            }
            drop(held);
        }
    }
    Ok(())
}

async fn stop_restart(context: Context) -> Result<(), Failure> {
    let (client, topic, group, mut reader) = context.start().await?;
    client.publish(numbered(&topic, 5)).await?;
    reader.consume(5).await?;
    reader.close().await?;
    client
        .publish((5..10).map(|i| text(&topic, &i.to_string())).collect())
        .await?;
    let mut reader = client.reader(&topic, &group).await?;
    let came = sorted(&reader.consume(5).await?);
    check!(
        came == ["5", "6", "7", "8", "9"],
        "five were published while nobody read, and {came:?} came"
    );
    reader.silent("all ten were acked").await
}

async fn published_survives_reopen(context: Context) -> Result<(), Failure> {
    let context = context.isolated();
    let (client, topic, group, mut reader) = context.start().await?;
    let mut messages: Vec<Outgoing> = numbered(&topic, 19);
    let mut last = keyed(&topic, "k", "last");
    last.headers.insert("tenant", "acme");
    let last_id = last.id.clone();
    messages.push(last);
    client.publish(messages).await?;
    reader.consume(3).await?;
    let held = reader.take(2).await?;
    drop(held);
    reader.close().await?;
    client.close().await?;
    drop(client);

    let client = context.connect().await?;
    let mut reader = client.reader(&topic, &group).await?;
    let came = reader.consume(17).await?;
    let numbers: HashSet<String> = came.iter().map(show).collect();
    check!(
        numbers.len() == 17,
        "20 were published and 3 acked, and {} came after a reopen",
        numbers.len()
    );
    let last = came.iter().find(|message| message.id == last_id);
    check!(
        last.is_some_and(|last| {
            last.key.as_deref() == Some(b"k".as_slice()) && last.headers.get("tenant") == Some("acme")
        }),
        "after a reopen the last came as {last:?}"
    );
    reader.silent("it was acked, before the reopen or after it").await
}

async fn requeued(context: &Context, reopen: bool) -> Result<(), Failure> {
    let (client, topic, group, mut reader) = context.start().await?;
    client.publish(vec![text(&topic, "retried")]).await?;
    let delivery = reader.next().await?;
    let (began, asked) = (clock::now(), context.harness().delay() * 2);
    reader
        .settle(delivery.receipt, Settlement::RequeueAfter(asked))
        .await?;
    reader.close().await?;
    let client = if reopen {
        client.close().await?;
        context.connect().await?
    } else {
        client
    };
    let mut reader = client.reader(&topic, &group).await?;
    let again = reader.next().await?;
    let waited = clock::now().duration_since(began);
    check!(
        waited + Duration::from_millis(2) >= asked,
        "a message that was requeued for {asked:?} came to a new reader after {waited:?}"
    );
    if client.capability().delivery_count {
        let count = again.message.delivery_count.map(std::num::NonZeroU32::get);
        check!(count == Some(2), "its second delivery says that it is {count:?}");
    }
    reader.ack(again).await.map(drop)
}

async fn requeue_after_survives_reconnect(context: Context) -> Result<(), Failure> {
    requeued(&context, false).await
}

async fn requeue_after_survives_reopen(context: Context) -> Result<(), Failure> {
    requeued(&context.isolated(), true).await
}
