//! Every promise, of the providers and of the runtime, on the embedded brokers, in the in-process test mode, and on the
//! servers that `DUCTAPE_TEST` names (with commas between: `kafka,redis`); and on brokers that are broken on purpose, where
//! the suite must notice. `DUCTAPE_CASES` names the cases to run, by id, name or group, where not all are wanted.

#![allow(clippy::panic, clippy::unwrap_used)] // a test may panic

#[path = "conformance/broken.rs"]
mod broken;
#[path = "conformance/harness.rs"]
mod harness;
#[path = "conformance/remote.rs"]
mod remote;
#[path = "conformance/table.rs"]
mod table;

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use ductape_events::conformance::{TEST_MODE, cases};
use ductape_events::providers::conformance::{self, Case, Filter, Outcome, Report, Row, run_cases};

use crate::harness::Broker;
use crate::remote::Remote;

/// The provider's cases and the runtime's.
fn all_cases() -> Vec<Case> {
    [conformance::cases(), cases()].concat()
}

/// Only what is named in `DUCTAPE_CASES`, with commas between, where it is set.
fn filter() -> Filter {
    match std::env::var("DUCTAPE_CASES") {
        Ok(only) => Filter::only(only.split(',')),
        Err(_) => Filter::all(),
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Unsupported(_) => "refused",
        Outcome::Failed(_) => "FAILED",
    }
}

/// One row a case, one column a broker, with the milliseconds that it took; then how each did.
fn lines(reports: &[Report]) -> String {
    let mut table = format!("\n{:<6} {:<56}", "id", "case");
    for report in reports {
        let _ = write!(table, " {:<14}", report.harness);
    }
    for (at, row) in reports[0].rows.iter().enumerate() {
        let _ = write!(table, "\n{:<6} {:<56}", row.case.id, row.case.name);
        for report in reports {
            let Row { outcome, took, .. } = &report.rows[at];
            let _ = write!(table, " {} {:<6}", word(outcome), took.as_millis());
        }
    }
    for report in reports {
        let (passed, refused, failed) = report.counts();
        let took: Duration = report.rows.iter().map(|row| row.took).sum();
        let _ = write!(
            table,
            "\n{}: {passed} passed, {refused} refused as the capability says, {failed} failed; {took:.1?} in all",
            report.harness
        );
        for failure in report.failures() {
            let _ = write!(table, "\n{}: {failure}", report.harness);
        }
    }
    table + "\n"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_answers_on_memory_on_durable_and_in_the_test_mode() {
    let cases = all_cases();
    let mut reports = Vec::new();
    for broker in [Broker::memory(), Broker::durable(), Broker::test_mode()] {
        reports.push(run_cases(Arc::new(broker), &cases, &filter()).await);
    }
    // Past the harness that keeps what a test prints: the table is what this test is for.
    std::io::stdout().write_all(lines(&reports).as_bytes()).unwrap();
    keep(&reports);
    assert_eq!(reports[2].harness, TEST_MODE);
    // The test mode is memory that emulates durable: whatever a program is told there, it is told by the store.
    let differing: Vec<String> = reports[1]
        .rows
        .iter()
        .zip(&reports[2].rows)
        .filter(|(durable, test)| word(&durable.outcome) != word(&test.outcome))
        .map(|(durable, test)| {
            format!(
                "{}: {:?} and {:?}",
                durable.case.id, durable.outcome, test.outcome
            )
        })
        .collect();
    assert!(
        differing.is_empty(),
        "durable and the test mode differ: {differing:#?}"
    );
    for report in &reports {
        report.assert_passed();
    }
}

/// A server that is named and can't be reached is a failure; one that is not named is not tried.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_promises_on_the_servers() {
    let Ok(names) = std::env::var("DUCTAPE_TEST") else {
        return;
    };
    let cases = all_cases();
    let mut reports = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        reports.push(run_cases(Arc::new(Remote::new(name)), &cases, &filter()).await);
    }
    if reports.is_empty() {
        return;
    }
    std::io::stdout().write_all(lines(&reports).as_bytes()).unwrap();
    keep(&reports);
    for report in &reports {
        report.assert_passed();
    }
}

/// Only whole runs make a table.
fn keep(reports: &[Report]) {
    if std::env::var_os("DUCTAPE_CASES").is_none() {
        reports.iter().for_each(table::keep);
    }
}

/// Not a test: `dev/feature-table` runs it, after the suite has run on every broker.
#[test]
#[ignore = "writes the pages"]
fn the_table_is_written() {
    table::write(&all_cases());
}
