//! The suite that the project's own providers pass, on the journal: the provider's cases, and the runtime's over it.

#![allow(clippy::panic, clippy::unwrap_used)] // a test may panic

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use custom_provider::Journal;
use ductape_providers::conformance::{Filter, Harness, Outcome, run, run_cases};
use ductape_providers::{AnyProvider, Result};
use futures_util::future::BoxFuture;

/// A journal of its own, which goes when the harness does.
struct InFolder(PathBuf);

impl InFolder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("custom-provider-{}-{next}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        drop(std::fs::remove_dir_all(&folder));
        Self(folder)
    }
}

impl Drop for InFolder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

impl Harness for InFolder {
    fn name(&self) -> &'static str {
        "journal"
    }

    /// Another handle of the one journal. Where no other handle is open its files are read anew, as after a restart.
    fn connect(&self) -> BoxFuture<'_, Result<AnyProvider>> {
        Box::pin(async { Ok(Arc::new(Journal::open(&self.0).await?) as AnyProvider) })
    }

    /// For the cases that close every handle, and then open the journal again.
    fn isolated(&self) -> Option<Arc<dyn Harness>> {
        Some(Arc::new(Self::new()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_journal_keeps_the_promises_of_a_provider() {
    let report = run(Arc::new(InFolder::new()), &Filter::all()).await;
    println!("{report}");
    report.assert_passed();
    // What it can't do was asked for, and refused.
    for (id, what) in [
        ("D-013", "once"),
        ("C-047", "publish_delay_max"),
        ("C-042", "lease"),
    ] {
        assert_eq!(report.outcome(id), Some(&Outcome::Unsupported(what)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_runtime_keeps_its_promises_over_the_journal() {
    let cases = ductape_events::conformance::cases();
    let report = run_cases(Arc::new(InFolder::new()), cases, &Filter::all()).await;
    println!("{report}");
    report.assert_passed();
    assert_eq!(
        report.outcome("R-212"),
        Some(&Outcome::Unsupported("group_delay_max"))
    );
}
