//! `produce-steps STORE FIRST COUNT KIND`: produces steps from several tasks and prints a line for each that is confirmed,
//! `N KIND ID`. With a COUNT of 0 it goes on until it is killed. KIND is `mixed`, or one kind for all.

#![allow(clippy::print_stdout)] // what is confirmed is told there

mod steps;

use std::io::Write as _;
use std::path::PathBuf;

use ductape_events::prelude::*;
use steps::{Kind, StepTaken, fail, program};

const TASKS: u64 = 4;
const KEYS_A_TASK: u64 = 5;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), BrokerError> {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().unwrap_or_else(|| fail("STORE FIRST COUNT KIND"));
    let store = PathBuf::from(next());
    let first = number(&next());
    let count = number(&next());
    let kind = next();

    let lease = ductape_events::providers::GroupSpec::LEASE_DEFAULT;
    let ductape = program(&store, lease).topic::<StepTaken>().build().await?;
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let (ctx, kind) = (ductape.context().clone(), kind.clone());
        tasks.push(tokio::spawn(async move {
            for i in (task..).step_by(4).take_while(|i| count == 0 || *i < count) {
                let step = StepTaken {
                    key: format!("{task}-{}", i / TASKS % KEYS_A_TASK),
                    n: first + i,
                    kind: kind_of(&kind, i),
                };
                match step.produce(&ctx).await {
                    Ok(receipt) => confirmed(&step, &receipt),
                    Err(error) => fail(&error.to_string()),
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap_or_else(|error| fail(&error.to_string()));
    }
    ductape.shutdown().await
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| fail("not a number"))
}

fn kind_of(name: &str, i: u64) -> Kind {
    match name {
        "mixed" if i % 17 == 7 => Kind::Dead,
        "mixed" if i % 13 == 5 => Kind::FailsOnce,
        "mixed" | "plain" => Kind::Plain,
        "slow" => Kind::Slow,
        "stuck" => Kind::Stuck,
        "later" => Kind::Later,
        _ => fail("not a kind"),
    }
}

fn confirmed(step: &StepTaken, receipt: &ProduceReceipt) {
    let line = format!("{} {:?} {}\n", step.n, step.kind, receipt.process_id);
    // A reader that is gone is one that has killed us.
    let mut out = std::io::stdout().lock();
    if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(4);
    }
}
