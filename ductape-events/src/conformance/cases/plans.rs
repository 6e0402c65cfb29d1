//! A retry is the same for the handler, wherever the message waits for it: at the broker, in the process, or as a copy.

use std::time::Duration;

use ductape_providers::capability::Requeue;
use ductape_providers::conformance::{Applies, Context, Failure, check};
use ductape_providers::{Capability, Outgoing, Route};

use super::case;
use crate::conformance::log::{Log, fails};
use crate::conformance::setup::{Setup, tries};
use crate::conformance::wrapped::Wrapped;
use crate::consumer::Verdict;

const GROUP: &str = "plans";

pub(super) static CASES: &[ductape_providers::conformance::Case] = &[
    case!("R-210", a_retry_waits_at_the_broker),
    case!("R-211", a_retry_waits_in_the_process),
    case!("R-212", a_retry_waits_as_a_copy, copies),
    case!("R-213", a_message_that_ends_its_process_ends_as_a_dead_letter),
    case!("R-214", a_retry_held_at_shutdown_is_given_back),
    case!("R-215", a_waiting_retry_outlives_its_program),
];

/// Fails twice, 250 ms apart, on a broker of which the capability is changed; answers the copies that were made.
async fn fails_twice(
    context: &Context,
    hold_max: Duration,
    change: impl FnOnce(&mut Capability),
) -> Result<usize, Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let client = context.connect().await?;
    let copies = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&copies);
    let provider = Wrapped::new(client.provider())
        .can(change)
        .refusing(move |message| {
            if matches!(message.route, Route::Group(_)) {
                counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
            None
        });
    let wait = Duration::from_millis(250);
    let log = Log::default();
    let decides = log.decides(|called| match called.attempt {
        1 | 2 => fails("not yet"),
        _ => Verdict::Done,
    });
    let program = Setup::over(context, &provider.into_provider())
        .hold_max(hold_max)
        .consumer(&topic, &group, tries(5, wait), decides)
        .start()
        .await?;
    let receipt = program.produce(&topic, "fails twice").await?;
    let calls = log.until(3, program.patience).await?;
    program.settled().await?;
    check!(log.len() == 3, "3 attempts were {}", log.len());
    for (n, called) in (1..).zip(&calls) {
        check!(
            called.attempt == n && called.id == receipt.process_id && called.text == "fails twice",
            "attempt {n} was {called:?}"
        );
    }
    for pair in calls.windows(2) {
        let gap = pair[1].at - pair[0].at;
        check!(gap >= wait, "a retry after {wait:?} came after {gap:?}");
    }
    program.shutdown().await?;
    Ok(copies.load(std::sync::atomic::Ordering::SeqCst))
}

async fn a_retry_waits_at_the_broker(context: Context) -> Result<(), Failure> {
    let can = context.connect().await?.capability();
    let copies = fails_twice(&context, Duration::ZERO, |_| {}).await?;
    let holds = matches!(can.requeue, Requeue::Delayed { .. }) && can.delivery_count;
    // One that can't hold them gets copies, or else they wait in the process.
    let expected = if !holds && can.route_to_group && can.group_delay_max.is_some() {
        2
    } else {
        0
    };
    check!(
        copies == expected,
        "two retries made {copies} copies, not {expected}; the broker holds retries: {holds}"
    );
    Ok(())
}

async fn a_retry_waits_in_the_process(context: Context) -> Result<(), Failure> {
    let copies = fails_twice(&context, Duration::from_secs(5), |capability| {
        capability.requeue = Requeue::Immediate;
    })
    .await?;
    check!(copies == 0, "a short wait made {copies} copies");
    Ok(())
}

/// A broker where a copy can wait for its group; on another the retry waits in the process, however long.
fn copies(capability: &Capability) -> Applies {
    let can = capability.route_to_group && capability.group_delay_max.is_some();
    Applies::when(can, "group_delay_max", |context| {
        Box::pin(async move {
            let copies = fails_twice(&context, Duration::ZERO, |capability| {
                capability.requeue = Requeue::None;
            })
            .await?;
            check!(copies == 0, "a broker where no copy can wait got {copies} copies");
            Ok(())
        })
    })
}

async fn a_retry_waits_as_a_copy(context: Context) -> Result<(), Failure> {
    // Relaxed, since a copy has no place in the order of its key; without a key there is none.
    let copies = fails_twice(&context, Duration::ZERO, |capability| {
        capability.requeue = Requeue::None;
    })
    .await?;
    // A broker that delays no message for one group gets none: its retries wait in the process.
    let can = context.connect().await?.capability();
    let expected = if can.route_to_group && can.group_delay_max.is_some() {
        2
    } else {
        0
    };
    check!(
        copies == expected,
        "two retries made {copies} copies, not {expected}"
    );
    Ok(())
}

async fn a_message_that_ends_its_process_ends_as_a_dead_letter(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let client = context.connect().await?;
    let log = Log::default();
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, tries(2, Duration::from_millis(10)), log.done())
        .build()
        .await?;
    // As if it had been delivered again and again to processes that ended.
    let with = |attempt: u32| {
        let mut message =
            Outgoing::new(topic.clone(), attempt.to_string()).with_route(Route::Group(group.name.clone()));
        message.headers.insert("ductape-attempt", attempt.to_string());
        message
    };
    client.publish(vec![with(3), with(50)]).await?;
    program.start().await?;
    program.settled().await?;
    check!(
        log.texts() == ["3"],
        "a few ended processes are no reason to give up, 50 are; handled were {:?}",
        log.texts()
    );
    let letters = program.dead_letters(&topic, &group).await?;
    check!(
        letters.len() == 1 && letters[0].payload == "50" && letters[0].error_type == "attempts",
        "the dead letters are {letters:?}"
    );
    program.shutdown().await
}

async fn a_retry_held_at_shutdown_is_given_back(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let client = context.connect().await?;
    let provider = Wrapped::new(client.provider()).can(|capability| {
        capability.requeue = Requeue::Immediate;
        capability.route_to_group = false;
    });
    let log = Log::default();
    let first = Setup::over(&context, &provider.into_provider())
        .consumer(
            &topic,
            &group,
            tries(5, Duration::from_mins(1)),
            log.decides(|_| fails("not yet")),
        )
        .start()
        .await?;
    first.produce(&topic, "held").await?;
    log.until(1, first.patience).await?;
    let began = crate::clock::now();
    first.shutdown().await?;
    check!(
        began.elapsed() < Duration::from_secs(5),
        "a held retry held up the shutdown for {:?}",
        began.elapsed()
    );
    let log = Log::default();
    let second = Setup::new(&context)
        .await?
        .consumer(&topic, &group, tries(5, Duration::from_millis(10)), log.done())
        .start()
        .await?;
    let calls = log.until(1, second.patience).await?;
    check!(calls[0].text == "held", "{calls:?}");
    second.shutdown().await
}

/// The program ends without a word while a retry waits: another handles it, and where the broker holds retries or copies
/// it knows that it is the second attempt.
async fn a_waiting_retry_outlives_its_program(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let wait = context.harness().delay() * 3;
    let (first, second) = (Log::default(), Log::default());
    let program = Setup::new(&context)
        .await?
        .hold_max(Duration::ZERO)
        .consumer(
            &topic,
            &group,
            tries(5, wait),
            first.decides(|_| fails("not yet")),
        )
        .start()
        .await?;
    let capability = program.capability(&topic)?;
    let receipt = program.produce(&topic, "waits").await?;
    first.until(1, program.patience).await?;
    // Until the wait has begun: its plan is under way when the attempt is counted as one to be tried again.
    program.retried(1).await?;
    tokio::time::sleep(wait / 3).await;
    drop(program);
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, tries(5, wait), second.done())
        .start()
        .await?;
    let calls = second.until(1, program.patience + wait).await?;
    check!(
        calls[0].id == receipt.process_id,
        "another message came: {:?}",
        calls[0]
    );
    let kept = capability.route_to_group && capability.group_delay_max.is_some_and(|max| wait <= max)
        || matches!(capability.requeue, Requeue::Delayed { max, .. } if capability.delivery_count && wait <= max);
    check!(
        !kept || calls[0].attempt == 2,
        "the second attempt came as number {}",
        calls[0].attempt
    );
    program.settled().await?;
    check!(second.len() == 1, "it was handled {} times", second.len());
    program.shutdown().await
}
