//! SIGTERM.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::lines::handled;
use crate::processes::{Folder, consumer, produce, wait_until};

#[test]
fn sigterm_ends_with_exit_0_after_what_is_in_hand_and_gives_the_rest_back_at_once() {
    const STEPS: usize = 60;
    let lease = Duration::from_mins(1);
    let folder = Folder::new("sigterm");
    let (begun, done) = (folder.path().join("bill.begun"), folder.path().join("bill"));
    let first = consumer(&folder, lease);
    produce(&folder, STEPS as u64, "slow");
    wait_until("it begins", || handled(&begun).len() >= 4);

    let asked = Instant::now();
    first.terminate();
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    let numbers = |file: &Path| -> HashSet<u64> { handled(file).iter().map(|step| step.n).collect() };
    assert_eq!(numbers(&begun), numbers(&done), "what had begun was finished");
    assert!(numbers(&done).len() < STEPS, "nothing was left to give back");

    // The rest is there at once, long before a lease would have ended, and none of it was counted as tried.
    let second = consumer(&folder, lease);
    wait_until("the rest is handled", || numbers(&done).len() == STEPS);
    let all = handled(&done);
    assert_eq!(all.len(), STEPS, "each once");
    assert!(all.iter().all(|step| step.attempt == 1), "{all:?}");
    second.terminate();
}
