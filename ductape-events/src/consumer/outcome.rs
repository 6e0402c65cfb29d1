use std::any::type_name;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::consumer::Delivery;
use crate::produce;
use crate::topic::Topic;

/// What a handler can answer by name, in a `Result<Outcome, E>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Ack,
    /// Try again, when the retry policy says.
    Retry,
    /// Try again after this time; counts as an attempt.
    RetryAfter(Duration),
    /// Give it up: a dead letter with this reason, now.
    Reject(String),
}

/// A handler's error. Any error turns into one with `?`, and is then tried again by the retry policy.
///
/// ```
/// use ductape_events::prelude::*;
/// use std::time::Duration;
///
/// # #[topic("docs:priced")]
/// # struct Priced { cents: i64 }
/// #[consumer]
/// async fn check(event: Priced) -> Result<(), HandlerError> {
///     if event.cents < 0 {
///         return Err("negative price".reject()); // a dead letter, now
///     }
///     "12".parse::<u32>()?; // any other error: by the retry policy
///     Err("closed at night".retry_after(Duration::from_secs(3600)))
/// }
/// ```
pub struct HandlerError {
    what_next: WhatNext,
    failure: Failure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WhatNext {
    ByPolicy,
    After(Duration),
    Reject,
}

/// What is kept of a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The error's text, with its causes.
    pub reason: String,
    /// The type of the error, or what stands for it: `panic`, `timeout`, `undecodable`, `rejected`.
    pub error_type: &'static str,
}

impl HandlerError {
    pub(crate) fn retry(reason: impl Into<String>) -> Self {
        let failure = Failure {
            reason: reason.into(),
            error_type: "error",
        };
        Self {
            what_next: WhatNext::ByPolicy,
            failure,
        }
    }

    fn new<E: Into<Box<dyn StdError + Send + Sync>>>(error: E, what_next: WhatNext) -> Self {
        let error = error.into();
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Many errors repeat their cause in their own text.
            if !reason.contains(&cause_text) {
                reason.push_str(": ");
                reason.push_str(&cause_text);
            }
            source = cause.source();
        }
        Self {
            what_next,
            failure: Failure {
                reason,
                error_type: type_name::<E>(),
            },
        }
    }

    /// What went wrong.
    pub fn failure(&self) -> &Failure {
        &self.failure
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandlerError({:?}, {:?})", self.what_next, self.failure.reason)
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.failure.reason)
    }
}

// `HandlerError` is no `std::error::Error`, so that this can be for all that are.
impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::new(error, WhatNext::ByPolicy)
    }
}

/// Says on an error what is to become of its message.
pub trait WithVerdict {
    /// Try again after `delay`; it counts as an attempt.
    fn retry_after(self, delay: Duration) -> HandlerError;

    /// Do not try again: a dead letter, now.
    fn reject(self) -> HandlerError;
}

impl<E: Into<Box<dyn StdError + Send + Sync>>> WithVerdict for E {
    fn retry_after(self, delay: Duration) -> HandlerError {
        HandlerError::new(self, WhatNext::After(delay))
    }

    fn reject(self) -> HandlerError {
        HandlerError::new(self, WhatNext::Reject)
    }
}

/// What the runtime does with a delivery after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Settle it: it was handled.
    Done,
    /// Try it again; after this time, or when the policy says.
    Retry(Option<Duration>, Failure),
    /// Make a dead letter of it.
    DeadLetter(Failure),
}

impl Verdict {
    pub(crate) fn undecodable(error: impl fmt::Display) -> Self {
        Self::DeadLetter(Failure {
            reason: error.to_string(),
            error_type: "undecodable",
        })
    }
}

impl From<HandlerError> for Verdict {
    fn from(error: HandlerError) -> Self {
        match error.what_next {
            WhatNext::ByPolicy => Self::Retry(None, error.failure),
            WhatNext::After(delay) => Self::Retry(Some(delay), error.failure),
            WhatNext::Reject => Self::DeadLetter(error.failure),
        }
    }
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        let failure = |reason: &str| Failure {
            reason: reason.to_owned(),
            error_type: "outcome",
        };
        match outcome {
            Outcome::Ack => Self::Done,
            Outcome::Retry => Self::Retry(None, failure("the handler asked for a retry")),
            Outcome::RetryAfter(delay) => Self::Retry(Some(delay), failure("the handler asked for a retry")),
            Outcome::Reject(reason) => Self::DeadLetter(Failure {
                reason,
                error_type: "rejected",
            }),
        }
    }
}

/// What a `#[consumer]` can return: `()`, `Result<(), E>`, `Result<Outcome, E>`, or `Result<U, E>` with a topic `U`,
/// which is produced before the ack.
#[diagnostic::on_unimplemented(
    message = "a #[consumer] cannot return `{Self}`",
    label = "not an outcome",
    note = "return `()`, `Result<(), E>`, `Result<Outcome, E>`, or `Result<U, E>` where `U` is a topic; `E` is any error"
)]
pub trait IntoOutcome {
    /// The verdict, or the way to it.
    fn into_outcome(self, delivery: &Delivery) -> Settling<'_, Verdict>;
}

/// What a handler's answer becomes: known at once, or once what it answered is produced.
///
/// It names no type of the handler's: a future that did could not be sent between threads where the handler's error is
/// a `Box<dyn Error>`.
pub enum Settling<'a, V> {
    /// At once.
    Known(V),
    /// Once something is produced.
    Later(BoxFuture<'a, V>),
}

impl<V> Settling<'_, V> {
    /// Waits for it.
    pub async fn known(self) -> V {
        match self {
            Self::Known(verdict) => verdict,
            Self::Later(verdict) => verdict.await,
        }
    }
}

impl<V: fmt::Debug> fmt::Debug for Settling<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(verdict) => f.debug_tuple("Known").field(verdict).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

impl IntoOutcome for () {
    fn into_outcome(self, _: &Delivery) -> Settling<'_, Verdict> {
        Settling::Known(Verdict::Done)
    }
}

impl<E: Into<HandlerError>> IntoOutcome for Result<(), E> {
    fn into_outcome(self, _: &Delivery) -> Settling<'_, Verdict> {
        Settling::Known(self.map_or_else(|error| error.into().into(), |()| Verdict::Done))
    }
}

impl<E: Into<HandlerError>> IntoOutcome for Result<Outcome, E> {
    fn into_outcome(self, _: &Delivery) -> Settling<'_, Verdict> {
        Settling::Known(self.map_or_else(|error| error.into().into(), Into::into))
    }
}

#[diagnostic::do_not_recommend]
impl<U: Topic, E: Into<HandlerError>> IntoOutcome for Result<U, E> {
    fn into_outcome(self, delivery: &Delivery) -> Settling<'_, Verdict> {
        match self {
            Ok(event) => Settling::Later(Box::pin(
                async move { produce::follow_up(&event, delivery).await },
            )),
            Err(error) => Settling::Known(error.into().into()),
        }
    }
}
