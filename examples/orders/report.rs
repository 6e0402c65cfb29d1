//! What the program says while it works and when it is done.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ductape_events::{AttemptReport, AttemptResult, BrokerError, ConsumerStats};

const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// What happened so far.
#[derive(Default)]
pub(crate) struct Report {
    produced: AtomicU64,
    refused: Mutex<Vec<(usize, String)>>,
    dead: Mutex<BTreeMap<(String, String), u64>>,
    last_shown: Mutex<Option<Instant>>,
}

impl Report {
    pub(crate) fn produced(&self) {
        self.produced.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, line: usize, error: &BrokerError) {
        self.refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((line, error.to_string()));
    }

    /// Notes why a message became a dead letter.
    pub(crate) fn note(&self, attempt: &AttemptReport<'_>) {
        if let AttemptResult::DeadLettered(failure) = attempt.result {
            // Where in the payload it went wrong differs for each; what went wrong is what counts.
            let reason = failure
                .reason
                .split(" at line ")
                .next()
                .unwrap_or_default()
                .to_owned();
            let mut dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
            *dead.entry((attempt.group.to_string(), reason)).or_default() += 1;
        }
    }

    /// Shows how far it is, now and then, where a person looks on.
    pub(crate) fn show_progress(&self, stats: &[ConsumerStats]) {
        let mut last = self.last_shown.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < PROGRESS_EVERY) {
            return;
        }
        *last = Some(Instant::now());
        let handled: Vec<String> = stats
            .iter()
            .map(|one| format!("{} {}", one.group, one.handled))
            .collect();
        let line = format!(
            "produced {:>4}   handled: {}",
            self.produced.load(Ordering::Relaxed),
            handled.join(", ")
        );
        if std::io::stdout().is_terminal() {
            print!("\r\x1b[2K{line}");
            let _ = std::io::stdout().flush();
        } else {
            println!("{line}");
        }
    }

    /// Prints the table.
    pub(crate) fn print(&self, stats: &[ConsumerStats], took: Duration) {
        if std::io::stdout().is_terminal() {
            print!("\r\x1b[2K");
        }
        let produced = self.produced.load(Ordering::Relaxed);
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        println!("\nproduced  {produced} orders to order-events:order-created");
        println!("refused   {} before they were sent", refused.len());
        for (line, error) in refused.iter() {
            println!("          line {line}: {error}");
        }
        println!(
            "\n{:<14} {:>8} {:>8} {:>13} {:>15}",
            "group", "handled", "retried", "dead-lettered", "handled before"
        );
        for one in stats {
            let before = produced.saturating_sub(one.handled + one.dead_lettered);
            println!(
                "{:<14} {:>8} {:>8} {:>13} {:>15}",
                one.group, one.handled, one.retried, one.dead_lettered, before
            );
        }
        let dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        if !dead.is_empty() {
            println!("\n{:<14} {:>5}  dead-lettered because", "group", "count");
            for ((group, reason), count) in dead.iter() {
                println!("{group:<14} {count:>5}  {reason}");
            }
        }
        let handled: u64 = stats.iter().map(|one| one.handled).sum();
        let seconds = took.as_secs_f64();
        #[allow(clippy::cast_precision_loss)] // a rate for people
        let rate = handled as f64 / seconds;
        println!("\n{handled} deliveries handled in {seconds:.2} s: {rate:.0} a second");
    }
}
