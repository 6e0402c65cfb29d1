//! How much an in-memory broker holds.

use crate::capability::{Capability, Order, Requeue};
use crate::embedded::memory::Memory;

use std::num::NonZeroUsize;
use std::time::Duration;

/// How much an in-memory broker holds. It does no I/O and needs no runtime.
///
/// ```
/// use ductape_providers::embedded::MemoryConfig;
///
/// let memory = MemoryConfig { capacity: 1_000, ..MemoryConfig::default() }.open();
/// # let _ = memory;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryConfig {
    /// The most messages of a topic that one group may leave unsettled; a publish beyond it waits. At least 1. Messages
    /// sent to a group alone, and a group's dead letters, are counted apart, with the same limit each; dead letters
    /// beyond it are refused. Default: 65,536.
    pub capacity: usize,
    /// The messages of a topic that are kept for replay after all groups have settled them. Default: 1,024.
    pub retention: usize,
    /// The largest payload, in bytes. Default: 1 MiB.
    pub payload_bytes_max: usize,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            capacity: 65_536,
            retention: 1_024,
            payload_bytes_max: 1024 * 1024,
        }
    }
}

impl MemoryConfig {
    /// An empty broker.
    pub fn open(self) -> Memory {
        Memory::new(self, self.capability())
    }

    /// What the broker that [`open`](Self::open) gives can do: everything but outlive the process.
    pub fn capability(&self) -> Capability {
        Capability {
            order: Order::PerKey,
            requeue: Requeue::Delayed {
                max: DELAY_MAX,
                holds_key: true,
            },
            groups: true,
            ephemeral_groups: true,
            route_to_group: true,
            start_earliest: true,
            seek: true,
            delivery_count: true,
            once: true,
            persistent: false,
            backlog: true,
            publish_delay_max: Some(DELAY_MAX),
            group_delay_max: Some(DELAY_MAX),
            lease: true,
            unsettled_max: None,
            payload_bytes_max: self.payload_bytes_max,
            publish_batch_max: BATCH_MAX,
            receive_batch_max: BATCH_MAX,
        }
    }
}

/// The longest delay: a year, which no process outlives by chance.
const DELAY_MAX: Duration = Duration::from_hours(365 * 24);

/// Enough to make the cost of a batch vanish, and little enough that one does not hold the topic's lock for long.
const BATCH_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1_023);
