//! Orders, end to end: `cargo run --example orders`.
//!
//! Reads `orders.jsonl`, produces an `OrderCreated` for each line, and runs three consumers. Nothing is configured, so
//! the embedded broker keeps everything in `.ductape/events.db`; a second run continues there, and handles no order twice.
#![allow(clippy::print_stdout, clippy::print_stderr)] // it talks to a person
#![allow(clippy::disallowed_methods)] // the clock rule is the library's

mod consumers;
mod events;
mod report;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ductape_events::providers::MessageId;
use ductape_events::{ErrorCode, prelude::*};

use futures_util::stream::{self, StreamExt as _};

use crate::consumers::{Mailer, Stock};
use crate::events::OrderCreated;
use crate::report::Report;

const ORDERS: &str = include_str!("orders.jsonl");
/// Notes are short; what is larger than this is not an order.
const ORDER_BYTES_MAX: usize = 4096;
/// How many orders are on their way to the broker at one time.
const AT_A_TIME: usize = 32;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), BrokerError> {
    let report = Arc::new(Report::default());
    let watched = Arc::clone(&report);
    let ductape = Ductape::builder()
        .product("coffee-shop")
        .payload_bytes_max(ORDER_BYTES_MAX)
        .state(Stock::default())
        .state(Mailer::default())
        .observe(move |attempt: &ductape_events::AttemptReport<'_>| watched.note(attempt))
        .build()
        .await?;
    let began = Instant::now();
    ductape.start().await?;

    // Several at a time, in the order of the file: the broker confirms them together.
    let mut lines = stream::iter(ORDERS.lines().enumerate())
        .map(async |(number, line)| (number, produce(line, &ductape).await))
        .buffered(AT_A_TIME);
    while let Some((number, produced)) = lines.next().await {
        match produced {
            Ok(_) => report.produced(),
            Err(error) if error.code() == ErrorCode::PayloadTooLarge => report.refused(number + 1, &error),
            Err(error) => return Err(error),
        }
        report.show_progress(&ductape.stats());
    }
    drop(lines);
    while !ductape.wait_idle(Duration::from_millis(100)).await? {
        report.show_progress(&ductape.stats());
    }
    report.print(&ductape.stats(), began.elapsed());
    ductape.shutdown().await
}

/// Produces the order of a line. Its id follows from the line, so that producing it again is recognised.
async fn produce(line: &str, ductape: &Ductape) -> Result<ProduceReceipt, BrokerError> {
    if let Ok(order) = serde_json::from_str::<OrderCreated>(line) {
        let id = MessageId::derived("orders.jsonl", &order.order_id);
        return order
            .produce_with(ProduceOptions::default().id(id), ductape)
            .await;
    }
    // What is no order is passed on as it is, as a gateway would: consumers make dead letters of it.
    let options = ProduceOptions::default().id(MessageId::derived("orders.jsonl", line));
    ductape
        .context()
        .produce_bytes(OrderCreated::EVENT, line.to_owned(), options)
        .await
}
