//! Finds the name under which the user's Cargo.toml has `ductape-events`.
//!
//! The question is narrow, and every crate that uses the macros waits for what they depend on, so this reads TOML by
//! itself instead of asking a crate that brings a whole TOML editor along. What it does not understand it skips; then
//! the name is the usual one, and `crate = …` says another.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

mod toml;

use toml::{Entry, Scalar};

const PACKAGE: &str = "ductape-events";

/// The crate's name in paths, `ductape_events` unless the dependency was renamed.
pub(crate) fn crate_name() -> String {
    let renamed = env::var_os("CARGO_MANIFEST_DIR").and_then(|folder| renamed(Path::new(&folder)));
    renamed.unwrap_or_else(|| PACKAGE.to_owned()).replace('-', "_")
}

fn renamed(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join("Cargo.toml")).ok()?;
    let entries = toml::entries(&text);
    match find(&entries) {
        Found::Named(name) => Some(name),
        Found::Inherited(names) => {
            let workspace = workspace_entries(folder, &entries)?;
            names
                .into_iter()
                .find(|name| is_renamed_in_workspace(&workspace, name))
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// This dependency is it.
    Named(String),
    /// One of these may be it; the workspace's manifest knows.
    Inherited(Vec<String>),
}

fn find(entries: &[Entry]) -> Found {
    let mut renamed = None;
    let mut inherited = Vec::new();
    for entry in entries {
        let Some((name, rest)) = dependency(&entry.path) else {
            continue;
        };
        match (rest.as_slice(), &entry.value) {
            (&["package"], Scalar::Text(package)) if package == PACKAGE => {
                renamed.get_or_insert_with(|| name.to_owned());
            }
            (&["workspace"], Scalar::Other(value)) if value == "true" && name != PACKAGE => {
                inherited.push(name.to_owned());
            }
            _ if name == PACKAGE => return Found::Named(PACKAGE.to_owned()),
            _ => {}
        }
    }
    renamed.map_or(Found::Inherited(inherited), Found::Named)
}

/// The name of the dependency that an entry is about, and what it says of it.
fn dependency(path: &[String]) -> Option<(&str, Vec<&str>)> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let at = path.iter().position(|part| part.ends_with("dependencies"))?;
    let known = matches!(
        path[at],
        "dependencies" | "dev-dependencies" | "build-dependencies"
    );
    let place = at == 0 || (at == 2 && path[0] == "target");
    let name = path.get(at + 1)?;
    (known && place).then(|| (*name, path[at + 2..].to_vec()))
}

fn is_renamed_in_workspace(workspace: &[Entry], name: &str) -> bool {
    workspace.iter().any(|entry| {
        entry.path == ["workspace", "dependencies", name, "package"]
            && entry.value == Scalar::Text(PACKAGE.to_owned())
    })
}

/// The entries of the manifest that has the workspace of the package in `folder`.
fn workspace_entries(folder: &Path, own: &[Entry]) -> Option<Vec<Entry>> {
    let named = own.iter().find(|entry| entry.path == ["package", "workspace"]);
    let candidates: Vec<PathBuf> = match named.map(|entry| &entry.value) {
        Some(Scalar::Text(root)) => vec![folder.join(root)],
        _ => folder.ancestors().map(Path::to_path_buf).collect(),
    };
    let mut manifests = candidates
        .iter()
        .filter_map(|root| fs::read_to_string(root.join("Cargo.toml")).ok());
    manifests.find_map(|text| {
        let entries = toml::entries(&text);
        let is_root = entries
            .iter()
            .any(|entry| entry.path.first().is_some_and(|part| part == "workspace"));
        is_root.then_some(entries)
    })
}

#[cfg(test)]
mod tests {
    use super::{Found, find, is_renamed_in_workspace, toml};

    fn named(name: &str) -> Found {
        Found::Named(name.to_owned())
    }

    #[test]
    fn the_dependency_is_found_wherever_it_stands() {
        for (text, expected) in [
            (
                "[dependencies]\nductape-events = \"0.1\"",
                named("ductape-events"),
            ),
            (
                "[dependencies]\nevents = { version = \"0.1\", package = \"ductape-events\" }",
                named("events"),
            ),
            (
                "[dependencies.events]\npackage = 'ductape-events' # renamed\npath = \"..\"",
                named("events"),
            ),
            (
                "[dependencies]\nevents.package = \"ductape-events\"\nevents.path = \"..\"",
                named("events"),
            ),
            (
                "dependencies.events.package = \"ductape-events\"",
                named("events"),
            ),
            (
                "[dev-dependencies]\nmy-events = { package = \"ductape-events\" }",
                named("my-events"),
            ),
            (
                "[target.'cfg(unix)'.dependencies]\nevents = { package = \"ductape-events\" }",
                named("events"),
            ),
            (
                "[dependencies]\nductape-events.workspace = true",
                named("ductape-events"),
            ),
            (
                "[dependencies]\nevents.workspace = true\nserde.workspace = true",
                Found::Inherited(vec!["events".to_owned(), "serde".to_owned()]),
            ),
            (
                "[dependencies]\n# events = { package = \"ductape-events\" }",
                Found::Inherited(Vec::new()),
            ),
            (
                "[package]\ndescription = '''\n[dependencies]\nductape-events = 1\n'''",
                Found::Inherited(Vec::new()),
            ),
            (
                "[workspace.dependencies]\nevents = { package = \"ductape-events\" }",
                Found::Inherited(Vec::new()),
            ),
            ("not toml at all [[[", Found::Inherited(Vec::new())),
        ] {
            assert_eq!(find(&toml::entries(text)), expected, "{text}");
        }
    }

    #[test]
    fn the_workspace_may_rename_it() {
        let root = "[workspace]\nmembers = [\n  \"a\", # one\n  \"b\",\n]\n[workspace.dependencies]\n\
                    events = { package = \"ductape-events\", features = [\"kafka\"] }\nserde = \"1\"";
        let entries = toml::entries(root);
        assert!(is_renamed_in_workspace(&entries, "events"));
        assert!(!is_renamed_in_workspace(&entries, "serde"));
    }
}
