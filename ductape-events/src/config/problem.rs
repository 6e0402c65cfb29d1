//! What is wrong with the configuration.

use std::error::Error;
use std::fmt;

use crate::error::{BrokerError, ErrorCode, Finding};

/// One thing that is wrong with the configuration, or that was asked of it in vain. It never shows a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// What kind of thing it is.
    pub kind: ProblemKind,
    /// The file, as it was given.
    pub file: String,
    /// The line, from 1, where there is one; of a key that is missing, that of the table it is missing from.
    pub line: Option<usize>,
    /// The column, in characters from 1, where there is a line.
    pub column: Option<usize>,
    /// The key, with those of the tables it stands in: `brokers.order-events.environments.prd.port`. Empty for the file.
    pub key: String,
    /// What is wrong and what to write, as it reads after the key.
    pub message: String,
}

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The file can't be used.
    Invalid,
    /// There is no such broker.
    BrokerNotFound,
    /// There is no such environment.
    EnvironmentNotFound,
}

impl ProblemKind {
    const fn code(self) -> ErrorCode {
        match self {
            Self::Invalid => ErrorCode::ConfigInvalid,
            Self::BrokerNotFound => ErrorCode::BrokerNotFound,
            Self::EnvironmentNotFound => ErrorCode::BrokerEnvNotFound,
        }
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            // A key says enough about where in its line it is.
            if let (Some(column), true) = (self.column, self.key.is_empty()) {
                write!(f, ":{column}")?;
            }
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Everything that is wrong with the configuration: at least one problem. It prints one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblems(Vec<ConfigProblem>);

impl ConfigProblems {
    pub(super) const fn new(problems: Vec<ConfigProblem>) -> Self {
        Self(problems)
    }

    /// What is wrong, in the order of the file.
    pub fn problems(&self) -> &[ConfigProblem] {
        &self.0
    }

    /// The problems as the findings of a start-up check, each with its code.
    pub(crate) fn into_findings(self) -> Vec<Finding> {
        self.0
            .into_iter()
            .map(|problem| Finding::new(problem.kind.code(), problem.to_string()))
            .collect()
    }
}

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}

impl Error for ConfigProblems {}

impl From<ConfigProblems> for BrokerError {
    fn from(problems: ConfigProblems) -> Self {
        Self::from_findings(problems.into_findings())
    }
}
