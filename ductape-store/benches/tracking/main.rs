//! How fast tracking writes, and how fast it answers with many messages in the store.
//!
//! ```text
//! cargo bench -p ductape-store --all-features --bench tracking -- [sqlite|postgres] [MESSAGES] [WRITE_SECONDS]
//! ```
//!
//! Postgres is the one that `DUCTAPE_TEST_POSTGRES` names. The store is made anew, and removed at the end. Messages are spread over
//! 30 days: the first 500,000 are recorded, and where there are to be more, the tables are then multiplied.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss
)] // it measures

mod ask;
mod multiply;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use ductape_store::tracking::{Attempted, Outcome, Produced, Record, TopicPlace, TrackingWriter};
use ductape_store::{Store, StoreKeys, StoreUrl};
use sqlx::{Connection as _, Executor as _, PgConnection};

const TOPICS: usize = 20;
const BATCH: usize = 8_192;
/// How many messages are recorded; more than that are copies.
const RECORDED_MAX: usize = 500_000;
const FILL_OVER: Duration = Duration::from_hours(720);

struct Shared {
    topics: Vec<Arc<TopicPlace>>,
    producers: Vec<Arc<str>>,
    consumer: Arc<str>,
    groups: Arc<[Arc<str>]>,
}

impl Shared {
    fn new() -> Self {
        let topic = |at: usize| {
            Arc::new(TopicPlace {
                product: "shop".into(),
                env: "prd".into(),
                broker_tag: "order-events".into(),
                topic_tag: format!("topic-{at}").into(),
            })
        };
        let consumer: Arc<str> = "billing".into();
        Self {
            topics: (0..TOPICS).map(topic).collect(),
            producers: (0..4).map(|at| format!("producer-{at}").into()).collect(),
            groups: Arc::new([Arc::clone(&consumer)]),
            consumer,
        }
    }

    fn produced(&self, number: usize, at: SystemTime) -> Record {
        let payload = format!(
            r#"{{"orderId":"{number}","customerId":"cust_{}","total":99.99,"note":"as it was ordered"}}"#,
            number % 1000
        );
        Record::Produced(Box::new(Produced {
            topic: Arc::clone(&self.topics[number % TOPICS]),
            message_id: id(number),
            producer_tag: Arc::clone(&self.producers[number / TOPICS % 4]),
            produced_at: at,
            payload: Some(Bytes::from(payload)),
            key: Some(format!("{}", number % 1000)),
            idempotency_key: None,
            metadata: Some(r#"{"content-type":"application/json"}"#.to_owned()),
            process_id: Some(id(number)),
            session_tag: None,
            replay_of: None,
            groups: Arc::clone(&self.groups),
        }))
    }

    fn attempted(&self, number: usize, at: SystemTime) -> Record {
        let error = || format!("order {number} was refused");
        let outcome = match number % 100 {
            0 => Outcome::Failed { error: error() },
            1 => Outcome::DeadLettered { error: error() },
            _ => Outcome::Success,
        };
        Record::Attempted(Box::new(Attempted {
            topic: Arc::clone(&self.topics[number % TOPICS]),
            message_id: id(number),
            consumer_tag: Arc::clone(&self.consumer),
            redrive: 0,
            attempt: 1,
            outcome,
            started_at: at + Duration::from_millis(2),
            elapsed: Duration::from_millis(3),
            produced_at: Some(at),
            response_data: None,
            original: None,
        }))
    }
}

/// Ids as those of version 7: in the order of time.
fn id(number: usize) -> String {
    format!(
        "019a{:08x}-7{:03x}-8000-{:012x}",
        number >> 8,
        number & 0xfff,
        number.wrapping_mul(0x9e37_79b9)
    )
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|one| !one.starts_with("--"))
        .collect();
    let kind = arguments.first().map_or("sqlite", String::as_str);
    let messages: usize = arguments.get(1).map_or(200_000, |text| text.parse().unwrap());
    let seconds: u64 = arguments.get(2).map_or(10, |text| text.parse().unwrap());
    let place = Place::new(kind).await;
    let store = Store::open(&StoreUrl::parse(&place.url).unwrap(), StoreKeys::none())
        .await
        .unwrap();
    if seconds > 0 {
        write_rate(&store, seconds).await;
        store.close().await;
        place.remove().await;
        return;
    }
    let times = messages.div_ceil(RECORDED_MAX);
    fill(&store, messages / times).await;
    store.close().await;
    if times > 1 {
        multiply::multiply(&place.url, i64::try_from(times).unwrap()).await;
    }
    let store = Store::open(&StoreUrl::parse(&place.url).unwrap(), StoreKeys::none())
        .await
        .unwrap();
    ask::ask(&store).await;
    store.close().await;
    place.remove().await;
}

/// Produces, and the deliveries of half of them in the same batch, of the other half in the next.
async fn write_rate(store: &Store, seconds: u64) {
    let shared = Shared::new();
    let writer = TrackingWriter::new(store);
    let (start, mut number, mut written) = (Instant::now(), 1_000_000_000, 0);
    let mut later = Vec::new();
    let mut making = Duration::ZERO;
    while start.elapsed() < Duration::from_secs(seconds) {
        let made = Instant::now();
        let at = SystemTime::now();
        let mut records = std::mem::take(&mut later);
        while records.len() < BATCH {
            records.push(shared.produced(number, at));
            if number.is_multiple_of(2) {
                records.push(shared.attempted(number, at));
            } else {
                later.push(shared.attempted(number, at));
            }
            number += 1;
        }
        making += made.elapsed();
        writer.write(&records, SystemTime::now()).await.unwrap();
        written += records.len();
    }
    let elapsed = start.elapsed().checked_sub(making).unwrap();
    println!(
        "{store}: {written} records written, {:.0}/s",
        written as f64 / elapsed.as_secs_f64()
    );
}

async fn fill(store: &Store, messages: usize) {
    let shared = Shared::new();
    let writer = TrackingWriter::new(store);
    let start = Instant::now();
    let first = SystemTime::now() - FILL_OVER;
    let apart = FILL_OVER / u32::try_from(messages.max(1)).unwrap();
    let mut number = 0;
    while number < messages {
        let mut records = Vec::with_capacity(BATCH);
        while records.len() < BATCH && number < messages {
            let at = first + apart * u32::try_from(number).unwrap();
            records.push(shared.produced(number, at));
            if number % 100 != 2 {
                records.push(shared.attempted(number, at));
            }
            number += 1;
        }
        writer.write(&records, SystemTime::now()).await.unwrap();
    }
    println!("{store}: {messages} messages filled in {:.1?}", start.elapsed());
}

struct Place {
    url: String,
    database: Option<(String, String)>,
    folder: Option<std::path::PathBuf>,
}

impl Place {
    async fn new(kind: &str) -> Self {
        let name = format!("ductape_bench_{}", std::process::id());
        if kind == "postgres" {
            let server = std::env::var("DUCTAPE_TEST_POSTGRES").unwrap();
            run(&server, format!("CREATE DATABASE {name}")).await;
            let (address, _) = server.rsplit_once('/').unwrap();
            return Self {
                url: format!("{address}/{name}"),
                database: Some((server.clone(), name)),
                folder: None,
            };
        }
        let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        Self {
            url: format!("sqlite:{}", folder.join("store.db").display()),
            database: None,
            folder: Some(folder),
        }
    }

    async fn remove(self) {
        if let Some((server, name)) = self.database {
            run(&server, format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
        if let Some(folder) = self.folder {
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}

async fn run(server: &str, sql: String) {
    let mut connection = PgConnection::connect(server).await.unwrap();
    connection
        .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql)))
        .await
        .unwrap();
}
