//! What the processes wrote, read and judged.

use std::collections::{HashMap, HashSet};
use std::path::Path;

/// A step that the producer was told is stored.
#[derive(Clone, Debug)]
pub(crate) struct Confirmed {
    pub(crate) n: u64,
    pub(crate) kind: String,
    pub(crate) id: String,
}

impl Confirmed {
    pub(crate) fn parse(line: &str) -> Self {
        let [n, kind, id] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("not a line of the producer: {line:?}");
        };
        Self {
            n: n.parse().unwrap(),
            kind: kind.to_owned(),
            id: id.to_owned(),
        }
    }
}

/// A step that a consumer handled.
#[derive(Clone, Debug)]
pub(crate) struct Handled {
    pub(crate) key: String,
    pub(crate) n: u64,
    pub(crate) attempt: u32,
    pub(crate) pid: u32,
    pub(crate) millis: u128,
}

/// What is in a consumer's file, in the order in which it was written.
pub(crate) fn handled(file: &Path) -> Vec<Handled> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = |line: &str| {
        let [key, n, attempt, pid, millis] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("not a line of a consumer: {line:?}");
        };
        Handled {
            key: key.to_owned(),
            n: n.parse().unwrap(),
            attempt: attempt.parse().unwrap(),
            pid: pid.parse().unwrap(),
            millis: millis.parse().unwrap(),
        }
    };
    text.lines().map(line).collect()
}

/// The confirmed steps that are to be handled and are not.
pub(crate) fn missing<'a>(confirmed: &'a [Confirmed], handled: &[Handled]) -> Vec<&'a Confirmed> {
    let there: HashSet<u64> = handled.iter().map(|step| step.n).collect();
    confirmed
        .iter()
        .filter(|step| step.kind != "Dead" && !there.contains(&step.n))
        .collect()
}

/// Where a step was handled for the first time after a later one of its key: nowhere, if order is kept. What was in hand
/// when its process was killed comes again, so that a step's second time may come after later ones.
pub(crate) fn overtaken(handled: &[Handled]) -> Vec<String> {
    let mut newest: HashMap<&str, u64> = HashMap::new();
    let mut seen = HashSet::new();
    let mut wrong = Vec::new();
    for step in handled.iter().filter(|step| seen.insert(step.n)) {
        let newest = newest.entry(&step.key).or_default();
        if step.n < *newest {
            wrong.push(format!("{} of {} after {newest}", step.n, step.key));
        }
        *newest = step.n.max(*newest);
    }
    wrong
}

#[test]
fn the_judge_sees_what_is_overtaken_or_missing_and_forgives_what_is_repeated() {
    let steps = |ns: &[u64]| -> Vec<Handled> {
        let step = |n: &u64| Handled {
            key: "a".to_owned(),
            n: *n,
            attempt: 1,
            pid: 1,
            millis: 0,
        };
        ns.iter().map(step).collect()
    };
    assert!(overtaken(&steps(&[1, 2, 3, 2, 3, 4])).is_empty());
    assert_eq!(overtaken(&steps(&[1, 3, 2])), ["2 of a after 3"]);
    let confirmed = [Confirmed::parse("1 Plain x"), Confirmed::parse("2 Dead y")];
    assert_eq!(missing(&confirmed, &steps(&[2]))[0].n, 1);
    assert!(missing(&confirmed, &steps(&[1])).is_empty());
}
