//! Start, shutdown, leases and backpressure.

use std::collections::HashSet;
use std::time::Duration;

use ductape_providers::Outgoing;
use ductape_providers::conformance::{Context, Failure, check};

use super::{always, case};
use crate::clock;
use crate::conformance::log::Log;
use crate::conformance::setup::{Setup, quick};
use crate::conformance::wrapped::Wrapped;
use crate::consumer::{ConsumerOptions, HandlerError, Verdict};
use crate::error::ErrorCode;
use crate::produce::ProduceOptions;

const GROUP: &str = "lifecycle";

pub(super) static CASES: &[ductape_providers::conformance::Case] = &[
    case!("R-042", a_long_handler_keeps_its_lease),
    case!("R-098", a_running_handler_is_waited_for),
    case!("R-099", a_handler_beyond_the_limit_is_given_back),
    case!("R-101", stop_and_start_again),
    case!("R-102", stopping_one_leaves_the_other),
    case!(
        "R-103",
        backpressure_bounds_what_is_in_hand,
        always,
        Duration::from_mins(1)
    ),
    case!("R-250", what_is_produced_before_the_start_reaches_the_consumers),
    case!("R-251", a_program_is_not_idle_while_a_pipeline_goes_on),
];

async fn a_long_handler_keeps_its_lease(context: Context) -> Result<(), Failure> {
    let (topic, mut group) = (context.topic("t")?, context.group("g")?);
    group.lease = context.harness().lease();
    let takes = 3 * group.lease;
    let log = Log::default();
    let handler = move |log: &Log| {
        log.handler(move |_| async move {
            tokio::time::sleep(takes).await;
            Verdict::Done
        })
    };
    // A second member that would get what the first loses.
    let first = Setup::new(&context)
        .await?
        .consumer(&topic, &group, quick(3), handler(&log))
        .start()
        .await?;
    let second = Setup::new(&context)
        .await?
        .consumer(&topic, &group, quick(3), handler(&log))
        .start()
        .await?;
    first.produce(&topic, "long").await?;
    log.until(1, first.patience).await?;
    first.settled().await?;
    check!(
        log.len() == 1,
        "a handler of {takes:?} with a lease of {:?} was called {} times",
        group.lease,
        log.len()
    );
    first.shutdown().await?;
    second.shutdown().await
}

async fn a_running_handler_is_waited_for(context: Context) -> Result<(), Failure> {
    const LONG: Duration = Duration::from_secs(2);
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let log = Log::default();
    let slow = log.handler(|_| async {
        tokio::time::sleep(LONG).await;
        Verdict::Done
    });
    let options = ConsumerOptions {
        concurrency: Some(1),
        ..quick(3)
    };
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, options, slow)
        .start()
        .await?;
    program.produce_keyed(&topic, "k", "running").await?;
    program.produce_keyed(&topic, "k", "not begun").await?;
    let calls = log.until(1, program.patience).await?;
    program.shutdown().await?;
    check!(calls[0].at.elapsed() >= LONG, "the handler was not waited for");
    let stats = &program.ductape.stats()[0];
    check!((stats.handled, stats.running) == (1, 0), "at the end: {stats:?}");
    let again = Log::default();
    let next = Setup::new(&context)
        .await?
        .consumer(&topic, &group, quick(3), again.done())
        .start()
        .await?;
    next.settled().await?;
    check!(
        again.texts() == ["not begun"],
        "the next program got {:?}",
        again.texts()
    );
    // Some brokers count whatever they give out, be it begun or not, and can't take a count back.
    let attempts = again.calls()[0].attempt;
    check!(attempts <= 2, "what was not begun came as attempt {attempts}");
    next.shutdown().await
}

async fn a_handler_beyond_the_limit_is_given_back(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let log = Log::default();
    let endless = log.handler(|called| async move {
        if called.text == "endless" {
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
        Verdict::Done
    });
    let program = Setup::new(&context)
        .await?
        .with(|builder| builder.shutdown_timeout(Duration::from_millis(300)))
        .consumer(&topic, &group, quick(5), endless)
        .start()
        .await?;
    program.produce(&topic, "endless").await?;
    log.until(1, program.patience).await?;
    program.produce(&topic, "fine").await?;
    log.until(2, program.patience).await?;
    let began = clock::now();
    match program.ductape.shutdown().await {
        Err(error) if error.code() == ErrorCode::ShuttingDown => check!(
            error.message().contains("1 handler"),
            "the error does not say how many: {error}"
        ),
        other => {
            return Err(Failure::new(format!(
                "a shutdown with an endless handler: {other:?}"
            )));
        }
    }
    let took = began.elapsed();
    check!(
        took >= Duration::from_millis(300) && took < Duration::from_secs(5),
        "with a limit of 300 ms it took {took:?}"
    );
    let again = Log::default();
    let next = Setup::new(&context)
        .await?
        .consumer(&topic, &group, quick(5), again.done())
        .start()
        .await?;
    next.settled().await?;
    check!(
        again.texts() == ["endless"],
        "the next program got {:?}",
        again.texts()
    );
    next.shutdown().await
}

async fn stop_and_start_again(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let log = Log::default();
    let setup = async || -> Result<Setup, Failure> {
        let setup = Setup::new(&context).await?;
        Ok(setup.consumer(&topic, &group, quick(3), log.done()))
    };
    let first = setup().await?.start().await?;
    // Twice is harmless.
    first.start().await?;
    first.produce(&topic, "to the first").await?;
    log.until(1, first.patience).await?;
    first.idle().await?;
    first.shutdown().await?;
    let producer = Setup::new(&context).await?.topic(&topic).build().await?;
    for n in 0..20 {
        producer.produce(&topic, &n.to_string()).await?;
    }
    let second = setup().await?.start().await?;
    log.until(21, second.patience).await?;
    second.settled().await?;
    let distinct: HashSet<String> = log.texts().into_iter().collect();
    check!(
        log.len() == 21 && distinct.len() == 21,
        "21 messages came {} times",
        log.len()
    );
    producer.shutdown().await?;
    second.shutdown().await
}

async fn stopping_one_leaves_the_other(context: Context) -> Result<(), Failure> {
    let (one, two, group) = (context.topic("one")?, context.topic("two")?, context.group("g")?);
    let (first_log, second_log) = (Log::default(), Log::default());
    let client = context.connect().await?;
    let first = Setup::new(&context)
        .await?
        .consumer(&one, &group, quick(3), first_log.done())
        .start()
        .await?;
    let second = Setup::new(&context)
        .await?
        .topic(&one)
        .consumer(&two, &group, quick(3), second_log.done())
        .start()
        .await?;
    first.shutdown().await?;
    for n in 0..5 {
        second.produce(&one, &n.to_string()).await?;
        second.produce(&two, &n.to_string()).await?;
    }
    second_log.until(5, second.patience).await?;
    second.settled().await?;
    check!(
        first_log.len() == 0,
        "the stopped one was called: {:?}",
        first_log.texts()
    );
    second.shutdown().await?;
    let log = Log::default();
    let again = Setup::new(&context)
        .await?
        .consumer(&one, &group, quick(3), log.done())
        .build()
        .await?;
    if client.capability().backlog {
        let left = client.backlog(&one, &group).await?;
        check!(left.ready == 5, "the stopped one's group has {left:?}");
    }
    again.start().await?;
    log.until(5, again.patience).await?;
    again.settled().await?;
    check!(log.len() == 5, "the stopped one's group had {:?}", log.texts());
    again.shutdown().await
}

async fn backpressure_bounds_what_is_in_hand(context: Context) -> Result<(), Failure> {
    const MANY: usize = 20_000;
    const PREFETCH: usize = 32;
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let client = context.connect().await?;
    let log = Log::default();
    let slow = log.handler(|_| async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Verdict::Done
    });
    let options = ConsumerOptions {
        prefetch: Some(PREFETCH),
        concurrency: Some(16),
        ..quick(3)
    };
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, options, slow)
        .start()
        .await?;
    for from in (0..MANY).step_by(1_000) {
        let batch = (from..from + 1_000).map(|n| Outgoing::new(topic.clone(), n.to_string()));
        client.publish(batch.collect()).await?;
    }
    let deadline = clock::now() + Duration::from_secs(50);
    while log.len() < MANY {
        // Where the broker can't count, C-104 shows that no more is in hand.
        if client.capability().backlog {
            let backlog = client.backlog(&topic, &group).await?;
            // A broker may learn of an ack a little later than it gives out what the ack made room for.
            let most = u64::try_from(2 * PREFETCH).unwrap_or(u64::MAX);
            check!(
                backlog.in_flight <= most,
                "{} in hand with a prefetch of {PREFETCH}",
                backlog.in_flight
            );
        }
        check!(
            clock::now() < deadline,
            "{} of {MANY} were handled in 50 s",
            log.len()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    program.settled().await?;
    let distinct: HashSet<String> = log.texts().into_iter().collect();
    check!(
        log.len() == MANY && distinct.len() == MANY,
        "{MANY} messages were handled {} times, {} of them",
        log.len(),
        distinct.len()
    );
    program.shutdown().await
}

async fn what_is_produced_before_the_start_reaches_the_consumers(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let log = Log::default();
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, quick(3), log.done())
        .build()
        .await?;
    program.produce(&topic, "early").await?;
    program.start().await?;
    log.until(1, program.patience).await?;
    program.shutdown().await
}

async fn a_program_is_not_idle_while_a_pipeline_goes_on(context: Context) -> Result<(), Failure> {
    const STEP: Duration = Duration::from_millis(300);
    let (first, second, group) = (context.topic("t1")?, context.topic("t2")?, context.group("g")?);
    let client = context.connect().await?;
    // The second topic's consumer is looked at first, and the first topic's when it has handed on what it had.
    let late = Wrapped::new(client.provider()).counting_late(&first, 2 * STEP);
    let event = second.event().to_string();
    let (begun, ended) = (Log::default(), Log::default());
    let hands_on = begun.handler(move |called| {
        let event = event.clone();
        async move {
            tokio::time::sleep(STEP).await;
            let next = called
                .context
                .produce_bytes(&event, "next", ProduceOptions::default());
            next.await
                .map_or_else(|error| HandlerError::from(error).into(), |_| Verdict::Done)
        }
    });
    let ends = ended.handler(|_| async {
        tokio::time::sleep(6 * STEP).await;
        Verdict::Done
    });
    let program = Setup::over(&context, &late.into_provider())
        .consumer(&second, &group, quick(3), ends)
        .consumer(&first, &group, quick(3), hands_on)
        .start()
        .await?;
    program.produce(&first, "step").await?;
    begun.until(1, program.patience).await?;
    program.idle().await?;
    let handled: Vec<u64> = program.ductape.stats().iter().map(|one| one.handled).collect();
    check!(handled == [1, 1], "idle when {handled:?} were handled");
    program.shutdown().await
}
