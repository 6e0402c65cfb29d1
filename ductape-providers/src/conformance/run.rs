use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::case::{Applies, Case, Wants};
use super::context::Context;
use super::harness::{Harness, PATIENCE_DEFAULT};
use super::report::{Outcome, Report, Row};
use crate::clock;

/// Which cases of a list are run.
#[derive(Clone, Debug, Default)]
pub struct Filter(Option<Vec<String>>);

impl Filter {
    /// Every case.
    pub const fn all() -> Self {
        Self(None)
    }

    /// The cases whose id, name or group is one of `words`.
    pub fn only<W: Into<String>>(words: impl IntoIterator<Item = W>) -> Self {
        Self(Some(words.into_iter().map(Into::into).collect()))
    }

    /// Whether `case` is run.
    pub fn takes(&self, case: &Case) -> bool {
        self.0.as_ref().is_none_or(|words| {
            words
                .iter()
                .any(|word| word == case.id || word == case.name || word == case.group)
        })
    }
}

/// Runs the suite's [`cases`](super::cases()) that `filter` takes, by the capability that the provider states.
///
/// It needs a multi-threaded tokio runtime to be quick, and time enabled in any.
pub async fn run(harness: Arc<dyn Harness>, filter: &Filter) -> Report {
    run_cases(harness, super::cases(), filter).await
}

/// Runs those of `cases` that `filter` takes, side by side as far as the harness allows.
///
/// A case that panics, or does not end before its deadline, has failed. When the broker can't be reached every case has.
pub async fn run_cases(harness: Arc<dyn Harness>, cases: &[Case], filter: &Filter) -> Report {
    let chosen: Vec<Case> = cases.iter().filter(|case| filter.takes(case)).copied().collect();
    let name = harness.name().to_owned();
    let capability = match harness.connect().await {
        Ok(provider) => provider.capability_dyn(),
        Err(error) => {
            let outcome = Outcome::Failed(format!("the broker can't be reached: {error}"));
            let rows = chosen.into_iter().map(|case| Row {
                case,
                outcome: outcome.clone(),
                took: std::time::Duration::ZERO,
            });
            return Report {
                harness: name,
                rows: rows.collect(),
            };
        }
    };

    let side_by_side = NonZeroUsize::new(harness.concurrency()).unwrap_or(NonZeroUsize::MIN);
    let permits = Arc::new(Semaphore::new(side_by_side.get()));
    let mut rows: Vec<(usize, Row)> = Vec::with_capacity(chosen.len());
    let row = |at: usize, case: Case| {
        let applies = (case.needs)(&capability);
        let (permits, context) = (Arc::clone(&permits), Context::new(Arc::clone(&harness), case.id));
        async move {
            // The semaphore is never closed, so there is always a permit to be had.
            let _permit = permits.acquire_owned().await;
            let began = clock::now();
            let outcome = match missing(case, context.harness()) {
                None => run_one(case, applies, context).await,
                Some(what) => Outcome::Unsupported(what),
            };
            let row = Row {
                case,
                outcome,
                took: clock::now().duration_since(began),
            };
            (at, row)
        }
    };
    // First, since a server that was killed looks through all that it has, which the other cases make much of.
    for (at, case) in chosen
        .iter()
        .enumerate()
        .filter(|(_, case)| case.wants == Wants::Server)
    {
        rows.push(row(at, *case).await);
    }
    let mut running = JoinSet::new();
    for (at, case) in chosen
        .iter()
        .enumerate()
        .filter(|(_, case)| case.wants != Wants::Server)
    {
        running.spawn(row(at, *case));
    }
    while let Some(done) = running.join_next().await {
        if let Ok(done) = done {
            rows.push(done);
        }
    }
    rows.sort_by_key(|(at, _)| *at);
    Report {
        harness: name,
        rows: rows.into_iter().map(|(_, row)| row).collect(),
    }
}

/// What the case wants and the harness has not.
fn missing(case: Case, harness: &dyn Harness) -> Option<&'static str> {
    match case.wants {
        Wants::Server if harness.server().is_none() => Some("no server to stop"),
        Wants::Password if harness.connect_with_wrong_password().is_none() => Some("no passwords"),
        _ => None,
    }
}

async fn run_one(case: Case, applies: Applies, context: Context) -> Outcome {
    let (shown, passed) = match applies {
        Applies::Runs => (case.run, Outcome::Passed),
        Applies::Refused { what, check } => (check, Outcome::Unsupported(what)),
    };
    // A task of its own, so that a panic is its outcome and not ours.
    // A server that is given more time for a message is given as much more for a case.
    let slowness = context.harness().patience().as_secs_f64() / PATIENCE_DEFAULT.as_secs_f64();
    let deadline = case.deadline.mul_f64(slowness.max(1.0));
    let mut task = tokio::spawn(shown(context));
    match timeout(deadline, &mut task).await {
        Ok(Ok(Ok(()))) => passed,
        Ok(Ok(Err(failure))) => match applies {
            Applies::Runs => Outcome::Failed(failure.to_string()),
            Applies::Refused { what, .. } => {
                Outcome::Failed(format!("the capability has no `{what}`, but {failure}"))
            }
        },
        Ok(Err(error)) => Outcome::Failed(format!("it panicked: {error}")),
        Err(_) => {
            task.abort();
            Outcome::Failed(format!("it did not end within {deadline:?}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Filter;
    use crate::conformance::cases;

    #[test]
    fn a_filter_takes_ids_names_and_groups() {
        let count = |filter: &Filter| cases().iter().filter(|case| filter.takes(case)).count();
        assert_eq!(count(&Filter::all()), cases().len());
        assert_eq!(count(&Filter::only(["C-021", "publish_subscribe_100"])), 2);
        assert!(count(&Filter::only(["order"])) > 3);
        assert_eq!(count(&Filter::only(["nothing"])), 0);
    }
}
