//! How the suite reaches the embedded brokers.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ductape_events::conformance::TEST_MODE;
use ductape_events::providers::conformance::Harness;
use ductape_events::providers::embedded::{DurableConfig, Memory, MemoryConfig};
use ductape_events::providers::{AnyProvider, Result};
use futures_util::future::BoxFuture;

/// One broker, of which every connection is a further handle.
pub(crate) struct Broker {
    name: &'static str,
    kind: Kind,
}

enum Kind {
    Memory(Memory),
    Durable(Folder),
}

/// A folder of its own, which goes when the harness does.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ductape-runtime-conformance-{}-{next}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        drop(std::fs::remove_dir_all(&folder));
        Self(folder)
    }

    fn store(&self) -> DurableConfig {
        DurableConfig::new(self.0.join("events.db"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

impl Broker {
    pub(crate) fn memory() -> Self {
        Self {
            name: "memory",
            kind: Kind::Memory(MemoryConfig::default().open()),
        }
    }

    pub(crate) fn durable() -> Self {
        Self {
            name: "durable",
            kind: Kind::Durable(Folder::new()),
        }
    }

    /// What takes the durable store's place in the in-process test mode.
    pub(crate) fn test_mode() -> Self {
        let can = DurableConfig::new("never opened").capability();
        Self {
            name: TEST_MODE,
            kind: Kind::Memory(Memory::emulating(can)),
        }
    }
}

impl Harness for Broker {
    fn name(&self) -> &str {
        self.name
    }

    fn connect(&self) -> BoxFuture<'_, Result<AnyProvider>> {
        Box::pin(async {
            match &self.kind {
                Kind::Memory(memory) => Ok(Arc::new(memory.connect()) as AnyProvider),
                Kind::Durable(folder) => Ok(Arc::new(folder.store().open().await?) as AnyProvider),
            }
        })
    }

    fn isolated(&self) -> Option<Arc<dyn Harness>> {
        let broker = match (&self.kind, self.name) {
            (Kind::Durable(_), _) => Self::durable(),
            (_, TEST_MODE) => Self::test_mode(),
            _ => Self::memory(),
        };
        Some(Arc::new(broker))
    }

    // The machine that runs the suite may be busy.
    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }
}
