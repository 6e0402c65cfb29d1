//! Lifecycle: connecting, declaring, closing, and what outlives it.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::timeout;

use super::{keyed, numbered, sorted, text};
use crate::clock;
use crate::conformance::case::{Case, Failure, case, refused};
use crate::conformance::client::show;
use crate::conformance::context::Context;
use crate::conformance::refuse::{always, persistent, persistent_requeue_after, requeue_after};
use crate::conformance_check as check;
use crate::error::ErrorKind;
use crate::message::Outgoing;
use crate::provider::{Durability, PublishReceipt, Settlement};
use crate::spec::{Ordering, Start, SubscriptionSpec};

const GROUP: &str = "lifecycle";

/// The cases of this file.
pub static CASES: &[Case] = &[
    case!("C-086", construct_no_io, always),
    case!("D-060", works_from_another_runtime, always),
    case!("C-087", init_and_ping, always),
    case!("C-089", missing_subscription_receive, always),
    case!("C-090", existing_entities_used, always),
    case!("D-061", declare_alters_no_group, always),
    case!("C-091", closed_publisher_errors, always),
    case!("C-092", closed_subscription_errors, always),
    case!("D-062", a_waiting_receive_ends_at_close, always),
    case!("D-063", closing_one_handle_leaves_the_others, always),
    case!("C-094", subscribe_ctx_cancel, always),
    case!("C-096", publisher_close_no_loss, always),
    case!("C-097", shutdown_flushes_acks, always),
    case!("C-100", continue_after_close, always),
    case!("C-101", stop_restart, always),
    case!("D-064", published_survives_reopen, persistent),
    case!("D-065", requeue_after_survives_reconnect, requeue_after),
    case!("D-066", requeue_after_survives_reopen, persistent_requeue_after),
];

async fn construct_no_io(context: Context) -> Result<(), Failure> {
    // A thread of its own has no runtime; what is made there and never polled has done nothing, at once.
    let began = clock::now();
    let (told, telling) = tokio::sync::oneshot::channel();
    let made = std::thread::Builder::new().spawn(move || {
        drop(context.harness().connect());
        let _ = told.send(());
    });
    check!(made.is_ok(), "no thread could be started: {made:?}");
    let constructed = timeout(Duration::from_secs(1), telling).await;
    check!(
        matches!(constructed, Ok(Ok(()))),
        "a provider could not be constructed outside a runtime within {:?}: {constructed:?}",
        clock::now().duration_since(began)
    );
    Ok(())
}

async fn works_from_another_runtime(context: Context) -> Result<(), Failure> {
    let (client, topic, group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    client.declare(&topic, &[&group]).await?;
    let (told, telling) = tokio::sync::oneshot::channel();
    let foreign = {
        let (client, topic, group) = (client.clone(), topic.clone(), group.clone());
        move || -> Result<(), Failure> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| Failure::new(format!("no second runtime: {error}")))?;
            runtime.block_on(async {
                client.publish(vec![text(&topic, "from elsewhere")]).await?;
                let mut reader = client.reader(&topic, &group).await?;
                reader.consume(1).await?;
                reader.close().await
            })
        }
    };
    let started = std::thread::Builder::new().spawn(move || {
        let _ = told.send(foreign());
    });
    check!(started.is_ok(), "no thread could be started: {started:?}");
    match timeout(Duration::from_secs(10), telling).await {
        Ok(Ok(done)) => done?,
        Ok(Err(_)) => {
            return Err(Failure::new(
                "the use from another runtime panicked, or stopped without an answer",
            ));
        }
        Err(_) => return Err(Failure::new("the use from another runtime hangs")),
    }
    // The first runtime's handle works on after the other runtime has ended.
    client.publish(vec![text(&topic, "from here")]).await?;
    let mut reader = client.reader(&topic, &group).await?;
    reader.consume(1).await.map(drop)
}

async fn init_and_ping(context: Context) -> Result<(), Failure> {
    let client = context.connect().await?;
    let info = client.provider().info_dyn().clone();
    check!(
        !info.provider.is_empty() && !info.address.is_empty(),
        "the provider does not say what it is: {info:?}"
    );
    match timeout(Duration::from_secs(5), client.provider().ping_dyn()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(Failure::step("ping", &error)),
        Err(_) => return Err(Failure::new("ping did not answer within 5 s")),
    }
    check!(
        client.capability() == context.connect().await?.capability(),
        "two handles of one broker differ in their capability"
    );
    client.close().await?;
    let answer = client.provider().ping_dyn().await;
    refused(answer, ErrorKind::Closed, "ping after close").map(drop)
}

async fn missing_subscription_receive(context: Context) -> Result<(), Failure> {
    let (client, topic, group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    let spec = SubscriptionSpec::new(topic.clone(), group);
    let answer = client.provider().subscribe_dyn(&spec).await;
    refused(
        answer,
        ErrorKind::TopicMissing,
        "subscribe to an undeclared topic",
    )?;
    client.declare(&topic, &[]).await?;
    let answer = client.provider().subscribe_dyn(&spec).await;
    refused(
        answer,
        ErrorKind::GroupMissing,
        "subscribe to an undeclared group",
    )
    .map(drop)
}

async fn existing_entities_used(context: Context) -> Result<(), Failure> {
    let (client, topic, group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    client.declare(&topic, &[&group]).await?;
    client.publish(numbered(&topic, 2)).await?;
    // Declared again, by another process and with a further group: the first keeps what it has.
    let (other, further) = (context.connect().await?, context.group("further")?);
    other.declare(&topic, &[&group, &further]).await?;
    other.declare(&topic, &[]).await?;
    other.publish(vec![text(&topic, "2")]).await?;
    let came = sorted(&client.reader(&topic, &group).await?.consume(3).await?);
    check!(
        came == ["0", "1", "2"],
        "the group that was declared twice received {came:?}"
    );
    let came = sorted(&other.reader(&topic, &further).await?.consume(1).await?);
    check!(came == ["2"], "the group that was added later received {came:?}");
    Ok(())
}

async fn declare_alters_no_group(context: Context) -> Result<(), Failure> {
    let (client, topic, group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    client.declare(&topic, &[&group]).await?;
    client.publish(numbered(&topic, 3)).await?;
    let mut other = group.clone();
    other.start = Start::Latest;
    other.ordering = Ordering::Relaxed;
    other.lease = group.lease * 2;
    // Some brokers keep these settings, others take them from each subscription.
    if let Err(error) = client.try_declare(&topic, &[&other]).await {
        check!(
            error.kind() == ErrorKind::TopologyMismatch && error.to_string().contains(group.name.as_str()),
            "declare of a group that exists with other settings must succeed, or answer TopologyMismatch and name \
             the group, not {error:?}"
        );
    }
    let came = sorted(&client.reader(&topic, &group).await?.consume(3).await?);
    check!(
        came == ["0", "1", "2"],
        "a group was declared again with other settings, and received {came:?}"
    );
    Ok(())
}

async fn closed_publisher_errors(context: Context) -> Result<(), Failure> {
    let (client, topic, group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    client.declare(&topic, &[&group]).await?;
    let before = client.clone();
    client.close().await?;
    for (which, handle) in [("the closed handle", &client), ("a clone made before", &before)] {
        let answer = handle.try_publish_one(text(&topic, "late")).await;
        let error = refused(answer, ErrorKind::Closed, format!("publish on {which}"))?;
        check!(
            !error.is_indeterminate(),
            "the message may have been stored: {error}"
        );
    }
    let answer = client.try_declare(&topic, &[&group]).await;
    refused(answer, ErrorKind::Closed, "declare after close")?;
    let mut reader = context.connect().await?.reader(&topic, &group).await?;
    reader.silent("its publish was refused").await
}

async fn closed_subscription_errors(context: Context) -> Result<(), Failure> {
    let (client, topic, group, mut reader) = context.start().await?;
    client.close().await?;
    client.close().await?;
    let mut into = Vec::new();
    match timeout(Duration::from_secs(5), reader.try_receive(&mut into, 1)).await {
        Ok(answer) => refused(answer, ErrorKind::Closed, "receive after close")?,
        Err(_) => return Err(Failure::new("receive hangs after close")),
    };
    let spec = SubscriptionSpec::new(topic, group);
    let answer = client.provider().subscribe_dyn(&spec).await;
    refused(answer, ErrorKind::Closed, "subscribe after close").map(drop)
}

async fn a_waiting_receive_ends_at_close(context: Context) -> Result<(), Failure> {
    let (client, _topic, _group, mut reader) = context.start().await?;
    let mut into = Vec::new();
    let receive = reader.try_receive(&mut into, 1);
    tokio::pin!(receive);
    // It waits first, and is then told.
    let waits = timeout(Duration::from_millis(20), &mut receive).await;
    check!(waits.is_err(), "receive returned without a message: {waits:?}");
    client.close().await?;
    match timeout(Duration::from_secs(5), receive).await {
        Ok(answer) => refused(
            answer,
            ErrorKind::Closed,
            "a receive that waits when the provider closes",
        )?,
        Err(_) => return Err(Failure::new("a waiting receive hangs after close")),
    };
    Ok(())
}

async fn closing_one_handle_leaves_the_others(context: Context) -> Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    let (other, its_own) = (context.connect().await?, context.group("other")?);
    other.declare(&topic, &[&its_own]).await?;
    let closed = other.reader(&topic, &its_own).await?;
    other.close().await?;
    drop(closed);
    client.publish(vec![text(&topic, "still here")]).await?;
    reader.consume(1).await.map(drop)
}

async fn subscribe_ctx_cancel(context: Context) -> Result<(), Failure> {
    let (client, topic, group, mut reader) = context.start().await?;
    client.publish(numbered(&topic, 3)).await?;
    let held = reader.take(2).await?;
    // Where members share a group, another one waits already.
    let waiting = if client.capability().groups {
        Some(context.connect().await?.reader(&topic, &group).await?)
    } else {
        None
    };
    match timeout(Duration::from_secs(5), reader.close()).await {
        Ok(closed) => closed?,
        Err(_) => return Err(Failure::new("close of a subscription hangs")),
    }
    // Well before the lease of 30 s.
    let mut other = match waiting {
        Some(other) => other,
        None => client.reader(&topic, &group).await?,
    };
    let came = sorted(&other.consume(3).await?);
    check!(
        came == ["0", "1", "2"],
        "two of three were in hand at close, and {came:?} came to another"
    );
    drop(held);
    Ok(())
}

async fn publisher_close_no_loss(context: Context) -> Result<(), Failure> {
    const TASKS: usize = 20;
    const EACH: usize = 500;
    let (client, topic, group) = (context.connect().await?, context.topic("t")?, context.group("g")?);
    client.declare(&topic, &[&group]).await?;
    let (told, mut started) = tokio::sync::mpsc::channel::<()>(TASKS);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let (client, topic, told) = (client.clone(), topic.clone(), told.clone());
        tasks.spawn(async move {
            let (mut confirmed, mut refused) = (Vec::new(), Vec::new());
            for chunk in 0..EACH / 10 {
                let names: Vec<String> = (0..10).map(|i| format!("{task}/{chunk}/{i}")).collect();
                let batch: Vec<Outgoing> = names.iter().map(|name| text(&topic, name)).collect();
                for (name, outcome) in names.into_iter().zip(client.try_publish(batch).await) {
                    match outcome {
                        Ok(_) => confirmed.push(name),
                        Err(error) if error.is_indeterminate() => {}
                        Err(error) => refused.push((name, error)),
                    }
                }
                let _ = told.try_send(());
                tokio::task::yield_now().await;
            }
            (confirmed, refused)
        });
    }
    // In the midst of it: some are confirmed, others are under way, the rest comes too late.
    for _ in 0..TASKS {
        if timeout(Duration::from_secs(6), started.recv()).await.is_err() {
            return Err(Failure::new("nothing was published within 6 s"));
        }
    }
    client.close().await?;
    let (mut confirmed, mut rejected) = (HashSet::new(), HashSet::new());
    while let Some(task) = tasks.join_next().await {
        let Ok((sent, refused)) = task else {
            return Err(Failure::new("a publisher panicked"));
        };
        confirmed.extend(sent);
        for (name, error) in refused {
            check!(
                error.kind() == ErrorKind::Closed,
                "the publish of {name} beside a close failed with {error:?}"
            );
            rejected.insert(name);
        }
    }
    let mut reader = context.connect().await?.reader(&topic, &group).await?;
    while !confirmed.is_empty() {
        let batch = reader.receive(256).await.map_err(|failure| {
            Failure::new(format!(
                "{} confirmed messages are missing after a close: {failure}",
                confirmed.len()
            ))
        })?;
        let mut receipts = Vec::with_capacity(batch.len());
        for delivery in batch {
            let name = show(&delivery.message);
            check!(
                !rejected.contains(&name),
                "{name} came, but its publish was refused as surely not stored"
            );
            confirmed.remove(&name);
            receipts.push(delivery.receipt);
        }
        reader.settle_all(receipts, Settlement::Ack).await?;
    }
    Ok(())
}

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
            let batch = reader.receive(64).await.map_err(|failure| {
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

fn on_disk(receipts: &[PublishReceipt]) -> Result<(), Failure> {
    for receipt in receipts {
        check!(
            receipt.durability > Durability::BrokerMemory || receipt.durability == Durability::Buffered,
            "a persistent provider confirmed a message as {:?}",
            receipt.durability
        );
    }
    Ok(())
}

async fn published_survives_reopen(context: Context) -> Result<(), Failure> {
    let context = context.isolated();
    let (client, topic, group, mut reader) = context.start().await?;
    let mut messages: Vec<Outgoing> = numbered(&topic, 19);
    let mut last = keyed(&topic, "k", "last");
    last.headers.insert("tenant", "acme");
    let last_id = last.id.clone();
    messages.push(last);
    on_disk(&client.publish(messages).await?)?;
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
