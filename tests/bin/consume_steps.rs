//! `consume-steps STORE FOLDER LEASE_MS`: consumes steps in the groups `bill` and `audit` until SIGTERM, and appends a line for
//! each that it handled to `FOLDER/GROUP`: `KEY N ATTEMPT PID MILLIS`; a step that takes time has a line in
//! `FOLDER/GROUP.begun` before.

// That it is ready is told there; when a step was handled is the wall clock's, across processes.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

mod steps;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ductape_events::prelude::*;
use steps::{Kind, StepTaken, fail, program};

/// Where the groups write what they did.
struct Log {
    bill: Files,
    audit: Files,
}

struct Files {
    begun: File,
    handled: File,
}

impl Log {
    fn in_folder(folder: &Path) -> Self {
        let open = |name: &str| {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(folder.join(name));
            file.unwrap_or_else(|error| fail(&error.to_string()))
        };
        Self {
            bill: Files {
                begun: open("bill.begun"),
                handled: open("bill"),
            },
            audit: Files {
                begun: open("audit.begun"),
                handled: open("audit"),
            },
        }
    }
}

/// One write of a short line to a file that is open for appending is whole, also beside other processes.
fn note(mut file: &File, step: &StepTaken, attempt: Attempt) -> Result<(), std::io::Error> {
    let millis = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    let line = format!(
        "{} {} {} {} {millis}\n",
        step.key,
        step.n,
        attempt.0,
        std::process::id()
    );
    file.write_all(line.as_bytes())
}

async fn handle(step: &StepTaken, attempt: Attempt, files: &Files) -> Result<(), HandlerError> {
    match step.kind {
        Kind::FailsOnce if attempt.0 == 1 => return Err("not at the first attempt".into()),
        Kind::Later if attempt.0 == 1 => {
            note(&files.begun, step, attempt)?;
            return Err("later".retry_after(Duration::from_secs(1)));
        }
        Kind::Dead => return Err("given up".reject()),
        Kind::Slow => {
            note(&files.begun, step, attempt)?;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Kind::Stuck if attempt.0 == 1 => {
            note(&files.begun, step, attempt)?;
            std::future::pending::<()>().await;
        }
        Kind::Plain | Kind::FailsOnce | Kind::Later | Kind::Stuck => {}
    }
    Ok(note(&files.handled, step, attempt)?)
}

#[consumer(
    group = "bill",
    concurrency = 8,
    retry(attempts = 100, backoff = "fixed", base = "30ms")
)]
async fn bill(step: StepTaken, attempt: Attempt, log: State<Log>) -> Result<(), HandlerError> {
    handle(&step, attempt, &log.bill).await
}

#[consumer(
    group = "audit",
    concurrency = 8,
    retry(attempts = 100, backoff = "fixed", base = "30ms")
)]
async fn audit(step: StepTaken, attempt: Attempt, log: State<Log>) -> Result<(), HandlerError> {
    handle(&step, attempt, &log.audit).await
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), BrokerError> {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().unwrap_or_else(|| fail("STORE FOLDER LEASE_MS"));
    let (store, folder) = (PathBuf::from(next()), PathBuf::from(next()));
    let lease = Duration::from_millis(next().parse().unwrap_or_else(|_| fail("not a number")));

    let program = program(&store, lease).state(Log::in_folder(&folder));
    let ductape = program.build().await?;
    ductape.start().await?;
    println!("ready");
    ductape.run().await
}
