//! The table of cases and brokers: what each run keeps of itself, and the pages that are made of the last runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ductape_events::providers::conformance::{Case, Outcome, Report};

/// The brokers of the table, in its order.
const COLUMNS: [&str; 8] = [
    "memory", "durable", "kafka", "rabbitmq", "redis", "sqs", "pubsub", "nats",
];
const BEGIN: &str = "<!-- conformance: begin -->";
const END: &str = "<!-- conformance: end -->";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn folder() -> PathBuf {
    root().join("target/conformance")
}

/// Keeps what became of each case, for the table.
pub(crate) fn keep(report: &Report) {
    let mut text = String::new();
    for row in &report.rows {
        let said = match &row.outcome {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Unsupported(what) => format!("refused\t{what}"),
            Outcome::Failed(_) => "FAILED".to_owned(),
        };
        let _ = writeln!(text, "{}\t{said}", row.case.id);
    }
    std::fs::create_dir_all(folder()).unwrap();
    std::fs::write(folder().join(&report.harness), text).unwrap();
}

/// What became of one case on one broker.
enum Cell {
    Passed,
    Refused(String),
}

type Column = BTreeMap<String, Cell>;

fn read(broker: &str) -> Column {
    let file = folder().join(broker);
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("no run of {broker} was kept ({error}); run the suite on it"));
    let cell = |line: &str| {
        let mut parts = line.split('\t');
        let id = parts.next()?.to_owned();
        match (parts.next()?, parts.next()) {
            ("passed", None) => Some((id, Cell::Passed)),
            ("refused", Some(what)) => Some((id, Cell::Refused(what.to_owned()))),
            (said, _) => panic!("{broker}: {id} {said}; a table shows runs in which nothing failed"),
        }
    };
    text.lines().filter_map(cell).collect()
}

/// Writes `docs/conformance.md`, and the summary in the README, from the last run of every broker.
pub(crate) fn write(cases: &[Case]) {
    let columns: Vec<Column> = COLUMNS.iter().map(|broker| read(broker)).collect();
    std::fs::create_dir_all(root().join("docs")).unwrap();
    std::fs::write(root().join("docs/conformance.md"), page(cases, &columns)).unwrap();
    let readme = root().join("README.md");
    let text = std::fs::read_to_string(&readme).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let summary = summary(cases, &columns);
    std::fs::write(readme, format!("{before}{BEGIN}\n{summary}{END}{after}")).unwrap();
}

fn header(first: &str) -> String {
    let names = COLUMNS.join(" | ");
    let lines = "---|".repeat(COLUMNS.len());
    format!("| {first} | {names} |\n|---|{lines}\n")
}

/// One row a case, one column a broker, and below what is meant by what was refused.
fn page(cases: &[Case], columns: &[Column]) -> String {
    let mut page = String::from(
        "# Conformance\n\nWhat each broker was shown to keep, by the last run of the suite on a real server. `✓`: shown. A word: the \
         broker can't, says so in its\ncapability, was asked all the same, and refused. Made by `dev/feature-table`.\n\n",
    );
    page += &header("case");
    for case in cases {
        let _ = write!(page, "| {} {} |", case.id, case.name.replace('_', " "));
        for column in columns {
            let cell = match column.get(case.id) {
                Some(Cell::Passed) => "✓",
                Some(Cell::Refused(what)) => what,
                None => panic!("{} was not run on every broker", case.id),
            };
            let _ = write!(page, " {cell} |");
        }
        page.push('\n');
    }
    page
}

/// One row a group of cases: how many were shown, and how many refused.
fn summary(cases: &[Case], columns: &[Column]) -> String {
    let mut groups: Vec<&str> = Vec::new();
    for case in cases {
        if !groups.contains(&case.group) {
            groups.push(case.group);
        }
    }
    let mut text = header("shown");
    for group in groups {
        let of_group: Vec<&Case> = cases.iter().filter(|case| case.group == group).collect();
        let _ = write!(text, "| {group} |");
        for column in columns {
            let is_passed = |case: &&&Case| matches!(column.get(case.id), Some(Cell::Passed));
            let passed = of_group.iter().filter(is_passed).count();
            let _ = match of_group.len() - passed {
                0 => write!(text, " {passed} |"),
                refused => write!(text, " {passed}, {refused} refused |"),
            };
        }
        text.push('\n');
    }
    text
}
