//! What is called compatible is compatible: random schemas, changes of them, and random messages, judged by `jsonschema`.
//!
//! `DUCTAPE_SEED` and `DUCTAPE_CASES` choose other cases.

use std::env;
use std::time::Instant;

use ductape_schema::compatibility::{Mode, check};
use jsonschema::Validator;
use serde_json::Value;

use crate::closed::closed;
use crate::messages::message;
use crate::random::{Random, is_knotted, mutated, schema};

const CASES: u64 = 100_000;
/// The messages that are tried for a pair of schemas.
const MESSAGES: usize = 30;

fn validator(schema: &Value) -> Validator {
    jsonschema::draft202012::new(schema).unwrap_or_else(|error| panic!("no schema: {error}\n{schema:#}"))
}

/// Who writes by a schema: the messages that fit it, and its closed form.
struct Writer {
    open: Validator,
    closed: Validator,
}

impl Writer {
    fn of(schema: &Value) -> Self {
        Self {
            open: validator(schema),
            closed: validator(&closed(schema)),
        }
    }

    fn writes(&self, message: &Value) -> bool {
        self.open.is_valid(message) && self.closed.is_valid(message)
    }
}

#[derive(Default, Debug)]
struct Counts {
    /// Pairs of schemas that differ, of which messages are written.
    pairs: u64,
    compatible: u64,
    /// Compatible pairs of which the other direction is not: more than words was changed.
    one_way: u64,
    /// A message that is written by the one schema and was read by the other.
    cases: u64,
    /// Those of pairs that are compatible one way.
    one_way_cases: u64,
    incompatible: u64,
    /// Incompatible pairs for which a message was found that breaks.
    broken: u64,
}

fn number(name: &str, usual: u64) -> u64 {
    env::var(name).ok().map_or(usual, |text| text.parse().unwrap())
}

#[test]
fn what_is_called_compatible_is() {
    let (seed, cases) = (number("DUCTAPE_SEED", 1), number("DUCTAPE_CASES", CASES));
    let began = Instant::now();
    let mut counts = Counts::default();
    let mut at = seed << 32;
    while counts.cases < cases {
        at += 1;
        pair(at, &mut counts);
    }
    println!("{counts:?} in {:?}", began.elapsed());
    // The test is worth nothing if nothing is compatible, or everything is.
    assert!(counts.one_way * 10 > counts.pairs, "{counts:?}");
    assert!(counts.one_way_cases * 10 > counts.cases, "{counts:?}");
    assert!(counts.incompatible * 5 > counts.pairs, "{counts:?}");
    // Most of what is called incompatible is shown to be: the checker does not make it easy for itself.
    assert!(counts.broken * 2 > counts.incompatible, "{counts:?}");
}

fn pair(seed: u64, counts: &mut Counts) {
    let mut random = Random::new(seed);
    let old = schema(&mut random);
    let mut new = mutated(&mut random, &old);
    while random.one_in(3) {
        new = mutated(&mut random, &new);
    }
    if old == new || is_knotted(&old) || is_knotted(&new) || !jsonschema::draft202012::meta::is_valid(&new) {
        return;
    }
    let breaks = check(&old, &new, Mode::Backward);
    let (writer, reader) = (Writer::of(&old), validator(&new));
    let (mut cases, mut is_broken) = (0, false);
    for at in 0..MESSAGES {
        // Some messages are meant for the new schema: those are nearest to the difference.
        let of = if at % 3 == 2 { &new } else { &old };
        let message = message(&mut random, of);
        if !writer.writes(&message) {
            continue;
        }
        cases += 1;
        let reads = reader.is_valid(&message);
        is_broken |= !reads;
        assert!(
            reads || !breaks.is_empty(),
            "{seed}: called compatible, and is not:\nold {old:#}\nnew {new:#}\nmessage {message:#}"
        );
    }
    if cases == 0 {
        return;
    }
    counts.pairs += 1;
    if breaks.is_empty() {
        counts.compatible += 1;
        counts.cases += cases;
        if !check(&old, &new, Mode::Forward).is_empty() {
            counts.one_way += 1;
            counts.one_way_cases += cases;
        }
    } else {
        counts.incompatible += 1;
        counts.broken += u64::from(is_broken);
    }
}
