//! Publishing: to a topic, to one group's queue, or to its dead letters.

use std::sync::Arc;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::connect::{DELAY_MAX, Inner, closed};
use super::gather::Entry;
use super::names;
use super::topology::Target;
use super::wire::{Fifo, Wire};
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Outgoing, Route};
use crate::provider::{PublishReceipt, PublishSlot};

type Answer = oneshot::Receiver<Result<PublishReceipt>>;

pub(super) async fn publish(inner: &Arc<Inner>, batch: &mut [PublishSlot]) {
    let mut answers: Vec<Option<Answer>> = Vec::with_capacity(batch.len());
    for slot in batch.iter_mut() {
        match begin(inner, &slot.message).await {
            Ok(answer) => answers.push(Some(answer)),
            Err(error) => {
                slot.outcome = Some(Err(error));
                answers.push(None);
            }
        }
    }
    for (slot, answer) in batch.iter_mut().zip(answers) {
        let Some(answer) = answer else { continue };
        let outcome = answer.await.unwrap_or_else(|_| {
            let text = "the runtime that sent this message ended before its answer came";
            Err(Error::new(ErrorKind::Unreachable, text).with_indeterminate())
        });
        if let Err(error) = &outcome
            && error.kind() == ErrorKind::TopicMissing
        {
            // It was there before: next time it is looked for anew.
            inner.forget_topic(&slot.message.topic);
        }
        slot.outcome = Some(outcome.map_err(|error| error.with("topic", &slot.message.topic)));
    }
}

/// Checks a message, and puts it into the lane of where it goes.
async fn begin(inner: &Arc<Inner>, message: &Outgoing) -> Result<Answer> {
    inner.open()?;
    message.headers.check()?;
    let wire = Wire::new(message)?;
    let target = target(inner, message).await?;
    let delay_seconds = delay_seconds(message, &target)?;
    let fifo = target.is_fifo().then(|| fifo(message));
    let place = Arc::clone(&inner.entries)
        .acquire_owned()
        .await
        .map_err(|_| closed())?;
    // Checked again: it may have been closed while this one waited, and nothing is sent after that.
    inner.open()?;
    let (answer, answered) = oneshot::channel();
    inner.lane(&target).push(Entry {
        wire,
        fifo,
        delay_seconds,
        answer,
        _place: place,
    });
    Ok(answered)
}

async fn target(inner: &Inner, message: &Outgoing) -> Result<Target> {
    let topic = &message.topic;
    match &message.route {
        Route::Topic => Ok(inner.topic(topic).await?.target.clone()),
        Route::Group(group) => Ok(Target::queue(&inner.group(topic, group).await?.queue)),
        Route::DeadLetters(group) => Ok(Target::queue(&inner.group(topic, group).await?.dead_letters)),
    }
}

/// A message that is sent to a topic again is recognised by its id. One that is sent to its group again is meant to come
/// again, even within the five minutes in which SQS would drop what it knows.
fn fifo(message: &Outgoing) -> Fifo {
    Fifo {
        group: names::group_id(message),
        deduplication: match message.route {
            Route::Topic => names::deduplication_id(message),
            Route::Group(_) | Route::DeadLetters(_) => Uuid::now_v7().to_string(),
        },
    }
}

/// The delay in whole seconds, rounded up: never early.
fn delay_seconds(message: &Outgoing, target: &Target) -> Result<Option<i32>> {
    let wait = message
        .not_before
        .and_then(|time| time.duration_since(clock::wall()).ok())
        .filter(|wait| !wait.is_zero());
    let Some(wait) = wait else { return Ok(None) };
    let refused = |text: String| Err(Error::new(ErrorKind::Unsupported, text).with("topic", &message.topic));
    match target {
        Target::Topic { .. } => refused("SNS delays no messages".to_owned()),
        Target::Queue { fifo: true, .. } => {
            refused("a FIFO queue of SQS delays no single message".to_owned())
        }
        Target::Queue { fifo: false, .. } if wait > DELAY_MAX => refused(format!(
            "SQS delays a message at most {DELAY_MAX:?}, not {wait:?}"
        )),
        Target::Queue { fifo: false, .. } => Ok(Some(seconds(wait))),
    }
}

/// A time in whole seconds, rounded up.
pub(super) fn seconds(time: std::time::Duration) -> i32 {
    let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    i32::try_from(whole).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::{delay_seconds, fifo, seconds};
    use crate::clock;
    use crate::error::ErrorKind;
    use crate::message::{Outgoing, Route, TopicName};
    use crate::sqs::topology::Target;

    fn message(delay: Duration) -> Outgoing {
        let mut message = Outgoing::new(TopicName::new("a:b".parse().unwrap(), NonZeroU32::MIN), "");
        message.not_before = clock::wall().checked_add(delay);
        message
    }

    #[test]
    fn seconds_are_never_early() {
        for (millis, wanted) in [(0, 0), (1, 1), (1_000, 1), (1_001, 2)] {
            assert_eq!(seconds(Duration::from_millis(millis)), wanted);
        }
    }

    #[test]
    fn only_a_standard_queue_delays() {
        let standard = Target::queue("http://h/1/q");
        assert_eq!(
            delay_seconds(&message(Duration::from_millis(1_500)), &standard).unwrap(),
            Some(2)
        );
        assert_eq!(delay_seconds(&message(Duration::ZERO), &standard).unwrap(), None);
        let topic = Target::Topic {
            arn: "arn".to_owned(),
            fifo: false,
        };
        for (target, delay) in [
            (&standard, Duration::from_secs(901)),
            (&Target::queue("http://h/1/q.fifo"), Duration::from_secs(2)),
            (&topic, Duration::from_secs(2)),
        ] {
            let error = delay_seconds(&message(delay), target).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{target:?}");
        }
    }

    #[test]
    fn only_what_goes_to_the_topic_is_recognised_as_sent_again() {
        let mut message = message(Duration::ZERO);
        assert_eq!(fifo(&message).deduplication, fifo(&message).deduplication);
        message.route = Route::Group("g".parse().unwrap());
        assert_ne!(fifo(&message).deduplication, fifo(&message).deduplication);
        assert_eq!(fifo(&message).group, message.id.to_string());
    }
}
