//! Settlement: what is acked never returns, and what is not does.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::timeout;

use super::{numbered, payloads, sorted, text};
use crate::conformance::case::{Case, Failure, case, refused};
use crate::conformance::context::Context;
use crate::conformance::reader::show;
use crate::conformance::refuse::{always, counted, counted_requeue_after, once, once_and_requeue, requeue};
use crate::conformance_check as check;
use crate::error::ErrorKind;
use crate::provider::{Delivery, Receipt, SettleSlot, Settlement};

const GROUP: &str = "settlement";

/// The cases of this file.
pub static CASES: &[Case] = &[
    case!("C-021", ack_consumes, always),
    case!("C-022", nack_redelivers, requeue),
    case!("C-023", nack_no_requeue_drops, always),
    case!("C-017", batch_partial_failure, requeue),
    case!("C-025", unsettled_drop_returns, always),
    case!("C-027", ack_out_of_order_safe, always),
    case!("D-016", a_settled_receipt_is_lost, always),
    case!("D-017", a_settler_outlives_its_subscription, always),
    case!("C-029", retry_count_exact, counted_requeue_after),
    case!("D-010", requeue_takes_back_the_count, counted),
    case!("D-011", receive_is_cancel_safe, always),
    case!("D-012", settles_while_receive_waits, always),
    case!("D-013", once_settles_repeats, once),
    case!("D-014", once_holds_a_repeat_in_flight, once),
    case!("D-015", once_takes_a_requeued_message_again, once_and_requeue),
];

async fn ack_consumes(context: Context) -> Result<(), Failure> {
    let (client, topic, mut group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    group.lease = context.harness().lease();
    client.declare(&topic, &[&group]).await?;
    let mut reader = client.reader(&topic, &group).await?;
    client.publish(numbered(&topic, 5)).await?;
    reader.consume(5).await?;
    if client.capability().lease {
        let twice = group.lease.saturating_mul(2);
        reader
            .silent_for(twice, "it was acked before its lease ended")
            .await?;
    }
    reader.close().await?;
    let again = context.connect().await?;
    let mut reader = again.reader(&topic, &group).await?;
    reader.silent("it was acked, on an earlier connection").await
}

async fn nack_redelivers(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    client.publish(numbered(&topic, 100)).await?;
    let (mut nacked, mut acked) = (HashSet::new(), HashSet::new());
    while acked.len() < 100 {
        for delivery in reader.receive(10).await? {
            let number = show(&delivery.message);
            if (number == "17" || number == "54") && nacked.insert(number.clone()) {
                reader.settle(delivery.receipt, Settlement::Requeue).await?;
            } else {
                reader.ack(delivery).await?;
                check!(
                    acked.insert(number.clone()),
                    "message {number} came again after its ack"
                );
            }
        }
    }
    check!(nacked.len() == 2, "only {nacked:?} of 17 and 54 was requeued");
    reader.silent("all 100 were acked").await
}

async fn nack_no_requeue_drops(context: Context) -> Result<(), Failure> {
    let (client, topic, group, mut reader) = context.start().await?;
    client.publish(numbered(&topic, 3)).await?;
    for delivery in reader.take(3).await? {
        let how = if show(&delivery.message) == "1" {
            Settlement::Reject
        } else {
            Settlement::Ack
        };
        reader.settle(delivery.receipt, how).await?;
    }
    reader.silent("it was rejected or acked").await?;
    reader.close().await?;
    let mut reader = client.reader(&topic, &group).await?;
    reader
        .silent("it was rejected or acked, by an earlier subscription")
        .await
}

async fn batch_partial_failure(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    client.publish(numbered(&topic, 5)).await?;
    let mut slots = Vec::new();
    for delivery in reader.take(5).await? {
        let failed = show(&delivery.message) == "2";
        let how = if failed {
            Settlement::Requeue
        } else {
            Settlement::Ack
        };
        slots.push((delivery.receipt, how));
    }
    let mut slots: Vec<SettleSlot> = slots
        .into_iter()
        .map(|(receipt, how)| SettleSlot::new(receipt, how))
        .collect();
    reader.settler().settle_dyn(&mut slots).await;
    for slot in slots {
        match slot.outcome {
            Some(Ok(())) => {}
            other => return Err(Failure::new(format!("settle with {:?} gave {other:?}", slot.how))),
        }
    }
    let came = payloads(&reader.consume(1).await?);
    check!(came == ["2"], "2 of 0 to 4 failed, and {came:?} came again");
    reader.silent("the other four were acked").await
}

async fn unsettled_drop_returns(context: Context) -> Result<(), Failure> {
    let (client, topic, group, mut reader) = context.start().await?;
    client.publish(numbered(&topic, 3)).await?;
    let held = reader.take(3).await?;
    drop(held);
    drop(reader);
    // Well before the lease of 30 s ends.
    let mut reader = client.reader(&topic, &group).await?;
    let came = sorted(&reader.consume(3).await?);
    check!(
        came == ["0", "1", "2"],
        "of three unsettled messages {came:?} returned"
    );
    Ok(())
}

async fn ack_out_of_order_safe(context: Context) -> Result<(), Failure> {
    let (client, topic, group, mut reader) = context.start().await?;
    client.publish(numbered(&topic, 3)).await?;
    let mut kept = Vec::new();
    for delivery in reader.take(3).await? {
        if show(&delivery.message) == "2" {
            reader.ack(delivery).await?;
        } else {
            kept.push(delivery);
        }
    }
    drop(reader);
    let mut reader = client.reader(&topic, &group).await?;
    let came = sorted(&reader.consume(2).await?);
    check!(
        came == ["0", "1"],
        "only the last of three was acked, and {came:?} returned"
    );
    reader.silent("it was acked before those that returned").await
}

async fn a_settled_receipt_is_lost(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    client.publish(numbered(&topic, 2)).await?;
    let mut held = reader.take(2).await?.into_iter();
    let (Some(first), Some(second)) = (held.next(), held.next()) else {
        return Err(Failure::new("two deliveries were taken, and are not there"));
    };
    let token = first.receipt.token();
    reader.ack(first).await?;
    // Settling twice does not compile; a runtime that mixes its receipts up is told all the same.
    for token in [token, u64::MAX] {
        let answer = reader.try_settle(Receipt::new(token), Settlement::Ack).await;
        refused(answer, ErrorKind::LeaseLost, "an ack of what is not in hand")?;
    }
    reader.ack(second).await.map(drop)
}

async fn a_settler_outlives_its_subscription(context: Context) -> Result<(), Failure> {
    let (client, topic, group, mut reader) = context.start().await?;
    client.publish(numbered(&topic, 1)).await?;
    let held = reader.next().await?;
    let settler = reader.settler();
    reader.close().await?;
    let mut slots = [SettleSlot::new(held.receipt, Settlement::Ack)];
    settler.settle_dyn(&mut slots).await;
    let [slot] = slots;
    let Some(answer) = slot.outcome else {
        return Err(Failure::new("settle left a slot without an outcome"));
    };
    refused(
        answer,
        ErrorKind::LeaseLost,
        "an ack after the subscription gave the delivery back",
    )?;
    client.reader(&topic, &group).await?.consume(1).await.map(drop)
}

async fn retry_count_exact(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    client.publish(vec![text(&topic, "failing")]).await?;
    for attempt in 1..=5 {
        let delivery = reader.next().await?;
        let count = delivery.message.delivery_count.map(std::num::NonZeroU32::get);
        check!(
            count == Some(attempt),
            "delivery {attempt} says that it is {count:?}"
        );
        let how = if attempt == 5 {
            Settlement::Reject
        } else {
            Settlement::RequeueAfter(Duration::from_millis(1))
        };
        reader.settle(delivery.receipt, how).await?;
    }
    reader.silent("its fifth delivery was its last").await
}

async fn requeue_takes_back_the_count(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    client.publish(vec![text(&topic, "not handled")]).await?;
    for round in 1..=3 {
        let delivery = reader.next().await?;
        let count = delivery.message.delivery_count.map(std::num::NonZeroU32::get);
        check!(
            count == Some(1),
            "delivery {round} of a message that was only requeued says that it is {count:?}"
        );
        reader.settle(delivery.receipt, Settlement::Requeue).await?;
    }
    let delivery = reader.next().await?;
    reader.ack(delivery).await.map(drop)
}

async fn receive_is_cancel_safe(context: Context) -> Result<(), Failure> {
    // Within the usual prefetch: nothing is settled until all have come.
    const COUNT: usize = 240;
    let (client, topic, _group, mut reader) = context.start().await?;
    let publisher = {
        let (client, topic) = (client.clone(), topic.clone());
        tokio::spawn(async move {
            for chunk in numbered(&topic, COUNT).chunks(3) {
                client.publish(chunk.to_vec()).await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok::<(), Failure>(())
        })
    };
    let mut into: Vec<Delivery> = Vec::new();
    let mut micros = 0;
    let collected = timeout(context.harness().patience() * 2, async {
        while into.len() < COUNT {
            // From "dropped after its first poll" to "waits a while", over and over.
            micros = (micros + 97) % 2_000;
            let receive = reader.try_receive(&mut into, 7);
            if let Ok(Err(error)) = timeout(Duration::from_micros(micros), receive).await {
                return Err(Failure::step("receive", &error));
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    })
    .await;
    match publisher.await {
        Ok(sent) => sent?,
        Err(error) => return Err(Failure::new(format!("the publisher stopped: {error}"))),
    }
    let numbers: HashSet<String> = into.iter().map(|delivery| show(&delivery.message)).collect();
    match collected {
        Ok(collected) => collected?,
        Err(_) => {
            return Err(Failure::new(format!(
                "{} of {COUNT} messages came to a receive that was dropped now and then; the others are lost",
                numbers.len()
            )));
        }
    }
    check!(
        numbers.len() == into.len(),
        "{} deliveries are of {} messages",
        into.len(),
        numbers.len()
    );
    reader
        .settle_all(into.into_iter().map(|delivery| delivery.receipt), Settlement::Ack)
        .await?;
    reader.silent("all were acked").await
}

async fn settles_while_receive_waits(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    client.publish(vec![text(&topic, "first")]).await?;
    let first = reader.next().await?;
    let settler = reader.settler();
    let mut into = Vec::new();
    let mut slots = [SettleSlot::new(first.receipt, Settlement::Ack)];
    {
        let receive = reader.try_receive(&mut into, 1);
        tokio::pin!(receive);
        tokio::select! {
            biased;
            _ = &mut receive => return Err(Failure::new("receive returned, but nothing was published")),
            () = settler.settle_dyn(&mut slots) => {}
        }
        client.publish(vec![text(&topic, "second")]).await?;
        match timeout(Duration::from_secs(5), receive).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Failure::step("receive", &error)),
            Err(_) => return Err(Failure::new("receive did not wake for the second message")),
        }
    }
    let [slot] = slots;
    check!(
        matches!(slot.outcome, Some(Ok(()))),
        "the ack beside a waiting receive gave {:?}",
        slot.outcome
    );
    let came = payloads(into.iter().map(|delivery| &delivery.message));
    check!(came == ["second"], "{came:?} came after the first was acked");
    Ok(())
}

async fn once_settles_repeats(context: Context) -> Result<(), Failure> {
    let (client, topic) = (context.connect().await?, context.topic("t")?);
    let (mut deduplicating, plain) = (context.group("once")?, context.group("plain")?);
    deduplicating.once = true;
    client.declare(&topic, &[&deduplicating, &plain]).await?;
    let mut reader = client.reader(&topic, &deduplicating).await?;
    let mut other = client.reader(&topic, &plain).await?;
    let message = text(&topic, "same");
    client.publish(vec![message.clone()]).await?;
    reader.consume(1).await?;
    client.publish(vec![message.clone(), message]).await?;
    client.publish(vec![text(&topic, "next")]).await?;
    let came = payloads(&reader.consume(1).await?);
    check!(came == ["next"], "{came:?} came to the group with `once`");
    reader.silent("the group has handled its id").await?;
    let came = other.consume(2).await?;
    check!(
        !came.is_empty(),
        "the group without `once` received nothing of what was published"
    );
    Ok(())
}

async fn once_holds_a_repeat_in_flight(context: Context) -> Result<(), Failure> {
    let (client, topic, mut group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    group.once = true;
    client.declare(&topic, &[&group]).await?;
    let mut reader = client.reader(&topic, &group).await?;
    let message = text(&topic, "same");
    client.publish(vec![message.clone()]).await?;
    let first = reader.next().await?;
    client.publish(vec![message]).await?;
    reader.silent("its id is being handled by the same group").await?;
    reader.ack(first).await?;
    reader.silent("the group has handled its id").await
}

async fn once_takes_a_requeued_message_again(context: Context) -> Result<(), Failure> {
    let (client, topic, mut group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    group.once = true;
    client.declare(&topic, &[&group]).await?;
    let mut reader = client.reader(&topic, &group).await?;
    client.publish(vec![text(&topic, "failed once")]).await?;
    let first = reader.next().await?;
    reader.settle(first.receipt, Settlement::Requeue).await?;
    let mut seen: HashMap<String, usize> = HashMap::new();
    let again = reader.next().await?;
    *seen.entry(show(&again.message)).or_default() += 1;
    reader.ack(again).await?;
    check!(
        seen.get("failed once") == Some(&1),
        "a message that was not handled did not come again: {seen:?}"
    );
    reader.silent("it was handled").await
}
