//! What is wrong with a configuration.

use std::error::Error as StdError;
use std::fmt;

use crate::error::{Error, ErrorKind};

/// One thing that is wrong with a configuration. It never contains a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFinding {
    /// The JSON pointer of the key, from the object that was read: `/sasl/mechanism`, `/brokers/0`. Of a key that is
    /// missing, where it should stand. Empty for the object itself.
    pub pointer: String,
    /// What is wrong and what to write, as it reads after the key: `70000 is not a port; write 1 to 65535`.
    pub message: String,
}

impl fmt::Display for ConfigFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.pointer.split('/').skip(1).enumerate() {
            let part = part.replace("~1", "/").replace("~0", "~");
            if part.bytes().all(|b| b.is_ascii_digit()) {
                write!(f, "[{part}]")?;
            } else {
                let dot = if i == 0 { "" } else { "." };
                write!(f, "{dot}{part}")?;
            }
        }
        let colon = if self.pointer.is_empty() { "" } else { ": " };
        write!(f, "{colon}{}", self.message)
    }
}

/// Everything that is wrong with a configuration: at least one finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(Vec<ConfigFinding>);

impl ConfigError {
    pub(super) const fn new(findings: Vec<ConfigFinding>) -> Self {
        Self(findings)
    }

    /// What is wrong, in the order in which it was read.
    pub fn findings(&self) -> &[ConfigFinding] {
        &self.0
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the broker's configuration can't be used: ")?;
        for (i, finding) in self.0.iter().enumerate() {
            let semicolon = if i == 0 { "" } else { " | " };
            write!(f, "{semicolon}{finding}")?;
        }
        Ok(())
    }
}

impl StdError for ConfigError {}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::new(ErrorKind::ConfigInvalid, error.to_string())
    }
}
