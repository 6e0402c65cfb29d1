use std::fmt;
use std::time::Duration;

use crate::Took;

/// What a row has to reach.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    /// Ours, as a share of the raw rate.
    Ratio(f64),
    /// Ours, in messages a second.
    Rate(f64),
    /// Ours, at most.
    Most(f64, &'static str),
}

impl Bar {
    fn is_met(self, ours: f64, raw: f64) -> bool {
        match self {
            Self::Ratio(least) => ours / raw >= least,
            Self::Rate(least) => ours >= least,
            Self::Most(most, _) => ours <= most,
        }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ratio(least) => write!(f, "ratio ≥ {least:.2}"),
            Self::Rate(least) => write!(f, "≥ {least:.0}/s"),
            Self::Most(most, unit) => write!(f, "≤ {most:.2}{unit}"),
        }
    }
}

/// What both sides of a comparison took, in the order of the rounds.
#[derive(Debug, Default)]
pub struct Rounds {
    ours: Vec<Took>,
    raw: Vec<Took>,
}

/// Runs both sides in turn, `n` times after one to warm up.
pub fn rounds(n: usize, mut ours: impl FnMut() -> Took, mut raw: impl FnMut() -> Took) -> Rounds {
    let mut rounds = Rounds::default();
    for round in 0..=n {
        let pair = if round % 2 == 0 {
            (ours(), raw())
        } else {
            let raw = raw();
            (ours(), raw)
        };
        if round > 0 {
            rounds.ours.push(pair.0);
            rounds.raw.push(pair.1);
        }
    }
    rounds
}

impl Rounds {
    /// Prints the rows of a comparison of `messages` a round: the rates at the best round and at the median; and what a
    /// message costs in processor time at the median, which holds on a busy machine too.
    pub fn print(&self, what: &str, messages: u64, bar: Bar) {
        #[allow(clippy::cast_precision_loss)] // far below 2^52
        let messages = messages as f64;
        let sorted = |side: &[Took], of: fn(&Took) -> Duration| {
            let mut times: Vec<Duration> = side.iter().map(of).collect();
            times.sort_unstable();
            times
        };
        let (ours, raw) = (
            sorted(&self.ours, |took| took.real),
            sorted(&self.raw, |took| took.real),
        );
        let middle = ours.len() / 2;
        for (which, at) in [("best", 0), ("median", middle)] {
            let (ours, raw) = (
                messages / ours[at].as_secs_f64(),
                messages / raw[at].as_secs_f64(),
            );
            row(
                &format!("{what}, {which} of {}", self.ours.len()),
                &format!("{ours:.0}/s"),
                &format!("{raw:.0}/s"),
                &format!("{:.2}", ours / raw),
                &bar.to_string(),
                if bar.is_met(ours, raw) { "met" } else { "MISSED" },
            );
        }
        let cpu = |side: &[Took]| sorted(side, |took| took.cpu)[middle].as_secs_f64() / messages * 1e6;
        let (ours, raw) = (cpu(&self.ours), cpu(&self.raw));
        row(
            &format!("{what}, processor time a message"),
            &format!("{ours:.2} µs"),
            &format!("{raw:.2} µs"),
            &format!("{:.2}", raw / ours),
            "-",
            "",
        );
    }
}

/// Prints a row that is not a rate.
pub fn print_row(what: &str, ours: f64, raw: Option<f64>, bar: Bar) {
    row(
        what,
        &format!("{ours:.2}"),
        &raw.map_or_else(|| "-".to_owned(), |raw| format!("{raw:.2}")),
        &raw.map_or_else(|| "-".to_owned(), |raw| format!("{:.2}", ours / raw)),
        &bar.to_string(),
        if bar.is_met(ours, raw.unwrap_or(1.0)) {
            "met"
        } else {
            "MISSED"
        },
    );
}

#[allow(clippy::print_stdout)] // it is what a bench is for
fn row(what: &str, ours: &str, raw: &str, ratio: &str, bar: &str, met: &str) {
    println!("| {what} | {ours} | {raw} | {ratio} | {bar} | {met} |");
}
