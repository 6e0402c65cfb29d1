//! The durable store under the suite: each handle has a connection of its own to one file, as another process has.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ductape_providers::conformance::{Filter, Harness, run};
use ductape_providers::embedded::DurableConfig;
use ductape_providers::{AnyProvider, Result};
use futures_util::future::BoxFuture;

/// A file in a directory of its own, which goes when the harness does.
pub(crate) struct DurableHarness(PathBuf);

impl DurableHarness {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ductape-conformance-{}-{next}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        drop(std::fs::remove_dir_all(&directory));
        Self(directory)
    }
}

impl Drop for DurableHarness {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

impl Harness for DurableHarness {
    fn name(&self) -> &'static str {
        "durable"
    }

    fn connect(&self) -> BoxFuture<'_, Result<AnyProvider>> {
        Box::pin(async {
            let store = DurableConfig::new(self.0.join("events.db")).open().await?;
            Ok(Arc::new(store) as AnyProvider)
        })
    }

    fn isolated(&self) -> Option<Arc<dyn Harness>> {
        Some(Arc::new(Self::new()))
    }

    // A fsync of the disk that the tests run on can take long when others use it too.
    fn quiet(&self) -> Duration {
        Duration::from_millis(300)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_durable_store_keeps_every_promise_that_it_states() {
    let report = run(Arc::new(DurableHarness::new()), &Filter::all()).await;
    println!("{report}");
    report.assert_passed();
}
