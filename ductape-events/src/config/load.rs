//! From a file to a configuration.

use std::path::Path;

use super::document::Document;
use super::expand::Lookup;
use super::file::Config;
use super::problem::{ConfigProblem, ConfigProblems, ProblemKind};
use super::read::read;

impl Config {
    /// Reads a file, with variables from the process's environment. It blocks while it reads the file.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), and when the file can't be read.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigProblems> {
        let path = path.as_ref();
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &file, &|name| std::env::var(name).ok()),
            Err(error) => Err(ConfigProblems::new(vec![ConfigProblem {
                kind: ProblemKind::Invalid,
                file,
                line: None,
                column: None,
                key: String::new(),
                message: format!("can't be read: {error}"),
            }])),
        }
    }

    /// Reads a text. `file` is what problems call it; `lookup` answers the variables.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, in the order of its lines; but a variable that is not set and stands in an
    /// environment is a problem only once [`provider`](Self::provider) or [`resolve`](Self::resolve) asks for that.
    pub fn parse(
        text: &str,
        file: &str,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigProblems> {
        let document = Document::parse(text, file).map_err(ConfigProblems::new)?;
        let lookup: Lookup<'_> = lookup;
        let mut problems = Vec::new();
        let top = read(&document, lookup, &mut problems);
        if !problems.is_empty() {
            problems.sort_by_key(|problem| (problem.line, problem.column));
            return Err(ConfigProblems::new(problems));
        }
        let variable = |name: &str| lookup(name).filter(|value| !value.is_empty());
        Ok(Self {
            file: file.to_owned(),
            product: variable("DUCTAPE_PRODUCT").or(top.product),
            default_environment: variable("DUCTAPE_ENV")
                .or(top.environment)
                .unwrap_or_else(|| Self::ENVIRONMENT_DEFAULT.to_owned()),
            store: top.store,
            brokers: top.brokers,
            #[cfg(feature = "store")]
            tracking: top.tracking,
            #[cfg(feature = "store")]
            retention: top.retention,
        })
    }
}
