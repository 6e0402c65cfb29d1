//! Memory, durable, and memory that emulates durable give the same answers where their capabilities agree: what passes in
//! the test mode passes on the store.

use std::sync::Arc;

use ductape_providers::Capability;
use ductape_providers::conformance::{Applies, Filter, Harness, Outcome, Report, run};

use crate::durable::DurableHarness;
use crate::memory::MemoryHarness;

struct Answers {
    report: Report,
    capability: Capability,
}

async fn ask(harness: impl Harness) -> Answers {
    let capability = harness.connect().await.unwrap().capability_dyn();
    let report = run(Arc::new(harness), &Filter::all()).await;
    Answers { report, capability }
}

/// The cases of which the capabilities say the same and that are answered differently, and how many were compared.
fn differences(one: &Answers, other: &Answers) -> (usize, Vec<String>) {
    let refuses = |applies: Applies| match applies {
        Applies::Runs => None,
        Applies::Refused { what, .. } => Some(what),
    };
    let failed = |outcome: &Outcome| matches!(outcome, Outcome::Failed(_));
    let (mut compared, mut differences) = (0, Vec::new());
    for (a, b) in one.report.rows.iter().zip(&other.report.rows) {
        assert_eq!(a.case.id, b.case.id);
        if refuses((a.case.needs)(&one.capability)) == refuses((b.case.needs)(&other.capability)) {
            compared += 1;
            if failed(&a.outcome) != failed(&b.outcome) {
                let (id, name) = (a.case.id, a.case.name);
                differences.push(format!("{id} {name}: {:?} and {:?}", a.outcome, b.outcome));
            }
        }
    }
    (compared, differences)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_durable_answer_alike() {
    let durable = ask(DurableHarness::new()).await;
    let memory = ask(MemoryHarness::new()).await;
    let can = durable.capability;
    let emulating = ask(MemoryHarness::emulating("memory like durable", |capability| {
        *capability = can;
    }))
    .await;
    let all = durable.report.rows.len();
    // All but the five that ask for messages to outlive their process.
    assert_eq!(differences(&durable, &memory), (all - 5, Vec::new()));
    assert_eq!(differences(&durable, &emulating), (all, Vec::new()));
}
