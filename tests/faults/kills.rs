//! Producer and consumers killed twenty times each.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ductape_events::providers::embedded::DurableConfig;
use ductape_events::providers::spec::Source;
use ductape_events::providers::{
    GroupName, GroupSpec, Provider as _, Subscription as _, SubscriptionSpec, TopicName,
};

use crate::lines::{Confirmed, Handled, handled, missing, overtaken};
use crate::processes::{Folder, Process, Producer, consumer, wait_until};

const KILLS: u64 = 20;
const GROUPS: [&str; 2] = ["bill", "audit"];
const LEASE: Duration = Duration::from_millis(700);

/// A small generator of numbers that look random (xorshift), so that a run can be repeated from its seed.
struct Random(u64);

impl Random {
    /// From `DUCTAPE_FAULTS_SEED`, else by chance; printed, so that a failure can be repeated as far as time allows.
    fn seeded() -> Self {
        let given = std::env::var("DUCTAPE_FAULTS_SEED").ok();
        let seed = given.map_or_else(
            || RandomState::new().build_hasher().finish(),
            |text| text.parse().unwrap(),
        );
        println!("DUCTAPE_FAULTS_SEED={seed}");
        Self(seed | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn pause(&mut self) {
        std::thread::sleep(Duration::from_millis(10 + self.below(190)));
    }
}

#[test]
fn twenty_kills_of_the_producer_and_of_the_consumers_lose_nothing() {
    let folder = Folder::new("kills");
    let confirmed = Arc::new(Mutex::new(Vec::new()));
    let mut random = Random::seeded();
    let mut consumers: Vec<Process> = (0..2).map(|_| consumer(&folder, LEASE)).collect();
    let start =
        |generation: u64| Producer::start(&folder, (generation + 1) * 1_000_000, 0, "mixed", &confirmed);
    let mut producer = start(0);
    for kill in 1..=KILLS {
        random.pause();
        producer.kill();
        producer = start(kill);
        random.pause();
        let victim = usize::from(random.below(2) == 1);
        consumers.remove(victim).kill();
        consumers.push(consumer(&folder, LEASE));
    }
    wait_until("the last producer confirms something", || {
        let confirmed = confirmed.lock().unwrap();
        confirmed
            .iter()
            .any(|step: &Confirmed| step.n > KILLS * 1_000_000)
    });
    producer.kill();

    let confirmed = confirmed.lock().unwrap().clone();
    assert!(confirmed.len() > 200, "only {} were confirmed", confirmed.len());
    for group in GROUPS {
        let file = folder.path().join(group);
        wait_until(&format!("{group} handles every confirmed step"), || {
            missing(&confirmed, &handled(&file)).is_empty()
        });
        judge(group, &confirmed, &handled(&file));
    }
    for process in consumers {
        process.terminate();
    }
    for group in GROUPS {
        check_dead_letters(&folder.store(), group, &confirmed);
    }
}

fn judge(group: &str, confirmed: &[Confirmed], handled: &[Handled]) {
    let wrong = overtaken(handled);
    assert!(wrong.is_empty(), "{group}: {wrong:?}");
    let kinds: HashMap<u64, &str> = confirmed.iter().map(|step| (step.n, &*step.kind)).collect();
    let mut tried_again = 0;
    for step in handled {
        match kinds.get(&step.n) {
            Some(&"Dead") => panic!("{group} handled {}, which it gives up", step.n),
            Some(&"FailsOnce") => {
                assert!(step.attempt > 1, "{group}: {step:?}");
                tried_again += 1;
            }
            _ => {}
        }
    }
    assert!(tried_again > 0, "{group} tried nothing again");
    let (confirmed, times) = (confirmed.len(), handled.len());
    println!("{group}: {confirmed} confirmed, handled {times} times, {tried_again} of them after a retry");
}

/// Each confirmed step that the group gives up is a dead letter of it, whole.
fn check_dead_letters(store: &Path, group: &str, confirmed: &[Confirmed]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let letters = runtime.block_on(async {
        let store = DurableConfig::new(store).open().await.unwrap();
        let topic = TopicName::new("faults:step-taken".parse().unwrap(), 1.try_into().unwrap());
        let group: GroupName = group.parse().unwrap();
        let left = store.backlog(&topic, &group).await.unwrap();
        let mut spec = SubscriptionSpec::new(topic, GroupSpec::new(group));
        spec.source = Source::DeadLetters;
        spec.prefetch = 65_535.try_into().unwrap();
        let mut subscription = store.subscribe(&spec).await.unwrap();
        let mut letters = Vec::new();
        while (letters.len() as u64) < left.dead_letters {
            let receive = subscription.receive(&mut letters, 1000.try_into().unwrap());
            tokio::time::timeout(Duration::from_secs(10), receive)
                .await
                .unwrap()
                .unwrap();
        }
        letters
    });
    let mut kept = HashSet::new();
    for letter in letters {
        let step: serde_json::Value = serde_json::from_slice(&letter.message.payload).unwrap();
        assert_eq!(step["kind"], "Dead", "{group}: {step}");
        assert_eq!(
            letter.message.headers.get("ductape-dead-reason"),
            Some("given up")
        );
        kept.insert(letter.message.id.to_string());
    }
    let dead: Vec<_> = confirmed.iter().filter(|step| step.kind == "Dead").collect();
    assert!(dead.len() > 5, "only {} were given up", dead.len());
    for step in &dead {
        assert!(
            kept.contains(&step.id),
            "{group} lost the dead letter of {step:?}"
        );
    }
    println!(
        "{group}: {} dead letters of {} confirmed steps",
        kept.len(),
        dead.len()
    );
}
