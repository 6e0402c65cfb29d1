use std::fmt;
use std::time::Duration;

use super::case::Case;

/// What became of each case that was run.
#[derive(Clone, Debug)]
#[must_use = "a report that nobody reads has shown nothing"]
pub struct Report {
    /// The name of the harness.
    pub harness: String,
    /// One row a case, in the order of the list.
    pub rows: Vec<Row>,
}

/// What became of one case.
#[derive(Clone, Debug)]
pub struct Row {
    /// The case.
    pub case: Case,
    /// What became of it.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The promise was kept.
    Passed,
    /// The provider can't do this, was asked to all the same, and answered so.
    Unsupported(&'static str),
    /// The promise was broken, or what the provider can't do was not refused; how.
    Failed(String),
}

impl Report {
    /// The cases that failed, as `C-021 ack_consumes: message 3 came again after its ack`.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        self.rows.iter().filter_map(|row| match &row.outcome {
            Outcome::Failed(message) => Some(format!("{} {}: {message}", row.case.id, row.case.name)),
            Outcome::Passed | Outcome::Unsupported(_) => None,
        })
    }

    /// What became of the case `id`; `None` if it was not run.
    pub fn outcome(&self, id: &str) -> Option<&Outcome> {
        let row = self.rows.iter().find(|row| row.case.id == id)?;
        Some(&row.outcome)
    }

    /// How many cases passed, were refused as they must be, and failed.
    pub fn counts(&self) -> (usize, usize, usize) {
        let of = |wanted: fn(&Outcome) -> bool| self.rows.iter().filter(|row| wanted(&row.outcome)).count();
        (
            of(|outcome| matches!(outcome, Outcome::Passed)),
            of(|outcome| matches!(outcome, Outcome::Unsupported(_))),
            of(|outcome| matches!(outcome, Outcome::Failed(_))),
        )
    }

    /// Whether at least one case ran and none failed.
    pub fn passed(&self) -> bool {
        !self.rows.is_empty() && self.failures().next().is_none()
    }

    /// For tests: does nothing if the report [`passed`](Self::passed).
    ///
    /// # Panics
    ///
    /// With the whole table if a case failed, or if none was run.
    pub fn assert_passed(&self) {
        assert!(
            !self.rows.is_empty(),
            "{}: no case was run; the filter names none",
            self.harness
        );
        assert!(self.passed(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "conformance of {}", self.harness)?;
        for row in &self.rows {
            let (word, why) = match &row.outcome {
                Outcome::Passed => ("passed", ""),
                Outcome::Unsupported(what) => ("refused", *what),
                Outcome::Failed(message) => ("FAILED", message.as_str()),
            };
            let Case { id, name, group, .. } = row.case;
            let millis = row.took.as_millis();
            let line = format!("{id:<6} {group:<12} {name:<44} {millis:>6} ms  {word:<8}{why}");
            writeln!(f, "{}", line.trim_end())?;
        }
        let (passed, refused, failed) = self.counts();
        write!(
            f,
            "{passed} passed, {refused} refused as the capability says, {failed} failed"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Outcome, Report, Row};
    use crate::conformance::{Applies, Case, Wants};

    fn row(id: &'static str, outcome: Outcome) -> Row {
        let case = Case {
            id,
            name: "ack_consumes",
            group: "settlement",
            needs: |_| Applies::Runs,
            run: |_| Box::pin(async { Ok(()) }),
            deadline: Case::DEADLINE,
            wants: Wants::Broker,
        };
        Row {
            case,
            outcome,
            took: Duration::from_millis(7),
        }
    }

    #[test]
    fn a_failure_is_told_with_its_case() {
        let report = Report {
            harness: "mine".into(),
            rows: vec![
                row("C-001", Outcome::Passed),
                row("C-002", Outcome::Unsupported("seek")),
                row(
                    "C-021",
                    Outcome::Failed("message 3 came again after its ack".into()),
                ),
            ],
        };
        assert_eq!(
            report.failures().collect::<Vec<_>>(),
            ["C-021 ack_consumes: message 3 came again after its ack"]
        );
        assert_eq!(report.counts(), (1, 1, 1));
        assert!(!report.passed());
        assert!(
            report
                .to_string()
                .ends_with("1 passed, 1 refused as the capability says, 1 failed")
        );
    }

    #[test]
    #[should_panic(expected = "no case was run")]
    fn a_filter_that_names_no_case_does_not_pass() {
        let report = Report {
            harness: "mine".into(),
            rows: Vec::new(),
        };
        report.assert_passed();
    }
}
