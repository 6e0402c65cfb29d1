use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::job::Job;
use super::lanes::Lanes;
use super::testing::{hand_in, message};
use crate::clock;

fn number(job: &Job) -> u64 {
    job.receipt.token()
}

fn numbers(jobs: &[Job]) -> Vec<u64> {
    jobs.iter().map(number).collect()
}

async fn next(lanes: &Lanes) -> Job {
    tokio::time::timeout(Duration::from_secs(5), lanes.next())
        .await
        .expect("a job is ready")
        .expect("not stopped")
}

async fn none_is_ready(lanes: &Lanes) -> bool {
    tokio::time::timeout(Duration::from_millis(20), lanes.next())
        .await
        .is_err()
}

async fn batch(lanes: &Lanes, max: usize) -> Vec<Job> {
    let mut jobs = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), lanes.next_batch(max, &mut jobs))
        .await
        .expect("jobs are ready");
    jobs
}

#[tokio::test]
async fn a_key_runs_one_at_a_time_and_others_beside_it() {
    let lanes = Lanes::new(true, 10);
    let keys = [(1, "a"), (2, "a"), (3, "b"), (4, "a")];
    hand_in(&lanes, keys.into_iter().map(|(n, key)| message(n, Some(key))));
    let (first, other) = (next(&lanes).await, next(&lanes).await);
    assert_eq!((number(&first), number(&other)), (1, 3));
    assert!(none_is_ready(&lanes).await);
    lanes.finish(&first);
    let second = next(&lanes).await;
    assert_eq!(number(&second), 2);
    lanes.finish(&second);
    assert_eq!(number(&next(&lanes).await), 4);
}

#[tokio::test]
async fn who_finishes_a_job_takes_the_next_and_leaves_no_other_asleep() {
    let lanes = Arc::new(Lanes::new(true, 10));
    let asleep = tokio::spawn({
        let lanes = Arc::clone(&lanes);
        async move { lanes.next().await.map(|job| number(&job)) }
    });
    hand_in(
        &lanes,
        [(1, "a"), (2, "a")]
            .into_iter()
            .map(|(n, key)| message(n, Some(key))),
    );
    assert_eq!(asleep.await.unwrap(), Some(1));
    hand_in(&lanes, std::iter::once(message(3, Some("b"))));
    let other = next(&lanes).await;
    assert_eq!(number(&other), 3);
    hand_in(&lanes, std::iter::once(message(4, Some("b"))));
    let follower = lanes.finish_and_take(&other).expect("its key has another");
    assert_eq!(number(&follower), 4);
    assert!(lanes.finish_and_take(&follower).is_none());
}

#[tokio::test]
async fn without_order_keys_do_not_matter() {
    let lanes = Lanes::new(false, 10);
    hand_in(&lanes, [1, 2].into_iter().map(|n| message(n, Some("a"))));
    assert_eq!(number(&next(&lanes).await), 1);
    assert_eq!(number(&next(&lanes).await), 2);
}

#[tokio::test]
async fn a_held_retry_keeps_its_key_and_comes_before_what_waits() {
    let lanes = Lanes::new(true, 10);
    hand_in(&lanes, [1, 2].into_iter().map(|n| message(n, Some("a"))));
    let first = next(&lanes).await;
    assert!(none_is_ready(&lanes).await);
    assert!(lanes.resume(first).is_none());
    let again = next(&lanes).await;
    assert_eq!(number(&again), 1);
    lanes.finish(&again);
    assert_eq!(number(&next(&lanes).await), 2);
}

#[tokio::test]
async fn a_relaxed_retry_lets_its_key_pass_and_still_runs_alone() {
    let lanes = Lanes::new(true, 10);
    hand_in(&lanes, [1, 2, 3].into_iter().map(|n| message(n, Some("a"))));
    let mut first = next(&lanes).await;
    lanes.let_pass(&mut first);
    let second = next(&lanes).await;
    assert_eq!(number(&second), 2);
    assert!(lanes.resume(first).is_none());
    assert!(none_is_ready(&lanes).await);
    lanes.finish(&second);
    let again = next(&lanes).await;
    assert_eq!(number(&again), 1);
    lanes.finish(&again);
    let mut third = next(&lanes).await;
    assert_eq!(number(&third), 3);
    // The key is free now: a retry takes it.
    lanes.let_pass(&mut third);
    assert!(lanes.resume(third).is_none());
    hand_in(&lanes, std::iter::once(message(4, Some("a"))));
    let third = next(&lanes).await;
    assert_eq!(number(&third), 3);
    assert!(none_is_ready(&lanes).await);
    lanes.finish(&third);
    assert_eq!(number(&next(&lanes).await), 4);
}

#[tokio::test]
async fn a_batch_holds_its_keys_until_the_last_of_them_is_done() {
    let lanes = Lanes::new(true, 10);
    let keys = [(1, "a"), (2, "b"), (3, "a"), (4, "a")];
    hand_in(&lanes, keys.into_iter().map(|(n, key)| message(n, Some(key))));
    let jobs = batch(&lanes, 3).await;
    assert_eq!(numbers(&jobs), [1, 3, 4]);
    hand_in(&lanes, std::iter::once(message(5, Some("a"))));
    // The first is held for a retry; the others are done. What came behind them must not pass the first.
    lanes.finish(&jobs[1]);
    lanes.finish(&jobs[2]);
    assert_eq!(number(&next(&lanes).await), 2);
    assert!(none_is_ready(&lanes).await);
    lanes.finish(&jobs[0]);
    assert_eq!(number(&next(&lanes).await), 5);
}

#[tokio::test]
async fn a_key_given_back_takes_along_what_waits_and_what_was_under_way() {
    let lanes = Lanes::new(true, 10);
    lanes.room().await;
    hand_in(&lanes, [1, 2].into_iter().map(|n| message(n, Some("a"))));
    let head = next(&lanes).await;
    // The next receive has begun before the broker knows.
    lanes.room().await;
    assert_eq!(numbers(&lanes.give_back_key(&"a".into(), &head.message.id)), [2]);
    let stale = hand_in(
        &lanes,
        [(3, "a"), (4, "b")]
            .into_iter()
            .map(|(n, key)| message(n, Some(key))),
    );
    assert_eq!(numbers(&stale), [3]);
    assert_eq!(number(&next(&lanes).await), 4);
    lanes.settled(3, &["a".into()]);
    // The broker knows; what a receive brings that began before is still stale, what a later one brings is not.
    assert_eq!(
        numbers(&hand_in(&lanes, std::iter::once(message(3, Some("a"))))),
        [3]
    );
    lanes.forget_returned();
    lanes.room().await;
    let fresh = hand_in(&lanes, [1, 2].into_iter().map(|n| message(n, Some("a"))));
    assert!(fresh.is_empty());
    assert_eq!(number(&next(&lanes).await), 1);
    assert!(none_is_ready(&lanes).await);
}

#[tokio::test]
async fn the_head_of_a_key_given_back_is_taken_whenever_it_comes() {
    let lanes = Lanes::new(true, 10);
    lanes.room().await;
    hand_in(&lanes, std::iter::once(message(1, Some("a"))));
    let head = next(&lanes).await;
    lanes.give_back_key(&"a".into(), &head.message.id);
    // The broker was quicker with the message than with its answer to the settlement.
    let again = hand_in(&lanes, [1, 2].into_iter().map(|n| message(n, Some("a"))));
    assert!(again.is_empty());
    lanes.settled(1, &["a".into()]);
    let head = next(&lanes).await;
    assert_eq!(number(&head), 1);
    assert!(none_is_ready(&lanes).await);
    lanes.finish(&head);
    assert_eq!(number(&next(&lanes).await), 2);
}

#[tokio::test]
async fn a_key_that_was_given_back_is_forgotten() {
    let lanes = Lanes::new(true, 10);
    lanes.room().await;
    hand_in(&lanes, std::iter::once(message(1, Some("a"))));
    let head = next(&lanes).await;
    lanes.give_back_key(&"a".into(), &head.message.id);
    lanes.settled(1, &["a".into()]);
    lanes.forget_returned();
    lanes.room().await;
    lanes.forget_returned();
    assert!(format!("{lanes:?}").contains("lanes: {}"), "{lanes:?}");
}

#[tokio::test]
async fn two_of_a_batch_give_their_key_back_with_the_first_at_its_head() {
    let lanes = Lanes::new(true, 10);
    lanes.room().await;
    hand_in(&lanes, (1..=3).map(|n| message(n, Some("a"))));
    let jobs = batch(&lanes, 2).await;
    let key = Bytes::from("a");
    assert_eq!(numbers(&lanes.give_back_key(&key, &jobs[0].message.id)), [3]);
    assert!(lanes.give_back_key(&key, &jobs[1].message.id).is_empty());
    assert_eq!(
        numbers(&hand_in(&lanes, std::iter::once(message(2, Some("a"))))),
        [2],
        "the first has not come yet"
    );
    assert!(hand_in(&lanes, std::iter::once(message(1, Some("a")))).is_empty());
    assert_eq!(number(&next(&lanes).await), 1);
}

#[tokio::test]
async fn what_comes_after_the_stop_is_given_back() {
    let lanes = Lanes::new(true, 10);
    hand_in(&lanes, (1..=3).map(|n| message(n, Some("a"))));
    let first = next(&lanes).await;
    assert_eq!(numbers(&lanes.stop()), [2, 3]);
    assert_eq!(
        numbers(&hand_in(&lanes, std::iter::once(message(4, Some("a"))))),
        [4]
    );
    assert!(lanes.next().await.is_none());
    lanes.finish(&first);
    assert_eq!(
        lanes.resume(first).map(|job| number(&job)),
        Some(1),
        "a held retry is given back"
    );
    lanes.settled(4, &[]);
    assert!(lanes.drained(clock::now() + Duration::from_secs(5)).await);
}

/// Many workers on real threads, keys that collide, retries held and passed, a small prefetch: everything runs once,
/// each key in order and alone, and nothing waits for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_stress_nothing_is_lost_reordered_or_stuck() {
    const MESSAGES: u64 = 40_000;
    const PREFETCH: usize = 48;
    let lanes = Arc::new(Lanes::new(true, PREFETCH));
    let seen: Arc<Mutex<HashMap<u64, Vec<u64>>>> = Arc::default();
    let busy: Arc<[AtomicUsize; 7]> = Arc::default();
    let done = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for worker in 0..8_u64 {
        let (lanes, seen) = (Arc::clone(&lanes), Arc::clone(&seen));
        let (busy, done) = (Arc::clone(&busy), Arc::clone(&done));
        workers.spawn(async move {
            let mut batch = Vec::new();
            loop {
                if worker % 4 == 0 {
                    lanes.next_batch(3, &mut batch).await;
                } else {
                    batch.extend(lanes.next().await);
                }
                if batch.is_empty() {
                    return;
                }
                let mut mine: HashMap<u64, usize> = HashMap::new();
                for job in &batch {
                    *mine.entry(number(job) % 10).or_default() += 1;
                }
                for job in batch.drain(..) {
                    let (n, key) = (number(&job), number(&job) % 10);
                    if let Some(counter) = busy.get(usize::try_from(key).unwrap()) {
                        assert_eq!(counter.fetch_add(1, Ordering::SeqCst), 0, "key {key} runs twice");
                        if n % 3 == 0 {
                            tokio::task::yield_now().await;
                        }
                        counter.fetch_sub(1, Ordering::SeqCst);
                    }
                    if n % 11 == 0 && job.attempt == 1 && mine[&key] == 1 {
                        // Held for a moment, then run again.
                        let lanes = Arc::clone(&lanes);
                        tokio::spawn(async move {
                            tokio::task::yield_now().await;
                            let job = Job { attempt: 2, ..job };
                            assert!(lanes.resume(job).is_none());
                        });
                        continue;
                    }
                    seen.lock().unwrap().entry(key).or_default().push(n);
                    lanes.finish(&job);
                    assert!(lanes.in_hand() <= PREFETCH);
                    lanes.settled(1, &[]);
                    done.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
    }
    let feed = async {
        let mut fed = 0;
        while fed < MESSAGES {
            let room = NonZeroUsize::new(lanes.room().await).unwrap().get().min(16);
            let to = MESSAGES.min(fed + u64::try_from(room).unwrap());
            // Numbers ending in 7, 8 and 9 have no key.
            let messages = (fed..to).map(|n| {
                let key = (n % 10 < 7).then(|| (n % 10).to_string());
                message(n, key.as_deref())
            });
            assert!(hand_in(&lanes, messages).is_empty());
            fed = to;
        }
        assert!(lanes.drained(clock::now() + Duration::from_secs(30)).await);
    };
    tokio::time::timeout(Duration::from_mins(1), feed)
        .await
        .expect("nothing is stuck");
    assert!(lanes.stop().is_empty());
    while let Some(ended) = workers.join_next().await {
        ended.unwrap();
    }
    assert_eq!(done.load(Ordering::SeqCst), usize::try_from(MESSAGES).unwrap());
    assert!(lanes.held().is_empty());
    for (key, numbers) in &*seen.lock().unwrap() {
        assert_eq!(
            numbers.len(),
            usize::try_from(MESSAGES / 10).unwrap(),
            "key {key}"
        );
        if *key < 7 {
            assert!(numbers.is_sorted(), "key {key} out of order");
        }
    }
}
