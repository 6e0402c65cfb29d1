//! An order's row and its event, or neither: `cargo run --example outbox --features postgres`.
//!
//! The row of an order and its event `order-placed` are written in one transaction; a consumer ships what was ordered, in a
//! transaction that also notes that it did. For each step on that way a process is started that gets as far as the step and is
//! killed there, with SIGKILL. Another process goes on; then the order's row and its shipment are counted: both are there once, or
//! neither is. It runs on SQLite in a folder of its own, or on the Postgres that `DUCTAPE_STORE` names.
#![allow(clippy::print_stdout, clippy::print_stderr)] // it talks to a person
#![allow(clippy::disallowed_methods)] // the clock rule is the library's

mod database;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io};

use ductape_events::consumer::Inbox;
use ductape_events::prelude::*;
use ductape_events::store::{Store, StoreKeys, StoreUrl};

use crate::database::Database;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Someone ordered something.
#[topic("order-events:order-placed", key = shop)]
struct OrderPlaced {
    shop: String,
    order: String,
}

/// How far a process gets until it is killed; and whether the order is there then.
const STEPS: [(Step, bool); 8] = [
    (Step("the transaction has begun"), false),
    (Step("the row is written"), false),
    (Step("the event is written"), false),
    (Step("both are committed"), true),
    (Step("the consumer has the event"), true),
    (Step("the shipment is written"), true),
    (Step("the shipment is committed"), true),
    (Step("nothing: it ends in order"), true),
];

/// A step that a process may be killed at.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Step(&'static str);

/// The step that this process is killed at.
const KILLED_AT: &str = "OUTBOX_KILLED_AT";
/// Where the processes keep what they share.
const FOLDER: &str = "OUTBOX_FOLDER";
/// How long a step may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Says that `step` is reached; does not come back if this process is to be killed there.
async fn reached(step: usize) {
    let at = STEPS[step].0.0;
    if env::var(KILLED_AT).is_ok_and(|killed_at| killed_at == at) {
        println!("{at}");
        std::future::pending::<()>().await;
    }
}

#[consumer(group = "shipping")]
async fn ship(placed: OrderPlaced, inbox: Inbox, database: State<Database>) -> Outcome<()> {
    reached(4).await;
    database.ship(&placed, &inbox).await
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match env::var(FOLDER) {
        Ok(folder) => be_killed(Path::new(&folder)).await,
        Err(_) => kill_at_each_step().await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn program(folder: &Path) -> Outcome<(Ductape, Database)> {
    let url = env::var("DUCTAPE_STORE").unwrap_or_else(|_| format!("sqlite:{}/store.db", folder.display()));
    let config = format!(
        "[brokers.order-events.environments.dev]\ntype = 'EMBEDDED'\nmode = 'durable'\npath = '{}/events.db'\n",
        folder.display()
    );
    // The first to come makes the store, and with it the database.
    let store = Store::open(&StoreUrl::parse(&url)?, StoreKeys::none()).await?;
    let database = Database::open(&url).await?;
    let builder = Ductape::builder().config_text(config).environment("dev");
    let builder = builder.store(store).lease(Duration::from_secs(1));
    let ductape = builder.state(database.clone()).build().await?;
    Ok((ductape, database))
}

/// Places an order and ships it; it is killed meanwhile.
async fn be_killed(folder: &Path) -> Outcome<()> {
    let order = env::var("OUTBOX_ORDER")?;
    let (ductape, database) = program(folder).await?;
    let placed = OrderPlaced {
        shop: order.clone(),
        order,
    };
    database.place(&placed, &ductape).await?;
    ductape.start().await?;
    until_shipped(&database, &placed.order).await?;
    reached(7).await;
    Ok(ductape.shutdown().await?)
}

async fn kill_at_each_step() -> Outcome<()> {
    let folder = env::temp_dir().join(format!("ductape-outbox-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let done = kill_at_each_step_in(&folder).await;
    fs::remove_dir_all(&folder)?;
    done
}

async fn kill_at_each_step_in(folder: &Path) -> Outcome<()> {
    let run = std::process::id();
    println!("{:<28} {:>10} {:>10}", "killed when", "rows", "shipments");
    let mut wrong = 0;
    for (number, (step, is_there)) in STEPS.into_iter().enumerate() {
        let order = format!("{run}-{number}");
        kill_at(step, order.clone(), folder.to_owned()).await?;

        let (ductape, database) = program(folder).await?;
        ductape.start().await?;
        // What is placed after it in the same shop is shipped after it.
        let next = OrderPlaced {
            shop: order.clone(),
            order: format!("{order}-next"),
        };
        database.place(&next, &ductape).await?;
        until_shipped(&database, &next.order).await?;
        let (rows, shipments) = database.count(&order).await?;
        let right = rows == shipments && rows == i64::from(is_there);
        let remark = if right { "" } else { "  WRONG" };
        println!("{:<28} {rows:>10} {shipments:>10}{remark}", step.0);
        wrong += usize::from(!right);
        ductape.shutdown().await?;
    }
    if wrong > 0 {
        return Err(format!("at {wrong} steps an order and its shipment do not agree").into());
    }
    println!("each order was shipped once, or was never placed");
    Ok(())
}

/// Starts a process that places `order`, and kills it at `step`.
async fn kill_at(step: Step, order: String, folder: PathBuf) -> Outcome<()> {
    let killed = tokio::task::spawn_blocking(move || -> Outcome<()> {
        let mut process = Command::new(env::current_exe()?)
            .env(KILLED_AT, step.0)
            .env(FOLDER, folder)
            .env("OUTBOX_ORDER", order)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = process.stdout.take().ok_or("the process has no output")?;
        io::BufRead::read_line(&mut io::BufReader::new(stdout), &mut line)?;
        process.kill()?;
        let ended = process.wait()?;
        if line.trim() == step.0 {
            return Ok(());
        }
        Err(format!("the process ended before this step: {}: {ended}", step.0).into())
    });
    tokio::time::timeout(2 * PATIENCE, killed).await??
}

async fn until_shipped(database: &Database, order: &str) -> Outcome<()> {
    let began = Instant::now();
    while database.count(order).await?.1 == 0 {
        if began.elapsed() > PATIENCE {
            return Err(format!("order {order} was not shipped within {PATIENCE:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
