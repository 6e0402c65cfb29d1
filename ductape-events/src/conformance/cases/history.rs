//! What the store knows of messages, and what is sent again from there: on any broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ductape_providers::conformance::{Applies, Context, Failure, check};
use ductape_providers::{Capability, TopicName};
use ductape_store::tracking::{DeadLetterFilter, DeliveryStatus, Message, MessageFilter, MessageStatus};
use serde_json::json;
use tokio::time::sleep;

use super::case;
use crate::clock;
use crate::conformance::log::{Log, fails};
use crate::conformance::setup::{Program, Setup, quick, step};
use crate::consumer::Verdict;
use crate::error::{BrokerError, ErrorCode};
use crate::tracking::{ReplayOptions, ReprocessOptions};

const GROUP: &str = "history";

pub(super) static CASES: &[ductape_providers::conformance::Case] = &[
    case!("R-300", the_history_is_complete),
    case!("R-301", a_replay_goes_to_one_group_alone, to_one_group),
    case!(
        "R-302",
        dead_letters_are_reprocessed_from_the_history,
        to_one_group
    ),
    case!("R-303", an_idempotency_key_is_published_once),
];

/// A broker that can give a message to one group; on another, what is sent again from the store is refused.
fn to_one_group(capability: &Capability) -> Applies {
    Applies::when(capability.route_to_group, "route_to_group", |context| {
        Box::pin(async move {
            let (topic, group) = (context.topic("t")?, context.group("g")?);
            let log = Log::default();
            let setup = Setup::new(&context).await?.with_store();
            let setup = setup.consumer(&topic, &group, quick(1), log.decides(|_| fails("always")));
            let program = setup.start().await?;
            let receipt = program.produce(&topic, "1").await?;
            log.until(1, program.patience).await?;
            let id = receipt.process_id.to_string();
            messages(&program, &topic, |all| all.iter().all(is_finished)).await?;
            let replayed = program
                .ductape
                .brokers()
                .replay_event(&id, &ReplayOptions::default())
                .await;
            check!(
                replayed
                    .as_ref()
                    .is_err_and(|error| error.code() == ErrorCode::Unsupported),
                "a broker that gives no message to one group: {replayed:?}"
            );
            program.shutdown().await
        })
    })
}

fn failed(what: &'static str) -> impl Fn(BrokerError) -> Failure {
    move |error| step(what, &error)
}

/// The messages of the history, once `done` says that they are as they should be.
async fn messages(
    program: &Program,
    topic: &TopicName,
    done: impl Fn(&[Message]) -> bool,
) -> Result<Vec<Message>, Failure> {
    let deadline = clock::now() + program.patience;
    let filter = MessageFilter {
        broker_tag: topic.event().broker().to_owned(),
        limit: 1_000,
        ..MessageFilter::default()
    };
    loop {
        let messaging = program.ductape.messaging();
        let page = messaging
            .messages()
            .query(&filter)
            .await
            .map_err(failed("query"))?;
        if !page.messages.is_empty() && done(&page.messages) {
            return Ok(page.messages);
        }
        if clock::now() > deadline {
            return Err(Failure::new(format!(
                "the history is not complete: {:?}",
                page.messages
            )));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Whether each of its groups is done with it.
fn is_finished(message: &Message) -> bool {
    let mut deliveries = message.consumer_deliveries.iter();
    let is_done = |status| matches!(status, DeliveryStatus::Success | DeliveryStatus::DeadLettered);
    !message.consumer_deliveries.is_empty() && deliveries.all(|delivery| is_done(delivery.status))
}

async fn the_history_is_complete(context: Context) -> Result<(), Failure> {
    const N: usize = 30;
    let topic = context.topic("t")?;
    let (good, bad) = (context.group("good")?, context.group("bad")?);
    let program = Setup::new(&context)
        .await?
        .with_store()
        .consumer(&topic, &good, quick(2), Log::default().done())
        .consumer(
            &topic,
            &bad,
            quick(2),
            Log::default().decides(|called| match called.attempt {
                1 if called.text.ends_with('0') => fails("not yet"),
                _ if called.text.ends_with('5') => fails("never"),
                _ => Verdict::Done,
            }),
        )
        .start()
        .await?;
    for n in 0..N {
        program.produce(&topic, &format!("{n:03}")).await?;
    }
    let all = messages(&program, &topic, |all| {
        all.len() == N && all.iter().all(is_finished)
    })
    .await?;
    let count = |status| all.iter().filter(|message| message.status == status).count();
    check!(
        (count(MessageStatus::Success), count(MessageStatus::Partial)) == (N - 3, 3),
        "{all:?}"
    );
    for message in &all {
        let of = |group: &str| {
            let mut deliveries = message.consumer_deliveries.iter();
            deliveries.find(|delivery| delivery.consumer_tag == group)
        };
        let (Some(first), Some(second)) = (of(good.name.as_str()), of(bad.name.as_str())) else {
            return Err(Failure::new(format!("a group is missing: {message:?}")));
        };
        let text = String::from_utf8_lossy(message.payload.as_deref().unwrap_or_default()).into_owned();
        let text = text.trim_matches('"');
        let expected = match text.as_bytes().last() {
            Some(b'0') => (DeliveryStatus::Success, 1),
            Some(b'5') => (DeliveryStatus::DeadLettered, 1),
            _ => (DeliveryStatus::Success, 0),
        };
        check!(
            (first.status, first.retry_count) == (DeliveryStatus::Success, 0)
                && (second.status, second.retry_count) == expected,
            "message {text}: {message:?}"
        );
    }
    program.shutdown().await
}

async fn a_replay_goes_to_one_group_alone(context: Context) -> Result<(), Failure> {
    let topic = context.topic("t")?;
    let (one, two) = (context.group("one")?, context.group("two")?);
    let (first, second) = (Log::default(), Log::default());
    let program = Setup::new(&context)
        .await?
        .with_store()
        .consumer(&topic, &one, quick(1), first.done())
        .consumer(&topic, &two, quick(1), second.done())
        .start()
        .await?;
    let receipt = program.produce(&topic, "\"again\"").await?;
    messages(&program, &topic, |all| all.iter().all(is_finished)).await?;
    let id = receipt.process_id.to_string();
    let brokers = program.ductape.brokers();
    let mut options = ReplayOptions {
        group: Some(one.name.to_string()),
        ..ReplayOptions::default()
    };
    let refused = brokers.replay_event(&id, &options).await;
    check!(
        refused
            .as_ref()
            .is_err_and(|error| error.code() == ErrorCode::ReplayRefused),
        "a replay of what was handled, without `force`: {refused:?}"
    );
    options.force = true;
    let report = brokers
        .replay_event(&id, &options)
        .await
        .map_err(failed("replay_event"))?;
    first.until(2, program.patience).await?;
    program.settled().await?;
    let calls = first.calls();
    check!(
        (calls.len(), second.len()) == (2, 1),
        "the replay came {} times to its group and {} times to the other",
        calls.len() - 1,
        second.len() - 1
    );
    let (again, marked) = (&calls[1], calls[1].headers.get("ductape-replayed-from"));
    check!(
        again.id == report.new_event_id && again.id != receipt.process_id && again.text == calls[0].text,
        "{again:?}"
    );
    check!(marked == Some(id.as_str()), "the copy is marked with {marked:?}");
    program.shutdown().await
}

async fn dead_letters_are_reprocessed_from_the_history(context: Context) -> Result<(), Failure> {
    const N: usize = 5;
    let topic = context.topic("t")?;
    let (bad, good) = (context.group("bad")?, context.group("good")?);
    let (log, other, mended) = (Log::default(), Log::default(), Arc::new(AtomicBool::new(false)));
    let is_mended = Arc::clone(&mended);
    let program = Setup::new(&context)
        .await?
        .with_store()
        .consumer(
            &topic,
            &bad,
            quick(1),
            log.decides(move |_| {
                if is_mended.load(Ordering::SeqCst) {
                    Verdict::Done
                } else {
                    fails("broken")
                }
            }),
        )
        .consumer(&topic, &good, quick(1), other.done())
        .start()
        .await?;
    for n in 0..N {
        program.produce(&topic, &n.to_string()).await?;
    }
    messages(&program, &topic, |all| {
        all.len() == N && all.iter().all(is_finished)
    })
    .await?;
    mended.store(true, Ordering::SeqCst);
    let brokers = program.ductape.brokers();
    let filter = DeadLetterFilter {
        broker_tag: topic.event().broker().to_owned(),
        limit: 100,
        ..DeadLetterFilter::default()
    };
    // Two operators at one time.
    let options = ReprocessOptions::default();
    let (one, two) = tokio::join!(
        brokers.reprocess_dlq(&filter, &options),
        brokers.reprocess_dlq(&filter, &options)
    );
    let (one, two) = (
        one.map_err(failed("reprocess_dlq"))?,
        two.map_err(failed("reprocess_dlq"))?,
    );
    check!(
        one.reprocessed_count + two.reprocessed_count == N,
        "{one:?} {two:?}"
    );
    log.until(2 * N, program.patience).await?;
    messages(&program, &topic, |all| {
        all.iter().all(|message| message.status == MessageStatus::Success)
    })
    .await?;
    program.settled().await?;
    check!(
        (log.len(), other.len()) == (2 * N, N),
        "the failing group had {} calls, the other {}",
        log.len(),
        other.len()
    );
    program.shutdown().await
}

async fn an_idempotency_key_is_published_once(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let log = Log::default();
    let program = Setup::new(&context)
        .await?
        .with_store()
        .consumer(&topic, &group, quick(1), log.done())
        .start()
        .await?;
    let (brokers, event) = (program.ductape.brokers(), topic.event().as_str());
    let publish = |text: &str| {
        let (text, brokers) = (json!(text), &brokers);
        async move { brokers.publish_idempotent(event, &text, "order-1").await }
    };
    let (one, two) = tokio::join!(publish("a"), publish("a"));
    let (one, two) = (
        one.map_err(failed("publish_idempotent"))?,
        two.map_err(failed("publish_idempotent"))?,
    );
    check!(one.process_id == two.process_id, "{one:?} {two:?}");
    let conflict = publish("b").await;
    check!(
        conflict
            .as_ref()
            .is_err_and(|error| error.code() == ErrorCode::IdempotencyConflict),
        "the key with another payload: {conflict:?}"
    );
    log.until(1, program.patience).await?;
    program.settled().await?;
    check!(log.len() == 1, "it came {} times", log.len());
    program.shutdown().await
}
