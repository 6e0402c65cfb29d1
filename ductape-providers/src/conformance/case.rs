use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::context::Context;
use crate::capability::Capability;
use crate::error::{Error, ErrorKind};

/// What a case does: `Ok` when the provider kept its promise.
pub type CaseFn = fn(Context) -> BoxFuture<'static, Result<(), Failure>>;

/// One named promise, and what shows it.
///
/// Another crate can write its own: a runtime above the providers shows its promises with the same harnesses and reports.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// A number that stays: `C-021`.
    pub id: &'static str,
    /// The situation: `ack_consumes`.
    pub name: &'static str,
    /// What it belongs to: `settlement`.
    pub group: &'static str,
    /// Whether a provider of this capability must keep the promise, or refuse it.
    pub needs: fn(&Capability) -> Applies,
    /// Shows the promise.
    pub run: CaseFn,
    /// When the case has failed if it has not ended.
    pub deadline: Duration,
    /// What the harness must have beside a broker; where it has not, the case is reported so and not run.
    pub wants: Wants,
}

impl Case {
    /// The deadline of a case that names no other.
    pub const DEADLINE: Duration = Duration::from_secs(25);
}

/// What a case wants of a harness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// A broker; all harnesses have one.
    Broker,
    /// A server that can be stopped: [`Harness::server`](super::Harness::server). The case runs when no other does.
    Server,
    /// A password that can be wrong: [`Harness::connect_with_wrong_password`](super::Harness::connect_with_wrong_password).
    Password,
}

/// Whether a case applies to a provider.
///
/// There is no third answer: a case that a provider can't show comes with the check that it says so.
#[derive(Clone, Copy, Debug)]
pub enum Applies {
    /// The provider must keep the promise.
    Runs,
    /// The provider can't, and must say so.
    Refused {
        /// What it can't do: `seek`.
        what: &'static str,
        /// Asks for it all the same, and passes when the provider answers as one that can't.
        check: CaseFn,
    },
}

impl Applies {
    /// [`Runs`](Self::Runs) if the provider `can`; else `what` is refused, which `check` asserts.
    pub fn when(can: bool, what: &'static str, check: CaseFn) -> Self {
        if can {
            Self::Runs
        } else {
            Self::Refused { what, check }
        }
    }
}

/// How a provider broke a promise: one sentence with the message, the step and what came instead.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// A failure that `message` describes.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// `step` ended in `error`, which it must not.
    pub fn step(step: impl fmt::Display, error: &Error) -> Self {
        Self(format!("{step} failed with {error:?}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// Asserts that `step` was refused with an error of `kind`, and gives that error.
///
/// # Errors
///
/// When it succeeded, or failed otherwise.
pub fn refused<T: fmt::Debug>(
    result: Result<T, Error>,
    kind: ErrorKind,
    step: impl fmt::Display,
) -> Result<Error, Failure> {
    match result {
        Err(error) if error.kind() == kind => Ok(error),
        Err(error) => Err(Failure::new(format!(
            "{step} must answer {kind:?}, not {error:?}"
        ))),
        Ok(value) => Err(Failure::new(format!(
            "{step} must answer {kind:?}, not Ok({value:?})"
        ))),
    }
}

/// Returns a [`Failure`] with the formatted message from the case, unless the condition holds.
///
/// ```
/// use ductape_providers::conformance::{Failure, check};
///
/// fn case(came_again: bool) -> Result<(), Failure> {
///     check!(!came_again, "message {} came again after its ack", 3);
///     Ok(())
/// }
/// assert_eq!(case(true).unwrap_err().to_string(), "message 3 came again after its ack");
/// ```
#[macro_export]
#[doc(hidden)]
macro_rules! conformance_check {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Failure::new(format!($($message)+)));
        }
    };
}

/// A [`Case`] of the function `$name`, in the group `GROUP` of the file that it stands in.
macro_rules! case {
    ($id:literal, $name:ident, $needs:expr) => {
        $crate::conformance::Case {
            id: $id,
            name: stringify!($name),
            group: GROUP,
            needs: $needs,
            run: |context| Box::pin($name(context)),
            deadline: $crate::conformance::Case::DEADLINE,
            wants: $crate::conformance::Wants::Broker,
        }
    };
    ($id:literal, $name:ident, $needs:expr, $wants:ident within $seconds:literal s) => {
        $crate::conformance::Case {
            id: $id,
            name: stringify!($name),
            group: GROUP,
            needs: $needs,
            run: |context| Box::pin($name(context)),
            deadline: ::std::time::Duration::from_secs($seconds),
            wants: $crate::conformance::Wants::$wants,
        }
    };
}
pub(super) use case;
