//! What does not compile says why, at the right token; what should compile does.
//!
//! `TRYBUILD=overwrite cargo test -p ductape-tests --test ui` writes the messages anew: read the difference.

#![allow(clippy::unwrap_used)] // a test fails where it unwraps

use std::env;
use std::fs;
use std::path::Path;

/// Puts the contracts beside the manifest that `trybuild` writes for the cases.
fn put_contracts() {
    let program = env::current_exe().unwrap();
    // `target/debug/deps/ui-…`
    let target = program.ancestors().nth(3).unwrap();
    let to = target
        .join("tests/trybuild")
        .join(env!("CARGO_PKG_NAME"))
        .join("contracts");
    let _ = fs::remove_dir_all(&to);
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("ui/contracts"), &to);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn mistakes_are_explained_and_correct_code_compiles() {
    put_contracts();
    let cases = trybuild::TestCases::new();
    cases.compile_fail("ui/topic/fail/*.rs");
    cases.compile_fail("ui/consumer/fail/*.rs");
    cases.pass("ui/topic/pass/*.rs");
    cases.pass("ui/consumer/pass/*.rs");
}
