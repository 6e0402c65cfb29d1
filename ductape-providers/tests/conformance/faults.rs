//! A suite that has never failed proves nothing: each fault is caught, by the cases that are there for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ductape_providers::conformance::{Filter, Harness, Outcome, Wants, cases, run};
use ductape_providers::{AnyProvider, Result};
use futures_util::future::BoxFuture;

use crate::broken::{Broken, Fault, Shared};
use crate::memory::MemoryHarness;

struct BrokenHarness {
    working: MemoryHarness,
    fault: Fault,
    shared: Arc<Shared>,
}

impl BrokenHarness {
    fn new(fault: Fault) -> Self {
        Self {
            working: MemoryHarness::new(),
            fault,
            shared: Arc::default(),
        }
    }
}

impl Harness for BrokenHarness {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn connect(&self) -> BoxFuture<'_, Result<AnyProvider>> {
        if self.fault == Fault::ConnectsAtOnce {
            // What spawns a task before it is awaited panics outside a runtime.
            let _ = tokio::runtime::Handle::current();
        }
        Box::pin(async move {
            let working = if self.fault == Fault::Forgets {
                MemoryHarness::new().connect().await?
            } else {
                self.working.connect().await?
            };
            Ok(Arc::new(Broken::new(working, self.fault, Arc::clone(&self.shared))) as AnyProvider)
        })
    }

    // What does not come is what most faults do.
    fn patience(&self) -> Duration {
        Duration::from_millis(1_500)
    }
}

/// Each fault with cases that must fail on it. Others may fail too.
const CAUGHT: &[(Fault, &[&str])] = &[
    (
        Fault::Loses,
        &[
            "C-001", "C-011", "C-013", "C-014", "C-049", "C-054", "C-057", "C-096", "C-100", "C-102", "D-067",
        ],
    ),
    (
        Fault::Duplicates,
        &["C-001", "C-013", "C-055", "C-049", "D-005", "D-012"],
    ),
    (Fault::LosesHeaders, &["C-001", "C-004", "D-002", "D-053"]),
    (Fault::LosesKeys, &["C-004", "C-051", "D-043"]),
    (Fault::TextOnly, &["C-003"]),
    (Fault::SpacesOutJson, &["C-002"]),
    (Fault::DropsEmpty, &["C-005"]),
    (Fault::NeedsItsRuntime, &["D-060"]),
    (Fault::ClosesEveryHandle, &["D-063"]),
    (Fault::PingsAfterClose, &["C-087"]),
    (Fault::NewIds, &["C-001", "D-003", "D-054"]),
    (Fault::MixesTopics, &["C-008", "C-012", "C-020"]),
    (Fault::TakesTheOversized, &["C-015"]),
    (Fault::TakesAnyHeader, &["D-001", "D-002"]),
    (Fault::FailsTheWholeBatch, &["D-004"]),
    (Fault::TakesUnknownTopics, &["C-088"]),
    (
        Fault::AcksTooEarly,
        &[
            "C-022", "C-025", "C-027", "C-043", "C-094", "C-100", "D-016", "D-017",
        ],
    ),
    (Fault::ForgetsAcks, &["C-021", "C-097", "C-101"]),
    (Fault::RequeuesRejected, &["C-023", "D-050"]),
    (Fault::LosesRequeued, &["C-017", "C-022", "D-015", "D-031"]),
    (Fault::Miscounts, &["C-029", "C-043"]),
    (Fault::CountsRequeues, &["D-010"]),
    (Fault::LosesOnCancel, &["D-011"]),
    (Fault::ForgetsOnce, &["D-013", "D-014"]),
    (
        Fault::ForgetsDelays,
        &["C-024", "C-047", "D-065", "D-023", "D-025", "D-026", "D-027"],
    ),
    (Fault::TakesAnyDelay, &["D-020", "D-022"]),
    (Fault::DelaysWhatIsDue, &["D-021"]),
    (Fault::IgnoresLease, &["C-043", "D-024"]),
    (Fault::TakesLateAcks, &["C-043", "D-024"]),
    (Fault::Reorders, &["C-016", "C-049", "C-050", "D-032", "D-036"]),
    (Fault::LetsRetriesPass, &["C-052"]),
    (Fault::HoldsForEveryRetry, &["D-030"]),
    (Fault::SeeksNowhere, &["C-060", "D-034", "D-035"]),
    (Fault::MixesGroups, &["C-054", "D-040"]),
    (Fault::SendsToEveryGroup, &["D-042", "D-054", "D-056"]),
    (Fault::IgnoresPrefetch, &["C-104", "D-046"]),
    (Fault::OneAtATime, &["D-033"]),
    (Fault::ReturnsTooMany, &["D-006"]),
    (Fault::StartsAtTheEarliest, &["C-056", "C-058", "C-059"]),
    (Fault::KeepsEphemeralGroups, &["C-056"]),
    (Fault::CountsNoBacklog, &["D-044", "D-045"]),
    (Fault::DeliversDeadLetters, &["D-050", "D-052"]),
    (
        Fault::LosesDeadLetters,
        &["D-050", "D-053", "D-054", "D-055", "D-051"],
    ),
    (Fault::ConnectsAtOnce, &["C-086"]),
    (Fault::ConfirmsAfterClose, &["C-091"]),
    (Fault::HangsAfterClose, &["C-092", "D-062"]),
    (Fault::MakesGroupsUnasked, &["C-089"]),
    (Fault::ForgetsAtDeclare, &["C-090", "D-061"]),
    (Fault::Forgets, &["D-064", "D-066"]),
    (
        Fault::DeniesWhatItCan,
        &[
            "C-060", "D-044", "D-013", "C-042", "C-055", "D-041", "C-056", "D-042", "C-029", "C-047", "C-024",
        ],
    ),
];

/// What of `expected` did not fail on `fault`.
async fn missed_by(fault: Fault, expected: &[&str]) -> Vec<String> {
    let harness = Arc::new(BrokenHarness::new(fault));
    let report = run(harness, &Filter::only(expected.iter().copied())).await;
    assert_eq!(
        report.rows.len(),
        expected.len(),
        "{fault:?} names a case that is not there"
    );
    let missed = report.rows.iter().filter(|row| match &row.outcome {
        Outcome::Failed(message) => message.contains("panicked"),
        Outcome::Passed | Outcome::Unsupported(_) => true,
    });
    missed
        .map(|row| {
            format!(
                "{fault:?} by {} {}: {:?}",
                row.case.id, row.case.name, row.outcome
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_is_caught() {
    // Several at once: most of the time goes by waiting for what never comes.
    let mut faults = CAUGHT.iter();
    let mut running = tokio::task::JoinSet::new();
    let mut missed = Vec::new();
    loop {
        while running.len() < 6 {
            let Some((fault, expected)) = faults.next() else {
                break;
            };
            running.spawn(missed_by(*fault, expected));
        }
        match running.join_next().await {
            Some(done) => missed.extend(done.unwrap()),
            None => break,
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wrapper_without_a_fault_passes() {
    let harness = Arc::new(BrokenHarness::new(Fault::None));
    run(harness, &Filter::all()).await.assert_passed();
}

#[test]
fn every_case_has_failed_on_a_broken_provider() {
    let caught: BTreeSet<&str> = CAUGHT.iter().flat_map(|(_, ids)| ids.iter().copied()).collect();
    // What is shown by stopping a server can't be broken in a process.
    let in_process = cases().iter().filter(|case| case.wants == Wants::Broker);
    let all: BTreeSet<&str> = in_process.map(|case| case.id).collect();
    assert_eq!(caught, all);
}
