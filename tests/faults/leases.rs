//! What a process had in hand, and what it had put off, after it was killed.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::lines::{handled, overtaken};
use crate::processes::{Folder, Producer, consumer, produce, wait_until};

#[test]
fn what_a_killed_consumer_has_in_hand_comes_back_when_its_lease_ends() {
    const LEASE: Duration = Duration::from_millis(800);
    let folder = Folder::new("lease");
    let begun = folder.path().join("bill.begun");
    let first = consumer(&folder, LEASE);
    produce(&folder, 1, "stuck");
    wait_until("the first consumer begins", || !handled(&begun).is_empty());

    let second = consumer(&folder, LEASE);
    // While the first lives its lease is extended, and the step stays with it.
    let looks_until = Instant::now() + LEASE * 2;
    while Instant::now() < looks_until {
        assert_eq!(handled(&folder.path().join("bill")).len(), 0);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(handled(&begun)[0].pid, first.id());
    let killed = Instant::now();
    first.kill();
    for group in ["bill", "audit"] {
        let file = folder.path().join(group);
        wait_until("the second consumer handles it", || handled(&file).len() == 1);
        let step = &handled(&file)[0];
        assert_eq!((step.pid, step.attempt > 1), (second.id(), true), "{step:?}");
    }
    let waited = killed.elapsed();
    assert!(waited < LEASE + Duration::from_secs(5), "{waited:?}");
    second.terminate();
}

#[test]
fn a_retry_that_waits_survives_the_kill_of_its_consumer_and_keeps_its_time() {
    let folder = Folder::new("retry");
    let (begun, done) = (folder.path().join("bill.begun"), folder.path().join("bill"));
    let lease = Duration::from_millis(500);
    let first = consumer(&folder, lease);
    produce(&folder, 1, "later");
    wait_until("it fails", || !handled(&begun).is_empty());
    // It is put off at once after it failed; give that the time of a commit.
    std::thread::sleep(Duration::from_millis(100));
    first.kill();
    let second = consumer(&folder, lease);
    wait_until("it is handled", || !handled(&done).is_empty());
    let (failed, again) = (&handled(&begun)[0], &handled(&done)[0]);
    assert_eq!((again.pid, again.attempt > 1), (second.id(), true), "{again:?}");
    let waited = again.millis - failed.millis;
    assert!((990..6_000).contains(&waited), "tried again after {waited} ms");
    second.terminate();
}

#[test]
fn without_faults_two_consumer_processes_share_all_and_handle_each_once() {
    const STEPS: u64 = 2_000;
    let folder = Folder::new("sharing");
    let consumers: Vec<_> = (0..2)
        .map(|_| consumer(&folder, Duration::from_secs(30)))
        .collect();
    let confirmed = Arc::new(Mutex::new(Vec::new()));
    Producer::start(&folder, 1, STEPS, "plain", &confirmed).succeed();
    assert_eq!(confirmed.lock().unwrap().len() as u64, STEPS);
    for group in ["bill", "audit"] {
        let file = folder.path().join(group);
        wait_until("all are handled", || handled(&file).len() as u64 >= STEPS);
        let steps = handled(&file);
        assert!(overtaken(&steps).is_empty());
        let mut numbers: Vec<u64> = steps.iter().map(|step| step.n).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=STEPS).collect::<Vec<u64>>(), "{group}");
        for process in &consumers {
            let share = steps.iter().filter(|step| step.pid == process.id()).count();
            assert!(share > 0, "one of the two got nothing of {group}");
        }
    }
    for process in consumers {
        process.terminate();
    }
}
