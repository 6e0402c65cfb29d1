//! What is unsafe or wrong with how a broker is set up, found before anything flows.

use std::fmt;

use serde::Serialize;

/// Something about a broker's set-up that a program should not run on.
///
/// Each has a name that stays, so that people who know better can allow it by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[must_use]
pub struct Finding {
    /// The name: `redis-evicts`. It begins with the kind of broker.
    pub name: &'static str,
    /// Whether a program may start in spite of it.
    pub severity: Severity,
    /// What is set how, what that costs, and how to mend it.
    pub message: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a line in the log: a promise is weaker than usual.
    Warning,
    /// Messages can be lost or never come: a program does not start unless the finding is allowed by name.
    Refusal,
}

impl Finding {
    /// A finding that keeps a program from starting.
    pub fn refusal(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            name,
            severity: Severity::Refusal,
            message: message.into(),
        }
    }

    /// A finding that is logged.
    pub fn warning(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            name,
            severity: Severity::Warning,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}
