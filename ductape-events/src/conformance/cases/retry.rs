//! How often, when and where a message is tried again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ductape_providers::conformance::{Context, Failure, check};

use super::case;
use crate::conformance::log::{Log, fails, failure};
use crate::conformance::setup::{Setup, quick, tries};
use crate::consumer::{Backoff, ConsumerOptions, RetryOptions, Verdict};
use crate::stats::{AttemptReport, AttemptResult};

const GROUP: &str = "retry";

pub(super) static CASES: &[ductape_providers::conformance::Case] = &[
    case!("R-029", retry_count_is_exact),
    case!("R-030", retry_schedule_is_kept),
    case!("R-031", rejected_is_not_tried_again),
    case!("R-034", only_what_is_rejected_becomes_a_dead_letter_at_once),
    case!("R-040", panic_is_a_failed_attempt),
    case!("R-041", timeout_is_a_failed_attempt),
    case!("R-045", observers_hear_of_each_attempt_once),
    case!("R-047", retry_after_is_a_floor),
    case!("R-054", retries_reach_the_failing_group_alone),
];

async fn retry_count_is_exact(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let log = Log::default();
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, quick(5), log.decides(|_| fails("always")))
        .start()
        .await?;
    let receipt = program.produce(&topic, "fails").await?;
    log.until(5, program.patience).await?;
    program.settled().await?;
    let calls = log.calls();
    let attempts: Vec<u32> = calls.iter().map(|called| called.attempt).collect();
    check!(
        attempts == [1, 2, 3, 4, 5],
        "of 5 attempts the handler saw {attempts:?}"
    );
    check!(
        calls.iter().all(|called| called.id == receipt.process_id),
        "the id did not stay the same: {calls:?}"
    );
    let letters = program.dead_letters(&topic, &group).await?;
    check!(
        letters.len() == 1 && letters[0].attempts == 5,
        "the dead letters are {letters:?}"
    );
    let stats = &program.ductape.stats()[0];
    check!(
        (stats.handled, stats.retried, stats.dead_lettered, stats.running) == (0, 4, 1, 0),
        "{stats:?}"
    );
    program.shutdown().await
}

async fn retry_schedule_is_kept(context: Context) -> Result<(), Failure> {
    let ms = Duration::from_millis;
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let log = Log::default();
    let options = ConsumerOptions {
        retry: RetryOptions {
            attempts: Some(5),
            backoff: Some(Backoff::Exponential),
            base: Some(ms(100)),
            max: Some(ms(400)),
        },
        ..ConsumerOptions::DEFAULT
    };
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, options, log.decides(|_| fails("always")))
        .start()
        .await?;
    program.produce(&topic, "fails").await?;
    let calls = log.until(5, program.patience).await?;
    let gaps: Vec<Duration> = calls.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    for (gap, floor) in gaps.iter().zip([ms(100), ms(200), ms(400), ms(400)]) {
        // Never early; late by the spread and by what a busy machine takes.
        check!(
            *gap >= floor,
            "a retry came after {gap:?}, before {floor:?}: {gaps:?}"
        );
        check!(
            *gap < floor.mul_f64(1.2) + ms(1_500),
            "a retry came after {gap:?}, long after {floor:?}: {gaps:?}"
        );
    }
    program.shutdown().await
}

async fn rejected_is_not_tried_again(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let log = Log::default();
    let rejects = log.decides(|_| Verdict::DeadLetter(failure("not for us")));
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, quick(5), rejects)
        .start()
        .await?;
    program.produce(&topic, "rejected").await?;
    program.settled().await?;
    check!(
        log.len() == 1,
        "what was rejected was handled {} times",
        log.len()
    );
    let letters = program.dead_letters(&topic, &group).await?;
    check!(
        letters.len() == 1 && letters[0].reason == "not for us" && letters[0].attempts == 1,
        "the dead letters are {letters:?}"
    );
    program.shutdown().await
}

async fn only_what_is_rejected_becomes_a_dead_letter_at_once(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let log = Log::default();
    let decides = log.decides(|called| match (&*called.text, called.attempt) {
        ("reject", _) => Verdict::DeadLetter(failure("kind A")),
        ("retry", 1 | 2) => fails("kind B"),
        _ => Verdict::Done,
    });
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, quick(5), decides)
        .start()
        .await?;
    for text in ["reject", "retry", "fine"] {
        program.produce(&topic, text).await?;
    }
    log.until(5, program.patience).await?;
    program.settled().await?;
    let mut texts = log.texts();
    texts.sort();
    check!(
        texts == ["fine", "reject", "retry", "retry", "retry"],
        "the handler was called with {texts:?}"
    );
    let letters = program.dead_letters(&topic, &group).await?;
    check!(
        letters.len() == 1 && letters[0].payload == "reject",
        "the dead letters are {letters:?}"
    );
    program.shutdown().await
}

#[allow(clippy::panic)] // panicking is what this handler is for
async fn panic_is_a_failed_attempt(context: Context) -> Result<(), Failure> {
    let (topic, group, other) = (context.topic("t")?, context.group("g")?, context.group("other")?);
    let (log, beside) = (Log::default(), Log::default());
    let panics = log.handler(|called| {
        assert!(
            called.text != "before" || called.attempt > 1,
            "before the first await"
        );
        async move {
            tokio::task::yield_now().await;
            assert!(called.text != "later" || called.attempt > 2, "after an await");
            Verdict::Done
        }
    });
    let options = ConsumerOptions {
        concurrency: Some(1),
        ..quick(3)
    };
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, options, panics)
        .consumer(&topic, &other, options, beside.done())
        .start()
        .await?;
    for text in ["before", "later", "fine"] {
        program.produce(&topic, text).await?;
    }
    log.until(6, program.patience).await?;
    program.settled().await?;
    let attempts = |text: &str| {
        let calls = log.calls();
        let of = calls.iter().filter(|called| called.text == text);
        of.map(|called| called.attempt).collect::<Vec<_>>()
    };
    check!(attempts("before") == [1, 2], "attempts {:?}", attempts("before"));
    check!(attempts("later") == [1, 2, 3], "attempts {:?}", attempts("later"));
    check!(attempts("fine") == [1], "attempts {:?}", attempts("fine"));
    check!(
        beside.len() == 3,
        "the group beside it handled {:?}",
        beside.texts()
    );
    let letters = program.dead_letters(&topic, &group).await?;
    check!(letters.is_empty(), "the dead letters are {letters:?}");
    program.shutdown().await
}

async fn timeout_is_a_failed_attempt(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let (log, ended) = (Log::default(), Arc::new(Mutex::new(0)));
    let counter = Arc::clone(&ended);
    let hangs = log.handler(move |called| {
        let counter = Arc::clone(&counter);
        async move {
            if called.attempt == 1 {
                tokio::time::sleep(Duration::from_mins(1)).await;
            }
            *counter.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            Verdict::Done
        }
    });
    let options = ConsumerOptions {
        timeout: Some(Duration::from_millis(200)),
        ..quick(3)
    };
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, options, hangs)
        .start()
        .await?;
    program.produce(&topic, "slow").await?;
    let calls = log.until(2, program.patience).await?;
    program.settled().await?;
    check!(calls[1].attempt == 2 && log.len() == 2, "attempts {calls:?}");
    check!(
        calls[1].at - calls[0].at >= Duration::from_millis(200),
        "it was cancelled before its time"
    );
    let ended = *ended.lock().unwrap_or_else(PoisonError::into_inner);
    check!(
        ended == 1,
        "{ended} handlers came to their end; one was to be cancelled"
    );
    program.shutdown().await
}

async fn observers_hear_of_each_attempt_once(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let (log, heard) = (Log::default(), Arc::new(Mutex::new(Vec::new())));
    let notes = Arc::clone(&heard);
    let observer = move |report: &AttemptReport<'_>| {
        let what = match report.result {
            AttemptResult::Handled => "handled".to_owned(),
            AttemptResult::Duplicate => "a duplicate".to_owned(),
            AttemptResult::Retried(_, failure) => format!("retried: {}", failure.reason),
            AttemptResult::DeadLettered(failure) => format!("dead: {}", failure.reason),
        };
        let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push((report.id.clone(), report.attempt, what));
    };
    let program = Setup::new(&context)
        .await?
        .with(|builder| {
            builder
                .observe(observer)
                .observe(|_: &AttemptReport<'_>| misbehave())
        })
        .consumer(&topic, &group, quick(3), log.decides(|_| fails("no")))
        .start()
        .await?;
    let id = program.produce(&topic, "fails").await?.process_id;
    log.until(3, program.patience).await?;
    program.settled().await?;
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let expected = [
        (id.clone(), 1, "retried: no".to_owned()),
        (id.clone(), 2, "retried: no".to_owned()),
        (id, 3, "dead: no".to_owned()),
    ];
    check!(heard == expected, "the observer heard of {heard:?}");
    program.shutdown().await
}

/// What an observer must not do, and what must do no harm.
#[allow(clippy::panic)]
fn misbehave() {
    panic!("an observer that panics");
}

async fn retry_after_is_a_floor(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let log = Log::default();
    let wait = context.harness().delay();
    let decides = log.decides(move |called| match called.attempt {
        1 => Verdict::Retry(Some(wait), failure("closed")),
        _ => Verdict::Done,
    });
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, tries(3, Duration::from_mins(1)), decides)
        .start()
        .await?;
    program.produce(&topic, "later").await?;
    let calls = log.until(2, program.patience).await?;
    let gap = calls[1].at - calls[0].at;
    check!(gap >= wait, "what asked for {wait:?} came again after {gap:?}");
    program.shutdown().await
}

async fn retries_reach_the_failing_group_alone(context: Context) -> Result<(), Failure> {
    let topic = context.topic("t")?;
    let (failing, fine) = (context.group("failing")?, context.group("fine")?);
    let (fails_once, handles) = (Log::default(), Log::default());
    let decides = fails_once.decides(|called| match called.attempt {
        1 => fails("once"),
        _ => Verdict::Done,
    });
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &failing, quick(3), decides)
        .consumer(&topic, &fine, quick(3), handles.done())
        .start()
        .await?;
    for n in 0..20 {
        program.produce(&topic, &n.to_string()).await?;
    }
    fails_once.until(40, program.patience).await?;
    program.settled().await?;
    check!(
        fails_once.len() == 40,
        "the failing group had {} calls",
        fails_once.len()
    );
    check!(
        handles.len() == 20,
        "the other group had {} calls for 20 messages",
        handles.len()
    );
    program.shutdown().await
}
