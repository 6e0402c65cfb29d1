//! The in-memory provider, as itself and as brokers that can do less.

use std::sync::Arc;
use std::time::Duration;

use ductape_providers::capability::{Order, Requeue};
use ductape_providers::conformance::{Filter, Harness, run};
use ductape_providers::embedded::{Memory, MemoryConfig};
use ductape_providers::{AnyProvider, Capability, Result};
use futures_util::future::BoxFuture;

/// A broker in memory, of which every connection is a further one.
pub(crate) struct MemoryHarness {
    name: &'static str,
    broker: Memory,
}

impl MemoryHarness {
    pub(crate) fn new() -> Self {
        Self {
            name: "memory",
            broker: MemoryConfig::default().open(),
        }
    }

    pub(crate) fn emulating(name: &'static str, change: impl FnOnce(&mut Capability)) -> Self {
        let mut capability = MemoryConfig::default().capability();
        change(&mut capability);
        Self {
            name,
            broker: Memory::emulating(capability),
        }
    }
}

impl Harness for MemoryHarness {
    fn name(&self) -> &str {
        self.name
    }

    fn connect(&self) -> BoxFuture<'_, Result<AnyProvider>> {
        Box::pin(async { Ok(Arc::new(self.broker.connect()) as AnyProvider) })
    }

    fn isolated(&self) -> Option<Arc<dyn Harness>> {
        Some(Arc::new(Self {
            name: self.name,
            broker: Memory::emulating(ductape_providers::Provider::capability(&self.broker)),
        }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_provider_passes() {
    let report = run(Arc::new(MemoryHarness::new()), &Filter::all()).await;
    println!("{report}");
    report.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_test_mode_answers_as_the_broker_whose_capability_it_has() {
    let queue = MemoryHarness::emulating("like a queue", |capability| {
        capability.order = Order::None;
        capability.seek = false;
        capability.start_earliest = false;
        capability.ephemeral_groups = false;
        capability.route_to_group = false;
        capability.once = false;
        capability.payload_bytes_max = 256 * 1024;
        capability.publish_delay_max = Some(Duration::from_mins(15));
        capability.requeue = Requeue::Delayed {
            max: Duration::from_hours(12),
            holds_key: false,
        };
    });
    let log = MemoryHarness::emulating("like a log", |capability| {
        capability.requeue = Requeue::None;
        capability.delivery_count = false;
        capability.once = false;
        capability.lease = false;
        capability.publish_delay_max = None;
    });
    let stream = MemoryHarness::emulating("like a stream", |capability| {
        capability.order = Order::PerTopic;
        capability.requeue = Requeue::Immediate;
        capability.publish_delay_max = None;
        capability.backlog = false;
    });
    let least = MemoryHarness::emulating("the least", |capability| *capability = Capability::least(1024));
    for harness in [queue, log, stream, least] {
        let report = run(Arc::new(harness), &Filter::all()).await;
        println!("{report}");
        report.assert_passed();
    }
}
