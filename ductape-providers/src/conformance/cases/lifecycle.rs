//! Lifecycle: connecting, declaring, closing, and what outlives it.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::timeout;

use super::{numbered, sorted, text};
use crate::clock;
use crate::conformance::case::{Case, Failure, case, refused};
use crate::conformance::context::Context;
use crate::conformance::reader::show;
use crate::conformance::refuse::always;
use crate::conformance_check as check;
use crate::error::ErrorKind;
use crate::message::Outgoing;
use crate::provider::Settlement;
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
    case!("D-067", a_hundred_topics_on_one_handle, always, Broker within 90 s),
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

async fn a_hundred_topics_on_one_handle(context: Context) -> Result<(), Failure> {
    const TOPICS: usize = 100;
    let client = context.connect().await?;
    let group = context.group("g")?;
    let mut running = tokio::task::JoinSet::new();
    let permits = std::sync::Arc::new(tokio::sync::Semaphore::new(10));
    for i in 0..TOPICS {
        let (client, topic, group) = (client.clone(), context.topic(&format!("t{i}"))?, group.clone());
        let permits = std::sync::Arc::clone(&permits);
        running.spawn(async move {
            let _permit = permits.acquire().await;
            client.declare(&topic, &[&group]).await?;
            client.publish(vec![text(&topic, &i.to_string())]).await?;
            Ok::<_, Failure>((i, client.reader(&topic, &group).await?))
        });
    }
    // All of them are open at one time.
    let mut readers = Vec::with_capacity(TOPICS);
    while let Some(done) = running.join_next().await {
        readers.push(done.map_err(|error| Failure::new(format!("a topic's task panicked: {error}")))??);
    }
    for (i, reader) in &mut readers {
        let came = reader.consume(1).await?;
        check!(
            show(&came[0]) == i.to_string(),
            "topic {i} of {TOPICS} delivered {:?}",
            show(&came[0])
        );
    }
    Ok(())
}
