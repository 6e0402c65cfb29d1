//! What goes wrong with a store.

use std::error::Error as StdError;
use std::fmt;

/// The result of asking a store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// What went wrong: the kind, what was asked, and what to do.
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What kind of thing went wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store's address or key can't be used.
    ConfigInvalid,
    /// The store can't be reached, or stopped in the midst of it.
    Unreachable,
    /// Others keep the store busy, or all connections are taken.
    Busy,
    /// There is no room left.
    Full,
    /// It was made by a newer version of this library.
    TooNew,
    /// What is in it can't be read: damaged, changed by others, or sealed with a key that is not given.
    Damaged,
    /// Something of this name is there already.
    Exists,
    /// There is nothing of this name.
    Missing,
    /// What was asked can't be asked.
    Invalid,
    /// A topic's schema can't follow the one that is held.
    Incompatible,
    /// Anything else; see the text.
    Failed,
}

impl StoreError {
    pub(crate) fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// What kind of thing it is.
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether asking again can help.
    pub const fn is_temporary(&self) -> bool {
        matches!(
            self.kind,
            StoreErrorKind::Unreachable | StoreErrorKind::Busy | StoreErrorKind::Full
        )
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let (kind, message) = match &error {
            sqlx::Error::Database(database) => of_database(&**database),
            sqlx::Error::PoolTimedOut => (
                StoreErrorKind::Busy,
                "every connection to the store is taken".to_owned(),
            ),
            sqlx::Error::PoolClosed => (StoreErrorKind::Unreachable, "the store was closed".to_owned()),
            sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => (
                StoreErrorKind::Unreachable,
                "the store can't be reached, or stopped in the midst of it".to_owned(),
            ),
            sqlx::Error::Tls(_) => (
                StoreErrorKind::ConfigInvalid,
                "no encrypted connection to the store; check its certificate, and `sslmode`".to_owned(),
            ),
            sqlx::Error::ColumnDecode { index, .. } => (
                StoreErrorKind::Damaged,
                format!("the store holds in column {index} what this version does not write"),
            ),
            _ => (
                StoreErrorKind::Failed,
                "the store did not do what was asked".to_owned(),
            ),
        };
        Self::new(kind, message).with_source(error)
    }
}

/// SQLite's result codes (<https://www.sqlite.org/rescode.html>) and Postgres's SQLSTATE
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn of_database(error: &dyn sqlx::error::DatabaseError) -> (StoreErrorKind, String) {
    let code = error.code();
    let code = code.as_deref().unwrap_or_default();
    if error.is_unique_violation() {
        return (
            StoreErrorKind::Exists,
            "there is one of this name already".to_owned(),
        );
    }
    // The low byte of an extended code of SQLite is its primary one; a SQLSTATE has five characters.
    let primary = (code.len() < 5).then(|| code.parse::<u32>().unwrap_or_default() & 0xff);
    match (primary, code) {
        (Some(5 | 6), _) | (_, "40001" | "40P01" | "55P03" | "57014") => {
            (StoreErrorKind::Busy, "others keep the store busy".to_owned())
        }
        (Some(13), _) | (_, "53100" | "53200") => {
            (StoreErrorKind::Full, "the store has no room left".to_owned())
        }
        (Some(11 | 26), _) | (_, "XX001" | "XX002") => (
            StoreErrorKind::Damaged,
            "the store is damaged, or is no store; restore it from a copy, or name another".to_owned(),
        ),
        (Some(14), _) => (
            StoreErrorKind::Unreachable,
            "the store's file can't be opened; check the folder, and its permissions".to_owned(),
        ),
        (Some(8), _) | (_, "25006") => (StoreErrorKind::Failed, "the store can be read only".to_owned()),
        (Some(10), _) => (StoreErrorKind::Unreachable, "the store's disk fails".to_owned()),
        (_, "28000" | "28P01" | "3D000" | "42501") => (
            StoreErrorKind::ConfigInvalid,
            "the store does not let this user in; check the user, the password and the database".to_owned(),
        ),
        (_, code) if code.starts_with("08") || code.starts_with("57P") || code.starts_with("53") => (
            StoreErrorKind::Unreachable,
            "the store is starting, stopping or full of connections".to_owned(),
        ),
        _ => (
            StoreErrorKind::Failed,
            format!("the store refuses: {}", error.message()),
        ),
    }
}
