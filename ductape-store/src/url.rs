//! Where a store is.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use crate::dialect::Dialect;
use crate::error::{Result, StoreError, StoreErrorKind};

/// Where a store is: `sqlite:PATH`, `sqlite::memory:`, or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
///
/// Prints without its password.
///
/// ```
/// use ductape_store::StoreUrl;
///
/// let url = StoreUrl::parse("postgres://app:hunter2@db.example.com/app?sslmode=verify-full")?;
/// assert_eq!(url.to_string(), "postgres://app:***@db.example.com/app");
/// assert!(StoreUrl::parse("mysql://db").is_err());
/// # Ok::<(), ductape_store::StoreError>(())
/// ```
#[derive(Clone)]
pub struct StoreUrl(Place);

#[derive(Clone)]
pub(crate) enum Place {
    Memory,
    File(PathBuf),
    Postgres(SecretString),
}

impl StoreUrl {
    /// Where a store is when nothing says so: `.ductape/store.db` in the working folder.
    pub const DEFAULT: &'static str = "sqlite:.ductape/store.db";

    /// Reads `text`.
    ///
    /// # Errors
    ///
    /// [`ConfigInvalid`](StoreErrorKind::ConfigInvalid) when it is neither, or names a kind of store that this build leaves out.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            StoreError::new(
                StoreErrorKind::ConfigInvalid,
                format!(
                    "the store's address {why}; write `sqlite:PATH`, or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`"
                ),
            )
        };
        if let Some(path) = text.strip_prefix("sqlite:") {
            return match path.strip_prefix("//").unwrap_or(path) {
                "" => Err(wrong("names no file")),
                _ if !cfg!(feature = "sqlite") => Err(left_out("sqlite")),
                ":memory:" => Ok(Self(Place::Memory)),
                path if path.contains(['?', '#', '\0']) => Err(wrong("has a `?` or a `#` in its path")),
                path => Ok(Self(Place::File(path.into()))),
            };
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            if !cfg!(feature = "postgres") {
                return Err(left_out("postgres"));
            }
            return Ok(Self(Place::Postgres(text.into())));
        }
        Err(wrong("is neither of SQLite nor of Postgres"))
    }

    /// A SQLite file.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self(Place::File(path.as_ref().to_owned()))
    }

    /// A SQLite in memory, which ends with the program.
    pub const fn memory() -> Self {
        Self(Place::Memory)
    }

    /// Whether it is a server, which may not be there yet.
    pub const fn is_server(&self) -> bool {
        matches!(self.0, Place::Postgres(_))
    }

    pub(crate) const fn place(&self) -> &Place {
        &self.0
    }

    pub(crate) const fn dialect(&self) -> Dialect {
        match self.0 {
            Place::Memory | Place::File(_) => Dialect::Sqlite,
            Place::Postgres(_) => Dialect::Postgres,
        }
    }
}

fn left_out(feature: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::ConfigInvalid,
        format!("this build leaves `{feature}` out; enable the feature `{feature}` of `ductape-events`"),
    )
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Memory => f.write_str("sqlite::memory:"),
            Place::File(path) => write!(f, "sqlite:{}", path.display()),
            Place::Postgres(url) => f.write_str(&without_password(url.expose_secret())),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The URL without its password and its query. A password may hold any character, so the user info is all before the last `@`.
fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (user.split(':').next(), rest),
        None => (None, rest),
    };
    let place = rest.split(['?', '#']).next().unwrap_or_default();
    match user {
        Some(user) => format!("{scheme}://{user}:***@{place}"),
        None => format!("{scheme}://{place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::StoreUrl;

    #[test]
    fn places_are_read_and_shown_without_secrets() {
        for (text, shown) in [
            ("sqlite:a.db", "sqlite:a.db"),
            ("sqlite:///tmp/a.db", "sqlite:/tmp/a.db"),
            ("sqlite::memory:", "sqlite::memory:"),
            ("postgres://h/d", "postgres://h/d"),
            ("postgresql://u:p:@x@h:1/d?password=p", "postgresql://u:***@h:1/d"),
        ] {
            let url = StoreUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
    }

    #[test]
    fn what_is_no_place_is_refused_without_showing_it() {
        for text in [
            "",
            "a.db",
            "mysql://u:hunter2-CANARY@h",
            "sqlite:",
            "sqlite://",
            "sqlite:a?b",
            "POSTGRES://h",
        ] {
            let error = StoreUrl::parse(text).unwrap_err();
            assert!(error.to_string().contains("write `sqlite:PATH`"), "{error}");
            assert!(!error.to_string().contains("CANARY"), "{error}");
        }
    }
}
