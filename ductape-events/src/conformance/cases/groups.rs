//! Groups: each gets every message once, its members share them, and `once` holds.

use std::time::Duration;

use ductape_providers::Capability;
use ductape_providers::conformance::{Applies, Context, Failure, check};
use ductape_providers::spec::Ordering;
use ductape_providers::{MessageId, Outgoing};

use super::case;
use crate::clock;
use crate::conformance::log::Log;
use crate::conformance::setup::{Setup, quick};
use crate::consumer::{ConsumerOptions, Verdict};
use crate::error::ErrorCode;
use crate::produce::ProduceOptions;

const GROUP: &str = "groups";

pub(super) static CASES: &[ductape_providers::conformance::Case] = &[
    case!("R-055", members_of_a_group_share_its_messages),
    case!("R-064", two_groups_with_once_both_run, once),
    case!("R-071", a_repeated_id_has_one_effect, once),
    case!("R-072", once_without_a_store_is_refused),
];

pub(super) fn once(capability: &Capability) -> Applies {
    let kept = capability.once || cfg!(feature = "store");
    Applies::when(kept, "once", |context| {
        Box::pin(once_without_a_store_is_refused(context))
    })
}

/// The inbox of the store keeps the ids where the broker does not; without either, such a program is refused.
async fn once_without_a_store_is_refused(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let setup = Setup::new(&context).await?;
    let built = setup
        .consumer(&topic, &group, with_once(), Log::default().done())
        .try_build()
        .await;
    match built {
        Err(error) if error.code() == ErrorCode::Unsupported => Ok(()),
        Err(error) => Err(Failure::new(format!("`once` was refused with {error}"))),
        Ok(program) => {
            let known = program.capability(&topic)?.once;
            check!(
                known,
                "a program was built that asks for `once`, which nobody keeps"
            );
            Ok(())
        }
    }
}

fn with_once() -> ConsumerOptions {
    ConsumerOptions {
        once: true,
        ..quick(3)
    }
}

async fn members_of_a_group_share_its_messages(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let mut members = Vec::new();
    for _ in 0..2 {
        let log = Log::default();
        let slow = log.handler(|_| async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            Verdict::Done
        });
        let options = ConsumerOptions {
            concurrency: Some(2),
            prefetch: Some(4),
            // Some brokers keep a strict order by letting one member read at a time.
            ordering: Some(Ordering::Relaxed),
            ..quick(3)
        };
        let program = Setup::new(&context)
            .await?
            .consumer(&topic, &group, options, slow)
            .start()
            .await?;
        members.push((program, log));
    }
    let (first, _) = &members[0];
    // A member that has just come may need a moment until it is given its share.
    let joined_by = clock::now() + first.patience;
    let mut produced = 0;
    while produced == 0 || (clock::now() < joined_by && members.iter().any(|(_, log)| log.len() == 0)) {
        for n in produced..produced + 200 {
            first.produce(&topic, &format!("{n:06}")).await?;
        }
        produced += 200;
        for (program, _) in &members {
            program.settled().await?;
        }
    }
    let mut texts: Vec<String> = members.iter().flat_map(|(_, log)| log.texts()).collect();
    texts.sort();
    let expected: Vec<String> = (0..produced).map(|n| format!("{n:06}")).collect();
    check!(
        texts == expected,
        "{produced} messages came {} times",
        texts.len()
    );
    for (n, (_, log)) in members.iter().enumerate() {
        check!(log.len() > 0, "member {n} of the group got nothing");
    }
    for (program, _) in &members {
        program.shutdown().await?;
    }
    Ok(())
}

async fn two_groups_with_once_both_run(context: Context) -> Result<(), Failure> {
    let topic = context.topic("t")?;
    let (one, two) = (context.group("one")?, context.group("two")?);
    let (first, second) = (Log::default(), Log::default());
    let program = Setup::new(&context)
        .await?
        .with_store()
        .consumer(&topic, &one, with_once(), first.done())
        .consumer(&topic, &two, with_once(), second.done())
        .start()
        .await?;
    program.produce(&topic, "for both").await?;
    program.settled().await?;
    check!(
        (first.len(), second.len()) == (1, 1),
        "one group ran {} times, the other {}",
        first.len(),
        second.len()
    );
    program.shutdown().await
}

async fn a_repeated_id_has_one_effect(context: Context) -> Result<(), Failure> {
    let (topic, group) = (context.topic("t")?, context.group("g")?);
    let client = context.connect().await?;
    let log = Log::default();
    let slow = log.handler(|_| async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Verdict::Done
    });
    let program = Setup::new(&context)
        .await?
        .with_store()
        .consumer(&topic, &group, with_once(), slow)
        .start()
        .await?;
    // At one time, so that one comes while the other is handled.
    let id = MessageId::new();
    let same = |_| Outgoing {
        id: id.clone(),
        ..Outgoing::new(topic.clone(), "together")
    };
    client.publish((0..4).map(same).collect()).await?;
    program.settled().await?;
    check!(log.len() == 1, "four at one time had {} effects", log.len());
    // One after the other.
    for _ in 0..3 {
        let again = ProduceOptions::default().id(id.clone());
        program.produce_with(&topic, "later", again).await?;
        program.settled().await?;
    }
    check!(log.len() == 1, "a repeated id had {} effects", log.len());
    // Another id is another message.
    program.produce(&topic, "together").await?;
    log.until(2, program.patience).await?;
    program.shutdown().await
}
