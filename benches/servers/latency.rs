//! How long an order takes from its publish to its handler, at a rate that keeps nobody busy.

use std::rc::Rc;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use ductape_benches::Order;
use ductape_events::prelude::*;
use tokio::time::{MissedTickBehavior, interval};

use crate::Raw;
use crate::ours::{Broker, fresh, program};

const EVERY: Duration = Duration::from_millis(5);
const WARM_UP: usize = 200;
const ORDERS: usize = 1_000;

/// In milliseconds.
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

type Times = Vec<(Option<Instant>, Option<Instant>)>;
static TIMES: LazyLock<Mutex<Times>> = LazyLock::new(|| Mutex::new(vec![(None, None); ORDERS]));

fn note(order: &Order, arrived: bool) {
    let now = Instant::now();
    let n: usize = order.order_id.rsplit('-').next().unwrap().parse().unwrap();
    let mut times = TIMES.lock().unwrap();
    if arrived {
        times[n].1 = Some(now);
    } else {
        times[n].0 = Some(now);
    }
}

fn arrived(payload: &[u8]) {
    note(&serde_json::from_slice(payload).unwrap(), true);
}

#[consumer(group = "bench")]
async fn timed(order: Order) {
    note(&order, true);
}

fn order(n: usize) -> Order {
    let mut order = Order::example();
    order.number(0, n as u64);
    order
}

async fn result() -> Latency {
    let deadline = Instant::now() + Duration::from_secs(20);
    let missing = || TIMES.lock().unwrap().iter().any(|(_, arrived)| arrived.is_none());
    while missing() {
        assert!(Instant::now() < deadline, "an order did not arrive");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut times = TIMES.lock().unwrap();
    let mut took: Vec<f64> = times
        .drain(..)
        .skip(WARM_UP)
        .map(|(sent, arrived)| (arrived.unwrap() - sent.unwrap()).as_secs_f64() * 1e3)
        .collect();
    *times = vec![(None, None); ORDERS];
    took.sort_unstable_by(f64::total_cmp);
    Latency {
        p50: took[took.len() / 2],
        p99: took[took.len() * 99 / 100],
    }
}

pub(crate) async fn ours(broker: &Broker) -> Latency {
    let ductape = program(broker).consumer::<timed>().build().await.unwrap();
    ductape.start().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 0..ORDERS {
        ticks.tick().await;
        let order = order(n);
        note(&order, false);
        let _receipt = order.produce(&ductape).await.unwrap();
    }
    let result = result().await;
    ductape.shutdown().await.unwrap();
    result
}

pub(crate) async fn raw(raw: &Rc<dyn Raw>) -> Latency {
    let name = fresh("raw");
    raw.declare(&name).await;
    let (reading, sending) = (Rc::clone(raw), Rc::clone(raw));
    let read = async {
        reading.consume(&name, ORDERS as u64, arrived).await;
    };
    let send = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for n in 0..ORDERS {
            ticks.tick().await;
            let order = order(n);
            note(&order, false);
            sending
                .publish_one(&name, serde_json::to_vec(&order).unwrap())
                .await;
        }
    };
    tokio::join!(read, send);
    result().await
}
