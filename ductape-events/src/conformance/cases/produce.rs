//! What produce calls promise: what is sent, what is refused, what each event is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ductape_providers::capability::Order;
use ductape_providers::conformance::{Applies, Context, Failure, check};
use ductape_providers::{Capability, MessageId, Outgoing};
use serde_json::{Value, json};

use super::case;
use crate::conformance::log::Log;
use crate::conformance::numbered::Numbered;
use crate::conformance::setup::{Setup, step};
use crate::consumer::{ConsumerOptions, HandlerError};
use crate::error::{BrokerError, ErrorCode, PublishOutcome};
use crate::produce::ProduceOptions;
use crate::runtime::DuctapeBuilder;
use crate::topic::Topic;

const GROUP: &str = "produce";

pub(super) static CASES: &[ductape_providers::conformance::Case] = &[
    case!("R-007", content_type_default),
    case!("R-009", multiple_topics_one_handler),
    case!("R-019", produce_options_are_of_one_call, delay),
    case!("R-112", cloudevents_binary_mode),
    case!("R-201", produce_after_shutdown_is_refused),
    case!("R-202", produce_all_keeps_order_and_answers_each),
    case!("R-203", untyped_consume_and_produce_json),
    case!("R-204", unknown_topics_are_refused_with_what_is_known),
];

async fn content_type_default(context: Context) -> Result<(), Failure> {
    let client = context.connect().await?;
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let program = Setup::new(&context).await?.topic(&topic).build().await?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let values = Arc::clone(&seen);
    let consumed = program.ductape.consume(
        topic.event().as_str(),
        group.name.as_str(),
        move |value: Value| {
            if let Ok(mut values) = values.lock() {
                values.push(value);
            }
            async { Ok::<(), HandlerError>(()) }
        },
    );
    consumed.await.map_err(|error| step("consume", &error))?;
    program.start().await?;
    // A producer in another language, that needs to know nothing but the JSON.
    let foreign = Outgoing::new(topic.clone(), r#"{"from":"elsewhere"}"#);
    client.publish(vec![foreign]).await?;
    program.produce(&topic, r#"{"from":"here"}"#).await?;
    program.settled().await?;
    let came = seen.lock().map(|seen| seen.clone()).unwrap_or_default();
    let from = |from: &str| came.contains(&json!({ "from": from }));
    check!(
        came.len() == 2 && from("elsewhere") && from("here"),
        "of a message without a content type and one with it came {came:?}"
    );
    program.shutdown().await
}

async fn multiple_topics_one_handler(context: Context) -> Result<(), Failure> {
    let (one, two, group) = (context.topic("one")?, context.topic("two")?, context.group("g")?);
    let log = Log::default();
    let program = Setup::new(&context)
        .await?
        .consumer(&one, &group, ConsumerOptions::DEFAULT, log.done())
        .consumer(&two, &group, ConsumerOptions::DEFAULT, log.done())
        .start()
        .await?;
    program.produce(&one, "of one").await?;
    program.produce(&two, "of two").await?;
    log.until(2, program.patience).await?;
    program.settled().await?;
    let mut came: Vec<_> = log
        .calls()
        .into_iter()
        .map(|called| (called.event, called.text))
        .collect();
    came.sort();
    let mut expected = [
        (one.event().to_string(), "of one".to_owned()),
        (two.event().to_string(), "of two".to_owned()),
    ];
    expected.sort();
    check!(
        came == expected,
        "one handler of two topics was called with {came:?}"
    );
    program.shutdown().await
}

/// A broker that can deliver later; another one's delay is refused, and what asked for it is not sent.
fn delay(capability: &Capability) -> Applies {
    Applies::when(
        capability.publish_delay_max.is_some(),
        "publish_delay_max",
        |context| {
            Box::pin(async move {
                let topic = context.topic("t")?;
                let program = Setup::new(&context).await?.topic(&topic).start().await?;
                let later = ProduceOptions::default().delay(context.harness().delay());
                match program.try_produce(&topic, "later", later).await {
                    Err(error) => check!(
                        error.code() == ErrorCode::Unsupported
                            && error.publish_outcome() == Some(PublishOutcome::Rejected),
                        "a delay was answered with {error}, {:?}",
                        error.publish_outcome()
                    ),
                    Ok(receipt) => return Err(Failure::new(format!("a delay was confirmed: {receipt:?}"))),
                }
                program.shutdown().await
            })
        },
    )
}

async fn produce_options_are_of_one_call(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let log = Log::default();
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, ConsumerOptions::DEFAULT, log.done())
        .start()
        .await?;
    let delay = context.harness().delay();
    let id = MessageId::from_text("an id of one's own");
    let special = ProduceOptions::default()
        .id(id.clone())
        .key("k")
        .header("tenant", "acme")
        .delay(delay);
    let began = crate::clock::now();
    program.produce(&topic, "usual").await?;
    let receipt = program.produce_with(&topic, "special", special).await?;
    program.produce(&topic, "usual again").await?;
    check!(
        receipt.process_id == id,
        "the receipt names {}",
        receipt.process_id
    );
    for (what, options) in [
        (
            "a header that is none",
            ProduceOptions::default().header("No Header", "v"),
        ),
        (
            "a value that is too long",
            ProduceOptions::default().header("long", "v".repeat(10_000)),
        ),
        (
            "a delay of a thousand years",
            ProduceOptions::default().delay(Duration::from_hours(1000 * 365 * 24)),
        ),
    ] {
        match program.try_produce(&topic, "refused", options).await {
            Err(error) => check!(
                error.publish_outcome() == Some(PublishOutcome::Rejected),
                "{what} was answered with {error}, {:?}",
                error.publish_outcome()
            ),
            Ok(receipt) => return Err(Failure::new(format!("{what} was confirmed: {receipt:?}"))),
        }
    }
    let calls = log.until(3, program.patience).await?;
    program.settled().await?;
    check!(log.len() == 3, "what was refused came: {:?}", log.texts());
    for called in calls {
        let is_special = called.text == "special";
        let (key, tenant) = (called.key.as_deref(), called.headers.get("tenant"));
        let expected = if is_special {
            (Some("k"), Some("acme"))
        } else {
            (None, None)
        };
        check!(
            (key, tenant) == expected,
            "{:?} came with {key:?}, {tenant:?}",
            called.text
        );
        check!(
            (called.id == id) == is_special,
            "{:?} has the id {}",
            called.text,
            called.id
        );
        check!(
            !is_special || called.at - began >= delay,
            "what was delayed by {delay:?} came after {:?}",
            called.at - began
        );
    }
    program.shutdown().await
}

async fn cloudevents_binary_mode(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let log = Log::default();
    let program = Setup::new(&context)
        .await?
        .consumer(&topic, &group, ConsumerOptions::DEFAULT, log.done())
        .start()
        .await?;
    let receipt = program.produce(&topic, "{}").await?;
    let calls = log.until(1, program.patience).await?;
    let called = &calls[0];
    let header = |name: &str| called.headers.get(name);
    check!(called.id == receipt.process_id, "the id is {}", called.id);
    check!(
        header("ce-specversion") == Some("1.0"),
        "specversion is {:?}",
        header("ce-specversion")
    );
    let event = topic.event().as_str();
    check!(
        header("ce-type") == Some(event),
        "type is {:?}",
        header("ce-type")
    );
    let source = header("ce-source").unwrap_or_default();
    check!(
        source.starts_with("conformance/test/") && source.len() > "conformance/test/".len(),
        "source is {source:?}"
    );
    check!(
        header("content-type") == Some("application/json"),
        "datacontenttype is {:?}",
        header("content-type")
    );
    check!(
        header("ce-dataschema").is_some_and(|schema| schema.ends_with("/v1")),
        "dataschema is {:?}",
        header("ce-dataschema")
    );
    program.shutdown().await
}

async fn produce_after_shutdown_is_refused(context: Context) -> Result<(), Failure> {
    let topic = context.topic("t")?;
    let program = Setup::new(&context).await?.topic(&topic).start().await?;
    let kept = program.ductape.context().clone();
    program.produce(&topic, "before").await?;
    program.shutdown().await?;
    let shutting_down = |what: &str, result: Result<(), BrokerError>| match result {
        Err(error) if error.code() == ErrorCode::ShuttingDown => Ok(()),
        other => Err(Failure::new(format!("{what} after shutdown answered {other:?}"))),
    };
    let after = program
        .try_produce(&topic, "after", ProduceOptions::default())
        .await;
    shutting_down("produce", after.map(|_| ()))?;
    let after = kept
        .produce_bytes(topic.event().as_str(), "after", ProduceOptions::default())
        .await;
    shutting_down("produce in a context that was kept", after.map(|_| ()))?;
    shutting_down("start", program.ductape.start().await)?;
    // Twice is harmless.
    program.shutdown().await
}

async fn produce_all_keeps_order_and_answers_each(context: Context) -> Result<(), Failure> {
    const MANY: u32 = 2_500;
    let group = context.group("g")?;
    let run = group.name.to_string();
    let log = Log::default();
    let options = ConsumerOptions {
        concurrency: Some(1),
        ..ConsumerOptions::DEFAULT
    };
    let program = Setup::new(&context)
        .await?
        .with(|builder| builder.topic::<Numbered>().payload_bytes_max(200))
        .consumer_of(Numbered::EVENT, &group, options, log.done())
        .start()
        .await?;
    let too_large = [7, MANY - 1];
    let events = (0..MANY).map(|n| Numbered {
        run: if too_large.contains(&n) {
            "x".repeat(200)
        } else {
            run.clone()
        },
        n,
    });
    let results = Numbered::produce_all(events, &program.ductape).await;
    check!(
        results.len() == 2_500,
        "2500 events got {} results",
        results.len()
    );
    for (n, result) in (0..MANY).zip(&results) {
        match result {
            Ok(_) => check!(
                !too_large.contains(&n),
                "event {n} is too large and was confirmed"
            ),
            Err(error) => check!(
                too_large.contains(&n) && error.code() == ErrorCode::PayloadTooLarge,
                "event {n} was answered with {error}"
            ),
        }
    }
    program.settled().await?;
    let numbers: Vec<u32> = log
        .calls()
        .iter()
        .filter_map(|called| serde_json::from_str::<Numbered>(&called.text).ok())
        .filter(|event| event.run == run)
        .map(|event| event.n)
        .collect();
    let expected: Vec<u32> = (0..MANY).filter(|n| !too_large.contains(n)).collect();
    let mut numbers = numbers;
    if context.connect().await?.capability().order != Order::PerTopic {
        // They have no key, so no order is promised.
        numbers.sort_unstable();
    }
    check!(
        numbers == expected,
        "{} of {} events came, in order: {}",
        numbers.len(),
        expected.len(),
        numbers.is_sorted()
    );
    program.shutdown().await
}

async fn untyped_consume_and_produce_json(context: Context) -> Result<(), Failure> {
    let group = context.group("g")?;
    let run = group.name.to_string();
    let program = Setup::new(&context)
        .await?
        .with(DuctapeBuilder::topic::<Numbered>)
        .start()
        .await?;
    let (seen, mut values) = tokio::sync::mpsc::channel(16);
    let wanted = run.clone();
    let handler = move |value: Value| {
        let (seen, wanted) = (seen.clone(), wanted.clone());
        async move {
            if value["run"] == wanted.as_str() {
                // The case has ended when nobody listens.
                let _ = seen.send(value).await;
            }
            Ok::<(), HandlerError>(())
        }
    };
    // The program runs already.
    let consumed = program
        .ductape
        .consume(Numbered::EVENT, group.name.as_str(), handler.clone());
    consumed.await.map_err(|error| step("consume", &error))?;
    let again = program
        .ductape
        .consume(Numbered::EVENT, group.name.as_str(), handler);
    match again.await {
        Err(error) if error.code() == ErrorCode::AlreadyExists => {}
        other => return Err(Failure::new(format!("a second consumer of the group: {other:?}"))),
    }
    let context = program.ductape.context();
    let fits = json!({ "run": run, "n": 3 });
    let produced = context.produce_json(Numbered::EVENT, &fits).await;
    produced.map_err(|error| step("produce_json", &error))?;
    let wrong = context
        .produce_json(Numbered::EVENT, &json!({ "run": run, "n": -1 }))
        .await;
    match wrong {
        Err(error) if error.code() == ErrorCode::PayloadInvalid => {
            check!(
                error.message().contains("`/n`"),
                "what does not fit is not named: {error}"
            );
        }
        other => return Err(Failure::new(format!("what does not fit the schema: {other:?}"))),
    }
    let came = tokio::time::timeout(program.patience, values.recv()).await;
    check!(came == Ok(Some(fits)), "the handler was called with {came:?}");
    program.settled().await?;
    check!(values.try_recv().is_err(), "what was refused came");
    program.shutdown().await
}

async fn unknown_topics_are_refused_with_what_is_known(context: Context) -> Result<(), Failure> {
    let topic = context.topic("t")?;
    let program = Setup::new(&context).await?.topic(&topic).build().await?;
    let context = program.ductape.context();
    let unknown = context
        .produce_bytes("conformance:never-declared", "x", ProduceOptions::default())
        .await;
    match unknown {
        Err(error) if error.code() == ErrorCode::TopicNotFound => check!(
            error.to_string().contains(topic.event().as_str()),
            "the error does not say what is there: {error}"
        ),
        other => return Err(Failure::new(format!("an unknown topic: {other:?}"))),
    }
    for name in ["", "a", "a:", ":b", "a:b:c", "a b:c"] {
        let refused = context.produce_bytes(name, "x", ProduceOptions::default()).await;
        check!(
            refused.as_ref().err().map(BrokerError::code) == Some(ErrorCode::EventNameInvalid),
            "the name {name:?} was answered with {refused:?}"
        );
    }
    program.shutdown().await
}
