//! What `cargo check` takes for 500 topics of six fields, against the same structs with the derives of serde and schemars
//! alone. The program generates both, and lets cargo check them in turn.
#![allow(clippy::unwrap_used)] // a bench that can't run has nothing to tell

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ductape_benches::{Bar, Clock, print_row};

const TYPES: usize = 500;
const ROUNDS: usize = 5;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compile_time");
    generate(root, &place);
    let sides = ["topics", "plain"];
    for side in sides {
        check(&place, side);
    }
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (side, times) in sides.iter().zip(&mut times) {
            times.push(check(&place, side));
        }
    }
    for times in &mut times {
        times.sort_unstable();
    }
    for (which, at) in [("best", 0), ("median", ROUNDS / 2)] {
        let [topics, plain] = [0, 1].map(|side: usize| times[side][at].as_secs_f64());
        print_row(
            &format!(
                "compile time: `cargo check` of {TYPES} topics against their derives, seconds, {which} of {ROUNDS}"
            ),
            topics,
            Some(plain),
            Bar::Most(1.5 * plain, " s (ratio 1.5)"),
        );
    }
}

/// Checks one crate whose source has changed, and all of whose dependencies have been checked.
fn check(place: &Path, side: &str) -> Duration {
    let source = place.join(side).join("src/lib.rs");
    let text = fs::read_to_string(&source).unwrap();
    fs::write(&source, text + "\n").unwrap();
    let clock = Clock::start();
    let status = Command::new(env!("CARGO"))
        .args(["check", "--quiet", "--offline", "--package", side])
        .current_dir(place)
        .env("CARGO_TARGET_DIR", place.join("target"))
        .env("CARGO_INCREMENTAL", "0")
        .status()
        .unwrap();
    assert!(status.success(), "the generated crate `{side}` is not right");
    clock.took().real
}

fn generate(root: &Path, place: &Path) {
    let edition = "version = \"0.0.0\"\nedition = \"2024\"\n";
    write(
        place.join("Cargo.toml"),
        "[workspace]\nresolver = \"3\"\nmembers = [\"topics\", \"plain\"]\n",
    );
    // The versions that the workspace has.
    fs::copy(root.join("Cargo.lock"), place.join("Cargo.lock")).unwrap();
    let events = root.join("ductape-events");
    write(
        place.join("topics/Cargo.toml"),
        &format!(
            "[package]\nname = \"topics\"\n{edition}[dependencies]\nductape-events = {{ path = '{}' }}\n",
            events.display()
        ),
    );
    write(
        place.join("plain/Cargo.toml"),
        &format!(
            "[package]\nname = \"plain\"\n{edition}[dependencies]\n\
             serde = {{ version = \"1\", features = [\"derive\"] }}\nschemars = \"1\"\n"
        ),
    );
    let mut topics = "use ductape_events::prelude::*;\n".to_owned();
    let mut plain = String::new();
    for n in 0..TYPES {
        let fields = format!(
            "pub struct Event{n} {{\n    pub id: String,\n    pub customer: String,\n    pub total: f64,\n    \
             pub quantity: u32,\n    pub tags: Vec<String>,\n    pub note: Option<String>,\n}}\n"
        );
        let _ = write!(
            topics,
            "/// Event number {n}.\n#[topic(\"events:event-{n}\", key = id)]\n{fields}"
        );
        let derives = "serde::Serialize, serde::Deserialize, schemars::JsonSchema";
        let _ = write!(plain, "/// Event number {n}.\n#[derive({derives})]\n{fields}");
    }
    write(place.join("topics/src/lib.rs"), &topics);
    write(place.join("plain/src/lib.rs"), &plain);
}

fn write(file: PathBuf, text: &str) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}
