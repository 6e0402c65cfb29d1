//! Handlers that take many messages at once.

use ductape_providers::conformance::{Context, Failure, check};

use super::case;
use crate::conformance::log::{Called, Log, fails, failure};
use crate::conformance::setup::{Setup, quick};
use crate::consumer::{ConsumerOptions, Verdict};
use std::sync::{Arc, Mutex, PoisonError};

const GROUP: &str = "batches";

pub(super) static CASES: &[ductape_providers::conformance::Case] = &[
    case!("R-016", batches_are_bounded_and_in_order),
    case!("R-017", only_the_failed_of_a_batch_returns),
    case!("R-240", a_batch_that_answers_too_little_loses_nothing),
];

fn batches_of(most: usize) -> ConsumerOptions {
    ConsumerOptions {
        batch: Some(most),
        ..quick(3)
    }
}

async fn batches_are_bounded_and_in_order(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let (log, sizes) = (Log::default(), Arc::new(Mutex::new(Vec::new())));
    let noted = Arc::clone(&sizes);
    let handler = log.batches(move |batch| {
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.push(batch.len());
        vec![Verdict::Done; batch.len()]
    });
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, batches_of(6), handler)
        .build()
        .await?;
    for n in 0..12 {
        program.produce_keyed(&topic, "k", &format!("{n:02}")).await?;
    }
    // Without a key: some brokers give out one message of a key at a time.
    for n in 0..12 {
        program.produce(&topic, &format!("x{n}")).await?;
    }
    program.start().await?;
    log.until(24, program.patience).await?;
    program.settled().await?;
    let sizes = sizes.lock().unwrap_or_else(PoisonError::into_inner).clone();
    check!(
        sizes.iter().all(|size| (1..=6).contains(size)) && sizes.iter().any(|size| *size > 1),
        "batches of at most 6 had {sizes:?}"
    );
    let keyed: Vec<String> = log
        .texts()
        .into_iter()
        .filter(|text| !text.starts_with('x'))
        .collect();
    check!(
        log.len() == 24 && keyed.len() == 12 && keyed.is_sorted(),
        "they came as {:?}",
        log.texts()
    );
    program.shutdown().await
}

async fn only_the_failed_of_a_batch_returns(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let log = Log::default();
    let handler = log.batches(|batch| {
        let each = |called: &Called| match (&*called.text, called.attempt) {
            ("2", 1) => fails("once"),
            ("4", _) => Verdict::DeadLetter(failure("never")),
            _ => Verdict::Done,
        };
        batch.iter().map(each).collect()
    });
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, batches_of(5), handler)
        .build()
        .await?;
    for n in 0..5 {
        program.produce(&topic, &n.to_string()).await?;
    }
    program.start().await?;
    log.until(6, program.patience).await?;
    program.settled().await?;
    let mut came: Vec<_> = log
        .calls()
        .into_iter()
        .map(|called| (called.text, called.attempt))
        .collect();
    came.sort();
    let expected = [("0", 1), ("1", 1), ("2", 1), ("2", 2), ("3", 1), ("4", 1)];
    let expected: Vec<_> = expected.map(|(text, n)| (text.to_owned(), n)).into();
    check!(came == expected, "of a batch with one failure came {came:?}");
    let letters = program.dead_letters(&topic, &group).await?;
    check!(
        letters.len() == 1 && letters[0].payload == "4",
        "the dead letters are {letters:?}"
    );
    program.shutdown().await
}

async fn a_batch_that_answers_too_little_loses_nothing(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let log = Log::default();
    // Answers for its first message alone, until there is one.
    let handler = log.batches(|_| vec![Verdict::Done]);
    let options = ConsumerOptions {
        batch: Some(4),
        ..quick(20)
    };
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, options, handler)
        .build()
        .await?;
    for n in 0..4 {
        program.produce(&topic, &n.to_string()).await?;
    }
    program.start().await?;
    log.until(5, program.patience).await?;
    program.settled().await?;
    let stats = &program.ductape.stats()[0];
    check!(
        (stats.handled, stats.dead_lettered) == (4, 0),
        "of 4 messages: {stats:?}, calls {:?}",
        log.texts()
    );
    program.shutdown().await
}
