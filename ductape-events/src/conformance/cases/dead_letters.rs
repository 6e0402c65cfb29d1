//! Dead letters: never lost, never twice, readable, and sent back to their group alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ductape_providers::conformance::{Context, Failure, check};
use ductape_providers::{Error, ErrorKind, Route};

use super::case;
use crate::clock;
use crate::conformance::log::{Log, fails};
use crate::conformance::setup::{Setup, quick, step};
use crate::conformance::wrapped::Wrapped;
use crate::consumer::{ConsumerOptions, HandlerError, Verdict};
use crate::error::ErrorCode;
use crate::produce::ProduceOptions;

const GROUP: &str = "dead letters";

pub(super) static CASES: &[ductape_providers::conformance::Case] = &[
    case!("R-032", dead_letter_comes_once_and_whole),
    case!("R-033", dead_letter_tells_what_is_known),
    case!("R-036", reprocessed_dead_letters_are_handled_again),
    case!("R-039", poison_is_skipped),
    case!("R-220", a_dead_letter_that_is_refused_first_is_not_lost),
    case!(
        "R-221",
        a_dead_letter_that_fails_again_comes_back,
        super::always,
        std::time::Duration::from_mins(1)
    ),
    case!("R-222", looking_at_dead_letters_leaves_them),
    case!("R-223", dead_letters_of_no_group_are_an_error),
    case!(
        "R-224",
        once_does_not_swallow_a_reprocessed_dead_letter,
        super::groups::once
    ),
];

async fn dead_letter_comes_once_and_whole(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let log = Log::default();
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, quick(2), log.decides(|_| fails("always")))
        .start()
        .await?;
    let options = ProduceOptions::default().key("k").header("tenant", "acme");
    let receipt = program.produce_with(&topic, "☺ payload", options).await?;
    log.until(2, program.patience).await?;
    program.settled().await?;
    let letters = program.dead_letters(&topic, &group).await?;
    check!(
        letters.len() == 1,
        "one message became {} dead letters",
        letters.len()
    );
    let letter = &letters[0];
    check!(
        letter.id == receipt.process_id
            && letter.payload == "☺ payload"
            && letter.key.as_deref() == Some("k")
            && letter.headers.get("tenant") == Some("acme"),
        "the dead letter is {letter:?}"
    );
    program.shutdown().await
}

async fn dead_letter_tells_what_is_known(context: Context) -> Result<(), Failure> {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let log = Log::default();
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, quick(3), log.decides(|_| fails("no stock")))
        .start()
        .await?;
    let began = clock::to_millis(clock::wall());
    let traced = ProduceOptions::default().header("traceparent", TRACE);
    program.produce_with(&topic, "fails", traced).await?;
    log.until(3, program.patience).await?;
    program.settled().await?;
    let ended = clock::to_millis(clock::wall());
    let letters = program.dead_letters(&topic, &group).await?;
    check!(letters.len() == 1, "the dead letters are {letters:?}");
    let letter = &letters[0];
    check!(
        (&*letter.reason, &*letter.error_type, letter.attempts) == ("no stock", "told", 3),
        "the dead letter is {letter:?}"
    );
    let header = |name: &str| letter.headers.get(name).unwrap_or_default().to_owned();
    check!(
        header("ductape-dead-topic") == topic.event().as_str()
            && header("ductape-dead-group") == group.name.as_str()
            && letter.consumer.as_deref() == Some("handler")
            && header("traceparent") == TRACE,
        "the headers are {:?}",
        letter.headers
    );
    let (Some(first), Some(last)) = (letter.first_failed_at, letter.last_failed_at) else {
        return Err(Failure::new(format!(
            "it does not say when it failed: {letter:?}"
        )));
    };
    let (first, last) = (clock::to_millis(first), clock::to_millis(last));
    // Two waits of 10 ms are between the first failure and the last.
    check!(
        began <= first && first + 20 <= last && last <= ended,
        "began {began}, failed {first} to {last}, ended {ended}"
    );
    program.shutdown().await
}

async fn reprocessed_dead_letters_are_handled_again(context: Context) -> Result<(), Failure> {
    let topic = context.topic("t")?;
    let (group, other) = (context.group("g")?, context.group("other")?);
    let (log, beside, mended) = (Log::default(), Log::default(), Arc::new(AtomicUsize::new(0)));
    let is_mended = Arc::clone(&mended);
    let decides = log.decides(move |_| match is_mended.load(Ordering::SeqCst) {
        0 => fails("broken"),
        _ => Verdict::Done,
    });
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, quick(2), decides)
        .consumer(&topic, &other, quick(2), beside.done())
        .start()
        .await?;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(
            program
                .produce_keyed(&topic, "k", &n.to_string())
                .await?
                .process_id,
        );
    }
    log.until(10, program.patience).await?;
    program.settled().await?;
    check!(
        program.dead_letters(&topic, &group).await?.len() == 5,
        "5 messages became dead letters"
    );
    mended.store(1, Ordering::SeqCst);
    let (event, name) = (topic.event().as_str(), group.name.as_str());
    for (limit, expected) in [(3, &ids[..3]), (100, &ids[3..]), (100, &[][..])] {
        let report = program.ductape.reprocess_dead_letters(event, name, limit).await;
        let report = report.map_err(|error| step("reprocess_dead_letters", &error))?;
        check!(
            report.ids == expected && report.reprocessed == expected.len() && report.failed == 0,
            "at most {limit} dead letters were sent back: {report:?}"
        );
        program.settled().await?;
    }
    let again = &log.calls()[10..];
    let told: Vec<_> = again
        .iter()
        .map(|called| (called.text.as_str(), called.attempt, &called.id))
        .collect();
    let expected: Vec<_> = ["0", "1", "2", "3", "4"]
        .into_iter()
        .zip(&ids)
        .map(|(text, id)| (text, 1, id))
        .collect();
    check!(told == expected, "after they were sent back came {told:?}");
    check!(
        beside.len() == 5,
        "the other group got {} messages of 5",
        beside.len()
    );
    let left = program.dead_letters(&topic, &group).await?;
    check!(left.is_empty(), "dead letters are left: {left:?}");
    program.shutdown().await
}

async fn poison_is_skipped(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let program = Setup::new(&context).await?.topic(&topic).build().await?;
    let handled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&handled);
    let (event, name) = (topic.event().as_str(), group.name.as_str());
    let consumed = program.ductape.consume(event, name, move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { Ok::<(), HandlerError>(()) }
    });
    consumed.await.map_err(|error| step("consume", &error))?;
    program.start().await?;
    for text in ["{\"n\":1}", "{\"n\":", "\u{1}", "{\"n\":2}"] {
        program.produce_keyed(&topic, "one key", text).await?;
    }
    program.settled().await?;
    let count = handled.load(Ordering::SeqCst);
    check!(count == 2, "of two good messages {count} were handled");
    let letters = program.dead_letters(&topic, &group).await?;
    let poison: Vec<_> = letters
        .iter()
        .map(|letter| (&*letter.payload, &*letter.error_type, letter.attempts))
        .collect();
    check!(
        poison
            == [
                (&b"{\"n\":"[..], "undecodable", 1),
                (&b"\x01"[..], "undecodable", 1)
            ],
        "the dead letters are {letters:?}"
    );
    program.shutdown().await
}

async fn a_dead_letter_that_is_refused_first_is_not_lost(context: Context) -> Result<(), Failure> {
    // One that says that it may pass, and one that says that it won't.
    for (tag, kind) in [("may", ErrorKind::Unreachable), ("wont", ErrorKind::Unauthorized)] {
        let (topic, group) = (context.topic(tag)?, context.group(tag)?);
        let client = context.connect().await?;
        let refusals = AtomicUsize::new(2);
        let provider = Wrapped::new(client.provider()).refusing(move |message| {
            let refuse = matches!(message.route, Route::DeadLetters(_))
                && refusals
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                    .is_ok();
            refuse.then(|| Error::new(kind, "told to refuse"))
        });
        let log = Log::default();
        let program = Setup::over(&context, &provider.into_provider())
            .consumer(&topic, &group, quick(2), log.decides(|_| fails("always")))
            .start()
            .await?;
        program.produce_keyed(&topic, "k", "kept").await?;
        program.settled().await?;
        check!(log.len() == 2, "2 attempts were {}", log.len());
        let letters = program.dead_letters(&topic, &group).await?;
        check!(
            letters.len() == 1
                && letters[0].payload == "kept"
                && program.ductape.stats()[0].dead_lettered == 1,
            "refused twice as {kind:?}, the dead letters are {letters:?}"
        );
        program.shutdown().await?;
    }
    Ok(())
}

async fn a_dead_letter_that_fails_again_comes_back(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let log = Log::default();
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, quick(1), log.decides(|_| fails("still broken")))
        .start()
        .await?;
    program.produce(&topic, "stubborn").await?;
    log.until(1, program.patience).await?;
    program.idle().await?;
    let (event, name) = (topic.event().as_str(), group.name.as_str());
    for times in 1..=11 {
        let report = program.ductape.reprocess_dead_letters(event, name, 10).await;
        let report = report.map_err(|error| step("reprocess_dead_letters", &error))?;
        if times <= 10 {
            check!(report.reprocessed == 1, "time {times}: {report:?}");
            log.until(times + 1, program.patience).await?;
            program.idle().await?;
        } else {
            check!(
                (report.reprocessed, report.failed) == (0, 1),
                "sent back {times} times: {report:?}"
            );
        }
    }
    let letters = program.dead_letters(&topic, &group).await?;
    check!(
        letters.len() == 1 && letters[0].redriven == 10,
        "the dead letters are {letters:?}"
    );
    let attempts: Vec<u32> = log.calls().iter().map(|called| called.attempt).collect();
    check!(attempts == [1; 11], "the attempts were {attempts:?}");
    program.shutdown().await
}

async fn looking_at_dead_letters_leaves_them(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let log = Log::default();
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, quick(1), log.decides(|_| fails("always")))
        .start()
        .await?;
    for n in 0..4 {
        program.produce_keyed(&topic, "k", &n.to_string()).await?;
    }
    log.until(4, program.patience).await?;
    program.settled().await?;
    let (event, name) = (topic.event().as_str(), group.name.as_str());
    for limit in [0, 2, 100, 100] {
        let letters = program.ductape.dead_letters(event, name, limit).await;
        let letters = letters.map_err(|error| step("dead_letters", &error))?;
        let mut texts: Vec<_> = letters.iter().map(|letter| &*letter.payload).collect();
        // Whatever their order: a queue may put those that were looked at behind the others.
        texts.sort_unstable();
        texts.dedup();
        let all = [&b"0"[..], b"1", b"2", b"3"];
        check!(
            texts.len() == limit.min(4)
                && letters.len() == texts.len()
                && texts.iter().all(|text| all.contains(text)),
            "at most {limit} dead letters are {letters:?}"
        );
    }
    check!(log.len() == 4, "looking at dead letters called the handler");
    program.shutdown().await
}

async fn dead_letters_of_no_group_are_an_error(context: Context) -> Result<(), Failure> {
    let topic = context.topic("t")?;
    let program = Setup::new(&context).await?.topic(&topic).build().await?;
    for (event, group, code) in [
        (topic.event().as_str(), "not-there", ErrorCode::ReprocessDlqFailed),
        (
            topic.event().as_str(),
            "not a name",
            ErrorCode::ReprocessDlqFailed,
        ),
        ("conformance:not-there", "g", ErrorCode::TopicNotFound),
    ] {
        let looked = program.ductape.dead_letters(event, group, 10).await;
        let looked = looked.as_ref().err().map(crate::BrokerError::code);
        check!(
            looked == Some(code),
            "dead_letters of `{event}` in `{group}`: {looked:?}"
        );
        let sent = program.ductape.reprocess_dead_letters(event, group, 10).await;
        let sent = sent.as_ref().err().map(crate::BrokerError::code);
        check!(
            sent == Some(code),
            "reprocess of `{event}` in `{group}`: {sent:?}"
        );
    }
    program.shutdown().await
}

async fn once_does_not_swallow_a_reprocessed_dead_letter(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let (log, mended) = (Log::default(), Arc::new(AtomicUsize::new(0)));
    let is_mended = Arc::clone(&mended);
    let decides = log.decides(move |_| match is_mended.load(Ordering::SeqCst) {
        0 => fails("broken"),
        _ => Verdict::Done,
    });
    let options = ConsumerOptions {
        once: true,
        ..quick(1)
    };
    let program = Setup::new(&context)
        .await?
        .with_store()
        .consumer(&topic, &group, options, decides)
        .start()
        .await?;
    program.produce(&topic, "again").await?;
    log.until(1, program.patience).await?;
    program.settled().await?;
    mended.store(1, Ordering::SeqCst);
    let (event, name) = (topic.event().as_str(), group.name.as_str());
    let report = program.ductape.reprocess_dead_letters(event, name, 10).await;
    let report = report.map_err(|error| step("reprocess_dead_letters", &error))?;
    check!(report.reprocessed == 1, "{report:?}");
    log.until(2, program.patience).await.map_err(|failure| {
        Failure::new(format!(
            "the id counts as handled since its dead letter: {failure}"
        ))
    })?;
    program.settled().await?;
    check!(log.len() == 2, "it was handled {} times", log.len());
    program.shutdown().await
}
