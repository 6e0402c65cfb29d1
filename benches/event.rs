use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ductape_events::prelude::*;
use tokio::sync::Notify;

/// An order of about 200 bytes of JSON.
#[topic("bench-events:order", key = order_id)]
#[derive(Clone, Debug)]
pub struct Order {
    /// The key.
    pub order_id: String,
    /// Who ordered.
    pub customer: String,
    /// What it costs.
    pub total: f64,
    /// In which currency.
    pub currency: String,
    /// How many.
    pub quantity: u32,
    /// What for.
    pub note: String,
}

impl Order {
    /// An order whose JSON has 200 bytes.
    #[must_use]
    pub fn example() -> Self {
        let mut order = Self {
            order_id: String::new(),
            customer: "customer-000042".to_owned(),
            total: 1249.99,
            currency: "EUR".to_owned(),
            quantity: 3,
            note: "Please leave the parcel with the neighbours on the second floor, and ring twice."
                .to_owned(),
        };
        order.number(0, 0);
        order
    }

    /// Gives it another id, and so another key, in place.
    pub fn number(&mut self, producer: usize, n: u64) {
        self.order_id.clear();
        // Writing to a string does not fail.
        let _ = write!(self.order_id, "order-{producer:02}-{:06}", n % 1_000_000);
    }

    /// `n` orders with ids of their own.
    pub fn many(producer: usize, n: u64) -> impl Iterator<Item = Self> + Send {
        let mut order = Self::example();
        (0..n).map(move |n| {
            order.number(producer, n);
            order.clone()
        })
    }
}

static HANDLED: AtomicU64 = AtomicU64::new(0);
static WANTED: AtomicU64 = AtomicU64::new(u64::MAX);
static DONE: Notify = Notify::const_new();

/// The handler: looks at the order and counts.
#[consumer(group = "bench", concurrency = 16)]
#[allow(missing_docs)]
pub async fn handle(order: Order) {
    counted(&order);
}

/// Counts an order, of either side.
pub fn counted(order: &Order) {
    black_box(order);
    if HANDLED.fetch_add(1, Ordering::AcqRel) + 1 == WANTED.load(Ordering::Acquire) {
        DONE.notify_one();
    }
}

/// How many were counted.
#[must_use]
pub fn handled() -> u64 {
    HANDLED.load(Ordering::Acquire)
}

/// Measures a run.
#[derive(Debug)]
pub struct Clock {
    began: Instant,
    cpu: Duration,
}

/// What a run took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Took {
    /// Real time.
    pub real: Duration,
    /// The time of all threads on a processor: unlike real time, it does not depend on what else the machine does. Zero
    /// where the system does not tell.
    pub cpu: Duration,
}

impl Clock {
    /// Begins a run that ends when `n` more orders are counted.
    #[must_use]
    pub fn counting(n: u64) -> Self {
        WANTED.store(handled() + n, Ordering::Release);
        Self::start()
    }

    /// Begins a run.
    #[must_use]
    pub fn start() -> Self {
        let cpu = cpu();
        Self { began: now(), cpu }
    }

    /// What it has taken.
    #[must_use]
    pub fn took(&self) -> Took {
        Took {
            real: now().duration_since(self.began),
            cpu: cpu().saturating_sub(self.cpu),
        }
    }
}

#[allow(clippy::disallowed_methods)] // a bench measures real time
fn now() -> Instant {
    Instant::now()
}

/// What the threads of this process have run for.
fn cpu() -> Duration {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else {
        return Duration::ZERO;
    };
    threads
        .filter_map(|thread| {
            let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            let nanos = text.split(' ').next()?.parse().ok()?;
            Some(Duration::from_nanos(nanos))
        })
        .sum()
}

/// Waits until all orders of the run were counted.
pub async fn until_handled() {
    // The other side's run may have left a notification behind.
    while handled() < WANTED.load(Ordering::Acquire) {
        DONE.notified().await;
    }
}
