//! What goes wrong between us and a broker.

use std::error::Error as StdError;
use std::fmt;

/// The result of a provider's operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, where, and whether trying again can help.
///
/// One word wide, so that a `Result` of it is cheap to return. [`Display`](fmt::Display) is one line and never contains a
/// secret.
///
/// ```
/// use ductape_providers::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::TopicMissing, "no topic `a:b`").with("broker", "a");
/// assert_eq!(error.to_string(), "no topic `a:b` (broker: a)");
/// assert!(!error.is_temporary());
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    temporary: bool,
    indeterminate: bool,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration can't be used.
    ConfigInvalid,
    /// The broker refused the credentials or the operation.
    Unauthorized,
    /// The broker did not answer, or its file can't be used.
    Unreachable,
    /// The topic does not exist.
    TopicMissing,
    /// The group does not exist.
    GroupMissing,
    /// What exists on the broker does not fit what was asked.
    TopologyMismatch,
    /// The broker, as configured, can't do this.
    Unsupported,
    /// The payload is larger than the broker takes.
    PayloadTooLarge,
    /// A header's name, value or number is not allowed.
    HeaderInvalid,
    /// A message on the broker can't be read as one.
    Decode,
    /// The broker has no room, or asks us to slow down.
    Throttled,
    /// It took too long.
    Timeout,
    /// The provider or subscription was closed.
    Closed,
    /// The delivery is no longer this subscription's.
    LeaseLost,
    /// Anything else; the source says what.
    Unexpected,
}

impl Error {
    /// An error that trying again can't help, unless its kind says so: [`Unreachable`](ErrorKind::Unreachable),
    /// [`Throttled`](ErrorKind::Throttled) and [`Timeout`](ErrorKind::Timeout) are temporary.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let temporary = matches!(
            kind,
            ErrorKind::Unreachable | ErrorKind::Throttled | ErrorKind::Timeout
        );
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            temporary,
            indeterminate: false,
            context: Vec::new(),
            source: None,
        }))
    }

    /// This error with something that helps to find the cause: `topic`, `group`, `broker`, `provider`, `operation`,
    /// `file`, `key`, `line`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((name, value.to_string()));
        self
    }

    /// This error with its cause. The cause's own text must not contain a secret.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// This error, marked as one that may pass (or not).
    #[must_use]
    pub fn with_temporary(mut self, temporary: bool) -> Self {
        self.0.temporary = temporary;
        self
    }

    /// This error of a publish, marked as one after which the message may be stored all the same.
    #[must_use]
    pub fn with_indeterminate(mut self) -> Self {
        self.0.indeterminate = true;
        self
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether trying again can help.
    pub fn is_temporary(&self) -> bool {
        self.0.temporary
    }

    /// Of a publish: whether the message may be stored all the same. Publishing it again with the same id is safe.
    pub fn is_indeterminate(&self) -> bool {
        self.0.indeterminate
    }

    /// What was added with [`with`](Self::with).
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.context.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// The text without the context and the cause.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (i, (name, value)) in self.0.context.iter().enumerate() {
            let open = if i == 0 { " (" } else { ", " };
            write!(f, "{open}{name}: {value}")?;
        }
        if !self.0.context.is_empty() {
            f.write_str(")")?;
        }
        if let Some(source) = &self.0.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, ErrorKind};

    #[test]
    fn the_text_is_one_line_with_context_and_cause() {
        let error = Error::new(ErrorKind::Unreachable, "can't open the store")
            .with("file", "a.db")
            .with("operation", "publish")
            .with_source("disk on fire");
        assert_eq!(
            error.to_string(),
            "can't open the store (file: a.db, operation: publish): disk on fire"
        );
        assert_eq!(format!("{error:?}"), format!("Unreachable: {error}"));
        assert!(error.is_temporary() && !error.is_indeterminate());
    }

    #[test]
    fn it_is_one_word() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
