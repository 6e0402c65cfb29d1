//! Keeps what ARCHITECTURE.md promises of the house itself.

#![allow(clippy::unwrap_used)] // a test fails where it unwraps

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The longest file, in lines: past it a room wants to be two.
const LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn files(of: &Path, ending: &str, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(of).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                files(&path, ending, into);
            }
        } else if name.ends_with(ending) {
            into.push(path);
        }
    }
}

fn sources() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    files(&root(), ".rs", &mut paths);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (
            path.strip_prefix(root()).unwrap().to_string_lossy().into_owned(),
            text,
        )
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = sources()
        .iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "longer than {LINES_MAX} lines: {long:#?}");
}

#[test]
fn crates_depend_on_lower_floors_only() {
    let floors: BTreeMap<&str, u8> = [
        ("ductape-schema", 0),
        ("ductape-macros", 1),
        ("ductape-providers", 1),
        ("ductape-store", 1),
        ("ductape-events", 2),
    ]
    .into();
    for (name, floor) in &floors {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let manifest: String = manifest.split("[dev-dependencies]").next().unwrap().to_owned();
        for (other, its_floor) in &floors {
            let depends = manifest
                .lines()
                .any(|line| line.starts_with(other) && !line.starts_with(&format!("{other}\"")));
            assert!(
                !depends || its_floor < floor,
                "{name} depends on {other}, which is not below it"
            );
        }
    }
}

#[test]
fn only_the_clock_reads_the_clock() {
    for (path, text) in sources() {
        let ours = [
            "ductape-schema/src",
            "ductape-providers/src",
            "ductape-store/src",
            "ductape-events/src",
            "ductape-macros/src",
        ];
        if !ours.iter().any(|folder| path.starts_with(folder)) || path == "ductape-providers/src/clock.rs" {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for call in ["Instant::now()", "SystemTime::now()"] {
            assert!(
                path.contains("/tests") || !code.contains(call),
                "{path} calls {call}; use `clock`"
            );
        }
    }
}

#[test]
fn what_the_architecture_names_exists() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let named = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.starts_with("ductape-") && name.contains('/'));
    let mut seen = 0;
    for name in named {
        seen += 1;
        assert!(
            root().join(name).exists(),
            "ARCHITECTURE.md names `{name}`, which does not exist"
        );
    }
    assert!(
        seen > 5,
        "ARCHITECTURE.md names {seen} places; has the reading of it broken?"
    );
}
