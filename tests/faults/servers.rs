//! The same on real servers, those that `DUCTAPE_TEST` names: processes of a group are killed, and what they had comes to the
//! others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::lines::{Confirmed, handled, missing};
use crate::processes::{Folder, Process, Producer, consumer, wait_for};

const NAMES: [&str; 6] = ["kafka", "rabbitmq", "redis", "sqs", "pubsub", "nats"];
const GROUPS: [&str; 2] = ["bill", "audit"];
const KILLS: u64 = 3;
/// How long what a killed process had stays its own; Pub/Sub takes no less than 10 s.
const LEASE: Duration = Duration::from_secs(2);
/// How long a server may take to see that a process has gone, and to give what it had to others.
const LIMIT: Duration = Duration::from_mins(2);

#[test]
fn killed_processes_lose_nothing_on_the_servers() {
    let asked = std::env::var("DUCTAPE_TEST").unwrap_or_default();
    let asked = asked.split(',').filter(|name| NAMES.contains(name));
    for name in asked {
        killed_processes_lose_nothing(name);
    }
}

fn killed_processes_lose_nothing(name: &str) {
    let folder = Folder::new(&format!("kills-{name}"));
    std::fs::write(folder.path().join("ductape.toml"), config(name)).unwrap();
    let confirmed = Arc::new(Mutex::new(Vec::new()));
    let start =
        |generation: u64| Producer::start(&folder, (generation + 1) * 1_000_000, 0, "mixed", &confirmed);
    let produced_by = |generation: u64| {
        let confirmed = confirmed.lock().unwrap();
        let first = (generation + 1) * 1_000_000;
        confirmed
            .iter()
            .filter(|step: &&Confirmed| step.n >= first)
            .count()
    };
    let mut consumers: Vec<Process> = (0..2).map(|_| consumer(&folder, LEASE)).collect();
    let mut producer = start(0);
    for kill in 0..KILLS {
        wait_for(LIMIT, &format!("{name}: the producer confirms something"), || {
            produced_by(kill) >= 20
        });
        let before = handled(&folder.path().join("bill")).len();
        wait_for(LIMIT, &format!("{name}: something is handled"), || {
            handled(&folder.path().join("bill")).len() > before
        });
        producer.kill();
        consumers.remove(0).kill();
        consumers.push(consumer(&folder, LEASE));
        producer = start(kill + 1);
    }
    wait_for(
        LIMIT,
        &format!("{name}: the last producer confirms something"),
        || produced_by(KILLS) >= 20,
    );
    producer.kill();

    let confirmed = confirmed.lock().unwrap().clone();
    for group in GROUPS {
        let file = folder.path().join(group);
        wait_for(
            LIMIT,
            &format!("{name}: {group} handles every confirmed step"),
            || missing(&confirmed, &handled(&file)).is_empty(),
        );
        let dead = |n: u64| confirmed.iter().any(|step| step.n == n && step.kind == "Dead");
        let handled = handled(&file);
        assert!(
            !handled.iter().any(|step| dead(step.n)),
            "{name}: {group} handled what it gives up"
        );
        let (confirmed, times) = (confirmed.len(), handled.len());
        println!("{name}: {group}: {confirmed} confirmed, handled {times} times");
    }
    for process in consumers {
        process.terminate();
    }
}

/// Where the server is, as the variables of `dev/brokers env` say; the topic is of this run alone.
fn config(name: &str) -> String {
    let environment = match name {
        "kafka" => "type = 'KAFKA'\nbrokers = ['${DUCTAPE_TEST_KAFKA}']\nclientId = 'faults'\npartitions = 4",
        "rabbitmq" => "type = 'RABBITMQ'\nurl = '${DUCTAPE_TEST_RABBITMQ}'",
        "redis" => "type = 'REDIS'\nhost = '127.0.0.1'\nport = '${DUCTAPE_TEST_REDIS_PORT}'",
        "sqs" => {
            "type = 'AWS_SQS'\nregion = 'us-east-1'\naccessKeyId = 'test'\nsecretAccessKey = 'test'\nendpoint = '${DUCTAPE_TEST_SQS}'"
        }
        "pubsub" => "type = 'GOOGLE_PUBSUB'\nprojectId = 'faults'\nendpoint = '${DUCTAPE_TEST_PUBSUB}'",
        _ => "type = 'NATS'\nservers = ['${DUCTAPE_TEST_NATS}']",
    };
    let pid = std::process::id();
    format!(
        "[brokers.faults.environments.dev]\n{environment}\n[brokers.faults.topics.step-taken]\nname = 'faults-{name}-{pid}'\n"
    )
}
