//! Messages of one key: one at a time, in order, also while one is tried again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ductape_providers::capability::Requeue;
use ductape_providers::conformance::{Context, Failure, check};
use ductape_providers::spec::Ordering;
use ductape_providers::{AnyProvider, ErrorKind, Outgoing};

use super::{always, case};
use crate::conformance::log::{Log, fails};
use crate::conformance::setup::{Setup, tries};
use crate::conformance::wrapped::Wrapped;
use crate::consumer::{ConsumerOptions, Verdict};

const GROUP: &str = "order";

pub(super) static CASES: &[ductape_providers::conformance::Case] = &[
    case!("R-050", keys_run_in_order_and_one_at_a_time),
    case!("R-052", a_strict_retry_holds_its_key),
    case!("R-230", a_strict_retry_in_the_process_holds_its_key),
    case!("R-231", a_relaxed_retry_lets_its_key_pass),
    case!("R-232", a_relaxed_retry_in_the_process_lets_its_key_pass),
    case!(
        "R-106",
        lost_subscriptions_lose_and_reorder_nothing,
        always,
        Duration::from_secs(40)
    ),
    case!("R-233", receive_errors_that_pass_lose_nothing),
];

async fn keys_run_in_order_and_one_at_a_time(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let (log, running) = (
        Log::default(),
        Arc::new(Mutex::new(HashMap::<String, u32>::new())),
    );
    let together = Arc::new(Mutex::new(Vec::new()));
    let (counts, noted) = (Arc::clone(&running), Arc::clone(&together));
    let handler = log.handler(move |called| {
        let (counts, noted) = (Arc::clone(&counts), Arc::clone(&noted));
        async move {
            let key = called.key.clone().unwrap_or_default();
            let change = |by: i64| {
                let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                let count = counts.entry(key.clone()).or_default();
                *count = count.saturating_add_signed(i32::try_from(by).unwrap_or(0));
                *count
            };
            if change(1) > 1 {
                let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.push(called.text.clone());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            change(-1);
            Verdict::Done
        }
    });
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, ConsumerOptions::DEFAULT, handler)
        .start()
        .await?;
    for n in 0..400 {
        let key = format!("k{}", n % 8);
        program.produce_keyed(&topic, &key, &format!("{n:04}")).await?;
    }
    log.until(400, program.patience).await?;
    program.settled().await?;
    let together = together.lock().unwrap_or_else(PoisonError::into_inner).clone();
    check!(
        together.is_empty(),
        "two of one key ran at one time: {together:?}"
    );
    for key in 0..8 {
        let key = format!("k{key}");
        let texts: Vec<String> = log
            .calls()
            .into_iter()
            .filter(|called| called.key.as_ref() == Some(&key))
            .map(|called| called.text)
            .collect();
        check!(
            texts.len() == 50 && texts.is_sorted(),
            "key {key} came as {texts:?}"
        );
    }
    program.shutdown().await
}

/// A broker that only gives deliveries back at once, so that retries wait in the process.
fn holds_nothing(provider: &AnyProvider) -> AnyProvider {
    let weaker = Wrapped::new(provider).can(|capability| {
        capability.requeue = Requeue::Immediate;
        capability.route_to_group = false;
    });
    weaker.into_provider()
}

/// The texts in the order of their calls, when `a2` of the key `a` fails twice.
async fn order_when_one_fails(
    context: &Context,
    ordering: Ordering,
    in_process: bool,
) -> Result<Vec<String>, Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let client = context.connect().await?;
    let provider = if in_process {
        holds_nothing(client.provider())
    } else {
        Arc::clone(client.provider())
    };
    let log = Log::default();
    let decides = log.decides(|called| match (&*called.text, called.attempt) {
        ("a2", 1 | 2) => fails("twice"),
        _ => Verdict::Done,
    });
    let options = ConsumerOptions {
        ordering: Some(ordering),
        ..tries(5, Duration::from_millis(250))
    };
    let program = Setup::over(context, &provider)
        .consumer(&topic, &group, options, decides)
        .build()
        .await?;
    for text in ["a1", "a2", "a3", "b1", "a4", "b2"] {
        program.produce_keyed(&topic, &text[..1], text).await?;
    }
    program.start().await?;
    log.until(8, program.patience).await?;
    program.settled().await?;
    let calls = log.calls();
    let a2: Vec<_> = calls.iter().filter(|called| called.text == "a2").collect();
    for pair in a2.windows(2) {
        let gap = pair[1].at - pair[0].at;
        check!(gap >= Duration::from_millis(250), "a2 came again after {gap:?}");
    }
    program.shutdown().await?;
    Ok(calls.into_iter().map(|called| called.text).collect())
}

fn of_key(texts: &[String], key: char) -> Vec<&str> {
    let of = texts.iter().filter(|text| text.starts_with(key));
    of.map(String::as_str).collect()
}

fn check_strict(texts: &[String]) -> Result<(), Failure> {
    check!(
        of_key(texts, 'a') == ["a1", "a2", "a2", "a2", "a3", "a4"],
        "with a2 failing twice the key came as {texts:?}"
    );
    // The other key does not wait.
    let at = |text: &str| texts.iter().position(|came| came == text);
    check!(at("b2") < at("a3"), "another key waited for a2: {texts:?}");
    Ok(())
}

fn check_relaxed(texts: &[String]) -> Result<(), Failure> {
    check!(
        of_key(texts, 'a') == ["a1", "a2", "a3", "a4", "a2", "a2"],
        "with a2 failing twice the key came as {texts:?}"
    );
    Ok(())
}

async fn a_strict_retry_holds_its_key(context: Context) -> Result<(), Failure> {
    check_strict(&order_when_one_fails(&context, Ordering::Strict, false).await?)
}

async fn a_strict_retry_in_the_process_holds_its_key(context: Context) -> Result<(), Failure> {
    check_strict(&order_when_one_fails(&context, Ordering::Strict, true).await?)
}

async fn a_relaxed_retry_lets_its_key_pass(context: Context) -> Result<(), Failure> {
    check_relaxed(&order_when_one_fails(&context, Ordering::Relaxed, false).await?)
}

async fn a_relaxed_retry_in_the_process_lets_its_key_pass(context: Context) -> Result<(), Failure> {
    let texts = order_when_one_fails(&context, Ordering::Relaxed, true).await?;
    if gives_several_of_a_key(&context).await? {
        return check_relaxed(&texts);
    }
    // What waits in the process is unsettled, and such a broker keeps its key back.
    check_strict(&texts)
}

/// Whether the broker gives out a message of a key while an earlier one is unsettled.
async fn gives_several_of_a_key(context: &Context) -> Result<bool, Failure> {
    let (client, topic, group) = (
        context.connect().await?,
        context.topic("probe")?,
        context.group("probe")?,
    );
    client.declare(&topic, &[&group]).await?;
    let mut reader = client.reader(&topic, &group).await?;
    let message = |text: &str| Outgoing::new(topic.clone(), text.to_owned()).with_key("k");
    client.publish(vec![message("1"), message("2")]).await?;
    let mut held = reader.take(1).await?;
    let second = reader.try_receive(&mut held, 1);
    let several = matches!(
        tokio::time::timeout(context.harness().quiet(), second).await,
        Ok(Ok(()))
    );
    reader.close().await?;
    Ok(several)
}

/// 300 messages of 5 keys over a subscription that fails now and then: all come, each key's first deliveries in order.
async fn comes_in_order(context: &Context, provider: Wrapped) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let subscribed = provider.subscribed();
    let log = Log::default();
    let options = ConsumerOptions {
        prefetch: Some(16),
        ..ConsumerOptions::DEFAULT
    };
    let program = Setup::over(context, &provider.into_provider())
        .consumer(&topic, &group, options, log.done())
        .build()
        .await?;
    for n in 0..300 {
        let key = format!("k{}", n % 5);
        program.produce_keyed(&topic, &key, &format!("{n:04}")).await?;
    }
    program.start().await?;
    log.until(300, 3 * program.patience).await?;
    program.idle().await?;
    let mut came: HashMap<String, Vec<String>> = HashMap::new();
    for called in log.calls() {
        let texts = came.entry(called.key.unwrap_or_default()).or_default();
        if !texts.contains(&called.text) {
            texts.push(called.text);
        }
    }
    let in_all: usize = came.values().map(Vec::len).sum();
    check!(in_all == 300, "{in_all} of 300 messages came");
    check!(
        came.values().all(|texts| texts.is_sorted()),
        "a key came out of order: {came:?}"
    );
    check!(
        subscribed.load(std::sync::atomic::Ordering::SeqCst) >= 1,
        "it never subscribed"
    );
    program.shutdown().await
}

async fn lost_subscriptions_lose_and_reorder_nothing(context: Context) -> Result<(), Failure> {
    let client = context.connect().await?;
    let provider = Wrapped::new(client.provider()).ending(64, ErrorKind::Unexpected);
    let subscribed = provider.subscribed();
    comes_in_order(&context, provider).await?;
    let times = subscribed.load(std::sync::atomic::Ordering::SeqCst);
    check!(times > 1, "the subscription was never lost");
    Ok(())
}

async fn receive_errors_that_pass_lose_nothing(context: Context) -> Result<(), Failure> {
    let client = context.connect().await?;
    let provider = Wrapped::new(client.provider()).ending(32, ErrorKind::Throttled);
    let subscribed = provider.subscribed();
    comes_in_order(&context, provider).await?;
    let times = subscribed.load(std::sync::atomic::Ordering::SeqCst);
    check!(times == 1, "an error that passes made it subscribe {times} times");
    Ok(())
}
