//! What follows a message through its life, and what handlers produce in turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ductape_providers::conformance::{Context, Failure, check};
use ductape_providers::{Error, ErrorKind};

use super::case;
use crate::conformance::log::{Log, fails};
use crate::conformance::numbered::Numbered;
use crate::conformance::setup::{Setup, quick};
use crate::conformance::wrapped::Wrapped;
use crate::consumer::{ConsumerOptions, Delivery, HandlerError, IntoOutcome as _, Verdict};
use crate::produce::ProduceOptions;
use crate::runtime::{Call, DuctapeBuilder, SingleHandler};
use crate::topic::Topic;

const GROUP: &str = "trace";

pub(super) static CASES: &[ductape_providers::conformance::Case] = &[
    case!("R-111", tracing_ids_are_handed_on),
    case!("R-205", a_follow_up_has_the_same_id_each_time),
    case!("R-206", a_follow_up_that_can_t_be_published_is_a_failure),
];

async fn tracing_ids_are_handed_on(context: Context) -> Result<(), Failure> {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let (first, second, group) = (context.topic("one")?, context.topic("two")?, context.group("g")?);
    let (log, event) = (Log::default(), second.event().to_string());
    let forwards = log.handler(move |called| {
        let event = event.clone();
        async move {
            let produced = called
                .context
                .produce_bytes(&event, "second", ProduceOptions::default())
                .await;
            produced.map_or_else(|error| HandlerError::from(error).into(), |_| Verdict::Done)
        }
    });
    let program = Setup::new(&context)
        .await?
        .consumer(&first, &group, quick(3), forwards)
        .consumer(&second, &group, quick(3), log.done())
        .start()
        .await?;
    let traced = ProduceOptions::default().header("traceparent", TRACE);
    let receipt = program.produce_with(&first, "first", traced).await?;
    let calls = log.until(2, program.patience).await?;
    let (cause, effect) = (&calls[0], &calls[1]);
    let id = receipt.process_id.to_string();
    check!(
        cause.id == receipt.process_id && effect.text == "second",
        "{calls:?}"
    );
    let header = |name: &str| effect.headers.get(name);
    check!(
        header("traceparent") == Some(TRACE),
        "the trace is {:?}",
        header("traceparent")
    );
    check!(
        header("ce-causationid") == Some(&*id),
        "the cause of what {id} caused is {:?}",
        header("ce-causationid")
    );
    // The first of a conversation gives it its id.
    check!(
        header("ce-correlationid") == Some(&*id),
        "the correlation is {:?}",
        header("ce-correlationid")
    );
    let correlated = ProduceOptions::default().header("ce-correlationid", "conversation-7");
    program.produce_with(&first, "first", correlated).await?;
    let calls = log.until(4, program.patience).await?;
    let handed_on = calls[3].headers.get("ce-correlationid");
    check!(
        handed_on == Some("conversation-7"),
        "the correlation is {handed_on:?}"
    );
    program.shutdown().await
}

/// A handler that answers with a follow-up, and then is told whether to fail all the same.
fn pipeline(log: &Log, run: &str, fails_at: u32) -> Call {
    let (log, run) = (log.clone(), run.to_owned());
    let handler: SingleHandler = Arc::new(move |delivery: &Delivery| {
        let called = log.note(delivery);
        let event = Numbered {
            run: run.clone(),
            n: 7,
        };
        Box::pin(async move {
            let verdict = Ok::<_, HandlerError>(event).into_outcome(delivery).known().await;
            if called.attempt == fails_at && verdict == Verdict::Done {
                return fails("after its follow-up");
            }
            verdict
        })
    });
    Call::Single(handler)
}

async fn a_follow_up_has_the_same_id_each_time(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let run = group.name.to_string();
    let (handled, followed) = (Log::default(), Log::default());
    let program = Setup::new(&context)
        .await?
        .with(DuctapeBuilder::topic::<Numbered>)
        .consumer(&topic, &group, quick(3), pipeline(&handled, &run, 1))
        .consumer_of(Numbered::EVENT, &group, ConsumerOptions::DEFAULT, followed.done())
        .start()
        .await?;
    program.produce(&topic, "cause").await?;
    handled.until(2, program.patience).await?;
    program.settled().await?;
    let mut ids: Vec<_> = followed
        .calls()
        .into_iter()
        .filter(|called| called.text.contains(&run))
        .map(|called| called.id)
        .collect();
    // Once where the broker knows an id again.
    check!(
        matches!(ids.len(), 1 | 2),
        "a handler that ran twice followed up {} times",
        ids.len()
    );
    ids.dedup();
    check!(ids.len() == 1, "the follow-up of one message has the ids {ids:?}");
    program.shutdown().await
}

async fn a_follow_up_that_can_t_be_published_is_a_failure(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let run = group.name.to_string();
    let refusals = AtomicUsize::new(2);
    let client = context.connect().await?;
    let provider = Wrapped::new(client.provider()).refusing(move |message| {
        let refuse = message.topic.event().as_str() == Numbered::EVENT
            && refusals
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok();
        refuse.then(|| Error::new(ErrorKind::Unauthorized, "told to refuse"))
    });
    let (handled, followed) = (Log::default(), Log::default());
    let program = Setup::over(&context, &provider.into_provider())
        .with(DuctapeBuilder::topic::<Numbered>)
        .consumer(&topic, &group, quick(5), pipeline(&handled, &run, 0))
        .consumer_of(Numbered::EVENT, &group, ConsumerOptions::DEFAULT, followed.done())
        .start()
        .await?;
    program.produce(&topic, "cause").await?;
    handled.until(3, program.patience).await?;
    program.settled().await?;
    let attempts: Vec<u32> = handled.calls().iter().map(|called| called.attempt).collect();
    check!(
        attempts == [1, 2, 3],
        "with two refused follow-ups the attempts were {attempts:?}"
    );
    let texts = followed.texts();
    let came = texts.iter().filter(|text| text.contains(&run)).count();
    check!(came == 1, "the follow-up came {came} times");
    program.shutdown().await
}
